"""The services of the lab: package, place, how each is started, and which answers are right.

Long because it is a table: one function a service, which writes its configuration and gives its command.
``names`` and ``products`` are what may be said of it; ``tells`` is False where the protocol or the server's defaults keep the
version secret, so that no reading of answers can find it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.namespaces import LabError

# A package's own folder first: what stands elsewhere may be a wrapper that changes the user.
PLACES = "/usr/lib/postgresql/15/bin:/usr/lib/rabbitmq/bin:/usr/lib/news/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Command = tuple[list[str], dict[str, str]]
Prepare = Callable[[Path, str, Path], Command]


@dataclass(frozen=True)
class LabService:
    """One row. ``beside``: it comes with another service's process; ``heavy``: seconds of processor time to start."""

    label: str
    package: str
    port: int
    names: tuple[str, ...]
    products: tuple[str, ...]
    prepare: Prepare
    proto: str = "tcp"
    tells: bool = True
    tls: bool = False
    beside: str = ""
    heavy: bool = False


def program(name: str) -> str:
    """Where a program is; LabError when it is nowhere."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        raise LabError(f"no program {name}")
    return found


def write(path: Path, text: str) -> str:
    """Write a configuration that all may read; its path."""
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def quiet(*command: str) -> None:
    """Run a preparing command."""
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def openssh(folder: Path, address: str, tls: Path) -> Command:
    quiet("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
    Path("/run/sshd").mkdir(exist_ok=True)
    conf = write(folder / "conf", f"ListenAddress {address}\nHostKey {folder}/key\nPidFile none\nUsePAM no\n")
    return [program("sshd"), "-D", "-e", "-f", conf], {}


def dropbear(folder: Path, address: str, tls: Path) -> Command:
    quiet(program("dropbearkey"), "-t", "ed25519", "-f", str(folder / "key"))
    return [program("dropbear"), "-F", "-E", "-p", f"{address}:22", "-r", str(folder / "key"), "-P", ""], {}


def vsftpd(folder: Path, address: str, tls: Path) -> Command:
    (folder / "empty").mkdir()
    text = (
        f"listen=YES\nbackground=NO\nlisten_address={address}\nanonymous_enable=YES\nanon_root={folder}/empty\n"
        f"secure_chroot_dir={folder}/empty\nseccomp_sandbox=NO\nxferlog_enable=NO\n"
    )
    return [program("vsftpd"), write(folder / "conf", text)], {}


def proftpd(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f"ServerType standalone\nDefaultAddress {address}\nSocketBindTight on\nPort 21\nUser proftpd\nGroup nogroup\n"
        f"UseIPv6 off\nPidFile {folder}/pid\nScoreboardFile {folder}/score\nUseReverseDNS off\nWtmpLog off\n"
        f"SystemLog {folder}/log\nTransferLog none\n<IfModule mod_delay.c>\nDelayEngine off\n</IfModule>\n"
    )
    return [program("proftpd"), "-n", "-c", write(folder / "conf", text)], {}


def exim(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f"primary_hostname = mail.lab.test\nspool_directory = {folder}/spool\nlog_file_path = {folder}/%slog\n"
        f"pid_file_path = {folder}/pid\nhost_lookup =\nrfc1413_query_timeout = 0s\ntls_advertise_hosts = *\n"
        f"tls_certificate = {tls}/cert.pem\ntls_privatekey = {tls}/key.pem\nbegin routers\nbegin transports\n"
    )
    return [program("exim4"), "-C", write(folder / "conf", text), "-bdf", "-oX", f"{address}.25"], {}


def dovecot(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f"protocols = imap pop3\nlisten = {address}\nbase_dir = {folder}/run\nlog_path = {folder}/log\nssl = yes\n"
        f"ssl_cert = <{tls}/cert.pem\nssl_key = <{tls}/key.pem\nmail_location = maildir:{folder}/mail\n"
        "passdb {\n  driver = static\n  args = password=lab\n}\n"
        "userdb {\n  driver = static\n  args = uid=nobody gid=nogroup home=/nonexistent\n}\n"
    )
    return [program("dovecot"), "-F", "-c", write(folder / "conf", text)], {}


def bind(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f'options {{ directory "{folder}"; listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; recursion yes; '
        "allow-recursion { any; }; pid-file none; session-keyfile none; dnssec-validation no; };\ncontrols { };\n"
    )
    return [program("named"), "-g", "-n", "1", "-c", write(folder / "conf", text)], {}


def unbound(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f'server:\n interface: {address}\n do-daemonize: no\n chroot: ""\n username: ""\n pidfile: ""\n use-syslog: no\n'
        f' access-control: 0.0.0.0/0 allow\n directory: "{folder}"\n module-config: "iterator"\n'
        "remote-control:\n control-enable: no\n"
    )
    return [program("unbound"), "-d", "-c", write(folder / "conf", text)], {}


def nginx(folder: Path, address: str, tls: Path) -> Command:
    write(folder / "index.html", "<html><head><title>The lab's page</title></head></html>")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = (
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;\nevents {{}}\n"
        f"http {{ access_log off; {temporary} server {{ listen {address}:80; root {folder}; }} }}\n"
    )
    return [program("nginx"), "-p", str(folder), "-c", write(folder / "conf", text)], {}


def apache(folder: Path, address: str, tls: Path) -> Command:
    modules = "/usr/lib/apache2/modules"
    text = (
        f"ServerRoot {folder}\nServerName lab.test\nListen {address}:80\nPidFile {folder}/pid\nErrorLog {folder}/log\n"
        f"LoadModule mpm_event_module {modules}/mod_mpm_event.so\nLoadModule authz_core_module {modules}/mod_authz_core.so\n"
        f"DocumentRoot {folder}\nUser www-data\nGroup www-data\nDefaultRuntimeDir {folder}\n"
    )
    return [program("apache2"), "-f", write(folder / "conf", text), "-DFOREGROUND"], {}


def lighttpd(folder: Path, address: str, tls: Path) -> Command:
    text = f'server.document-root = "{folder}"\nserver.bind = "{address}"\nserver.port = 80\nserver.errorlog = "{folder}/log"\n'
    return [program("lighttpd"), "-D", "-f", write(folder / "conf", text)], {}


def squid(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f"http_port {address}:3128\nhttp_access allow all\npid_filename {folder}/pid\ncache_log {folder}/log\n"
        f"access_log none\ncoredump_dir {folder}\nvisible_hostname lab.test\nnetdb_filename none\ncache_mem 8 MB\n"
        "max_filedescriptors 1024\npinger_enable off\n"
    )
    return [program("squid"), "-N", "-f", write(folder / "conf", text)], {}


def tinyproxy(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f'User nobody\nGroup nogroup\nPort 8888\nListen {address}\nTimeout 60\nMaxClients 10\nLogFile "{folder}/log"\n'
    )
    return [program("tinyproxy"), "-d", "-c", write(folder / "conf", text)], {}


def samba(folder: Path, address: str, tls: Path) -> Command:
    kinds = ("lock", "state", "cache", "pid", "private", "ncalrpc")
    for kind in kinds:
        (folder / kind).mkdir(mode=0o755)
    folders = "".join(
        f"{kind} {'dir' if kind in ('private', 'ncalrpc') else 'directory'} = {folder}/{kind}\n" for kind in kinds
    )
    text = (
        f"[global]\ninterfaces = {address}\nbind interfaces only = yes\ndisable netbios = yes\nsmb ports = 445\n"
        f"load printers = no\nprinting = bsd\nlog file = {folder}/log\nmap to guest = never\n{folders}"
    )
    return [program("smbd"), "-F", "--no-process-group", "-s", write(folder / "conf", text)], {}


def mariadb(folder: Path, address: str, tls: Path) -> Command:
    shutil.chown(folder, "nobody")  # the bare server comes without a user of its own
    return [
        program("mariadbd"), "--no-defaults", f"--datadir={folder}", f"--bind-address={address}", f"--socket={folder}/s",
        "--user=nobody", f"--pid-file={folder}/pid", "--skip-grant-tables", "--innodb-buffer-pool-size=8M",
    ], {}  # fmt: skip


def postgresql(folder: Path, address: str, tls: Path) -> Command:
    shutil.chown(folder, "postgres")
    run = [program("runuser"), "-u", "postgres", "--"]
    quiet(*run, program("initdb"), "-N", "-D", str(folder / "data"))
    return [
        *run, program("postgres"), "-D", str(folder / "data"), "-h", address, "-k", str(folder), "-c", "fsync=off",
    ], {}  # fmt: skip


def redis(folder: Path, address: str, tls: Path) -> Command:
    return [
        program("redis-server"),
        "--bind",
        address,
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        str(folder),
    ], {}


def memcached(folder: Path, address: str, tls: Path) -> Command:
    return [program("memcached"), "-u", "nobody", "-l", address, "-m", "8", "-t", "1"], {}


def mosquitto(folder: Path, address: str, tls: Path) -> Command:
    conf = write(folder / "conf", f"listener 1883 {address}\nallow_anonymous true\npersistence false\n")
    return [program("mosquitto"), "-c", conf], {}


def slapd(folder: Path, address: str, tls: Path) -> Command:
    (folder / "db").mkdir()
    text = (
        f"include /etc/ldap/schema/core.schema\npidfile {folder}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"database mdb\nsuffix dc=lab,dc=test\ndirectory {folder}/db\nmaxsize 1048576\n"
    )
    return [program("slapd"), "-d", "0", "-h", f"ldap://{address}/", "-f", write(folder / "conf", text)], {}


def snmpd(folder: Path, address: str, tls: Path) -> Command:
    conf = write(folder / "conf", "rocommunity public\nsysLocation lab\n")
    return [program("snmpd"), "-f", "-Le", "-C", "-c", conf, "-p", str(folder / "pid"), f"udp:{address}:161"], {
        "SNMP_PERSISTENT_DIR": str(folder)
    }


def rsync(folder: Path, address: str, tls: Path) -> Command:
    conf = write(
        folder / "conf", f"use chroot = no\nlog file = {folder}/log\n[files]\npath = {folder}\ncomment = of the lab\n"
    )
    return [program("rsync"), "--daemon", "--no-detach", f"--config={conf}", f"--address={address}"], {}


def telnetd(folder: Path, address: str, tls: Path) -> Command:
    return [sys.executable, str(Path(__file__).with_name("inetd.py")), address, "23", program("telnetd")], {}


def ngircd(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f"[Global]\nName = irc.lab.test\nInfo = lab\nListen = {address}\nPorts = 6667\nMotdPhrase = lab\nPidFile = {folder}/pid\n"
        "[Options]\nDNS = no\nIdent = no\nPAM = no\n"
    )
    return [program("ngircd"), "-n", "-f", write(folder / "conf", text)], {}


def prosody(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f'interfaces = {{ "{address}" }}\nlocal_interfaces = {{ "127.0.0.1" }}\ndaemonize = false\nrun_as_root = true\n'
        f'pidfile = "{folder}/pid"\ndata_path = "{folder}"\nlog = {{ info = "*console" }}\n'
        f'modules_enabled = {{ "disco", "saslauth", "tls", "version" }}\nssl = {{ certificate = "{tls}/cert.pem"; '
        f'key = "{tls}/key.pem" }}\nVirtualHost "lab.test"\n'
    )
    return [program("prosody"), "--config", write(folder / "prosody.cfg.lua", text), "-F"], {}


def cups(folder: Path, address: str, tls: Path) -> Command:
    for kind in ("root", "cache", "state", "spool", "tmp"):
        (folder / kind).mkdir(mode=0o755)
    files = (
        f"ServerRoot {folder}/root\nCacheDir {folder}/cache\nStateDir {folder}/state\nRequestRoot {folder}/spool\n"
        f"TempDir {folder}/tmp\nAccessLog {folder}/access\nErrorLog {folder}/log\nPageLog {folder}/page\nSystemGroup root\n"
    )
    text = (
        f"Listen {address}:631\nListen 127.0.0.1:631\nServerAlias *\nDefaultEncryption Never\nBrowsing Off\n"
        "<Location />\nOrder allow,deny\nAllow all\n</Location>\n"
    )
    return [program("cupsd"), "-f", "-c", write(folder / "conf", text), "-s", write(folder / "files", files)], {}


def tftpd(folder: Path, address: str, tls: Path) -> Command:
    return [
        program("in.tftpd"), "--foreground", "--address", f"{address}:69", "--user", "nobody", "--secure", str(folder)
    ], {}  # fmt: skip


def chrony(folder: Path, address: str, tls: Path) -> Command:
    text = f"local stratum 10\nallow all\nbindaddress {address}\nbindcmdaddress /\ncmdport 0\npidfile {folder}/pid\n"
    # -x: it never touches the clock.
    return [program("chronyd"), "-d", "-x", "-u", "root", "-f", write(folder / "conf", text)], {}


def tigervnc(folder: Path, address: str, tls: Path) -> Command:
    return [
        program("Xtigervnc"), ":77", "-rfbport", "5900", "-interface", address, "-SecurityTypes", "None", "-nolisten", "tcp",
        "-geometry", "320x200", "-depth", "16",
    ], {"HOME": str(folder)}  # fmt: skip


def xvfb(folder: Path, address: str, tls: Path) -> Command:
    return [program("Xvfb"), ":3", "-ac", "-listen", "tcp", "-screen", "0", "320x200x16"], {}


def x11vnc(folder: Path, address: str, tls: Path) -> Command:
    return [
        program("x11vnc"), "-display", ":77", "-listen", address, "-rfbport", "5900", "-passwd", "lab", "-forever",
        "-noxdamage", "-noipv6", "-loop",
    ], {"HOME": str(folder)}  # fmt: skip


def xrdp(folder: Path, address: str, tls: Path) -> Command:
    text = (
        f"[Globals]\nport=tcp://{address}:3389\nfork=true\nsecurity_layer=negotiate\ncrypt_level=high\n"
        f"certificate={tls}/cert.pem\nkey_file={tls}/key.pem\nssl_protocols=TLSv1.2, TLSv1.3\n"
        f"[Logging]\nLogFile={folder}/log\nLogLevel=INFO\nEnableSyslog=0\n[Xvnc]\nname=Xvnc\nlib=libvnc.so\n"
    )
    return [program("xrdp"), "--nodaemon", "--config", write(folder / "conf", text)], {}


def rpcbind(folder: Path, address: str, tls: Path) -> Command:
    return [program("rpcbind"), "-f", "-h", address], {}


def distcc(folder: Path, address: str, tls: Path) -> Command:
    return [
        program("distccd"), "--no-detach", "--daemon", "--listen", address, "--allow", "10.77.0.0/24", "--user", "nobody",
        "--log-file", str(folder / "log"), "--jobs", "1",
    ], {"TMPDIR": str(folder)}  # fmt: skip


def svnserve(folder: Path, address: str, tls: Path) -> Command:
    return [program("svnserve"), "--daemon", "--foreground", "--listen-host", address, "-r", str(folder)], {}


def git(folder: Path, address: str, tls: Path) -> Command:
    return [program("git"), "daemon", f"--listen={address}", f"--base-path={folder}", "--reuseaddr"], {}


def stunnel(folder: Path, address: str, tls: Path) -> Command:
    # The web server behind it has the address before: the table's order.
    behind = f"10.77.0.{int(address.rpartition('.')[2]) - 1}"
    text = (
        f"foreground = yes\npid =\n[web]\naccept = {address}:443\nconnect = {behind}:80\n"
        f"cert = {tls}/cert.pem\nkey = {tls}/key.pem\n"
    )
    return [program("stunnel4"), write(folder / "conf", text)], {}


def coturn(folder: Path, address: str, tls: Path) -> Command:
    return [
        program("turnserver"), "-n", "-L", address, "--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout",
        f"--pidfile={folder}/pid", f"--userdb={folder}/db", "--realm=lab.test",
    ], {}  # fmt: skip


def etcd(folder: Path, address: str, tls: Path) -> Command:
    url = f"http://{address}:2379"
    return [
        program("etcd"), "--data-dir", str(folder / "data"), "--listen-client-urls", url, "--advertise-client-urls", url,
        "--listen-peer-urls", "http://127.0.0.1:2380",
    ], {}  # fmt: skip


def node_exporter(folder: Path, address: str, tls: Path) -> Command:
    return [program("prometheus-node-exporter"), f"--web.listen-address={address}:9100"], {}


def microsocks(folder: Path, address: str, tls: Path) -> Command:
    return [program("microsocks"), "-i", address, "-p", "1080"], {}


def rabbitmq(folder: Path, address: str, tls: Path) -> Command:
    return [program("rabbitmq-server")], {
        "HOME": str(folder), "RABBITMQ_NODE_IP_ADDRESS": address, "RABBITMQ_NODENAME": "lab@localhost",
        "RABBITMQ_MNESIA_BASE": str(folder / "db"), "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": write(folder / "plugins", "[]."), "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_PID_FILE": str(folder / "pid"), "RABBITMQ_IGNORE_SIGINT": "false",
    }  # fmt: skip


MAIL, WEB = ("smtp",), ("http",)
TABLE: tuple[LabService, ...] = (
    LabService("openssh", "openssh-server", 22, ("ssh",), ("OpenSSH",), openssh),
    LabService("dropbear", "dropbear-bin", 22, ("ssh",), ("Dropbear",), dropbear),
    LabService("vsftpd", "vsftpd", 21, ("ftp",), ("vsftpd",), vsftpd),
    LabService("proftpd", "proftpd-core", 21, ("ftp",), ("ProFTPD",), proftpd, tells=False),
    LabService("exim", "exim4-daemon-light", 25, MAIL, ("Exim",), exim),
    LabService("dovecot", "dovecot-imapd", 143, ("imap",), ("Dovecot",), dovecot, tells=False),
    LabService(
        "dovecot-imaps", "dovecot-imapd", 993, ("imap",), ("Dovecot",), dovecot, tells=False, tls=True, beside="dovecot"
    ),
    LabService("dovecot-pop3", "dovecot-pop3d", 110, ("pop3",), ("Dovecot",), dovecot, tells=False, beside="dovecot"),
    LabService("bind", "bind9", 53, ("dns",), ("BIND",), bind),
    LabService("bind-udp", "bind9", 53, ("dns",), ("BIND",), bind, proto="udp", beside="bind"),
    LabService("unbound", "unbound", 53, ("dns",), ("unbound",), unbound, proto="udp"),
    LabService("nginx", "nginx-light", 80, WEB, ("nginx",), nginx),
    LabService("stunnel", "stunnel4", 443, WEB, ("nginx",), stunnel, tls=True, tells=False),
    LabService("apache", "apache2-bin", 80, WEB, ("Apache httpd",), apache),
    LabService("lighttpd", "lighttpd", 80, WEB, ("lighttpd",), lighttpd),
    LabService("squid", "squid", 3128, ("http-proxy",), ("Squid",), squid),
    LabService("tinyproxy", "tinyproxy", 8888, ("http-proxy",), ("Tinyproxy",), tinyproxy),
    LabService("samba", "samba", 445, ("microsoft-ds",), ("Samba",), samba, tells=False),
    LabService("mariadb", "mariadb-server-core", 3306, ("mysql",), ("MariaDB",), mariadb),
    LabService("postgresql", "postgresql-15", 5432, ("postgresql",), ("PostgreSQL",), postgresql, tells=False),
    LabService("redis", "redis-server", 6379, ("redis",), ("Redis",), redis),
    LabService("memcached", "memcached", 11211, ("memcache",), ("memcached",), memcached),
    LabService("mosquitto", "mosquitto", 1883, ("mqtt",), ("Mosquitto",), mosquitto),
    LabService("slapd", "slapd", 389, ("ldap",), ("OpenLDAP",), slapd, tells=False),
    LabService("snmpd", "snmpd", 161, ("snmp",), ("Net-SNMP",), snmpd, proto="udp", tells=False),
    LabService("rsync", "rsync", 873, ("rsync",), ("rsync",), rsync, tells=False),
    LabService("telnetd", "inetutils-telnetd", 23, ("telnet",), ("GNU inetutils telnetd",), telnetd, tells=False),
    LabService("ngircd", "ngircd", 6667, ("irc",), ("ngIRCd",), ngircd),
    LabService("prosody", "prosody", 5222, ("xmpp-client",), ("Prosody",), prosody, tells=False),
    LabService("cups", "cups-daemon", 631, ("ipp",), ("CUPS",), cups),
    LabService("tftpd", "tftpd-hpa", 69, ("tftp",), ("tftpd-hpa",), tftpd, proto="udp", tells=False),
    LabService("chrony", "chrony", 123, ("ntp",), ("chrony",), chrony, proto="udp", tells=False),
    LabService("tigervnc", "tigervnc-standalone-server", 5900, ("rfb",), ("TigerVNC",), tigervnc, tells=False),
    LabService("xvfb", "xvfb", 6003, ("x11",), ("X.Org Server",), xvfb),
    LabService("x11vnc", "x11vnc", 5900, ("rfb",), ("x11vnc",), x11vnc, tells=False),
    LabService("xrdp", "xrdp", 3389, ("ms-wbt-server",), ("xrdp",), xrdp, tells=False),
    LabService("rpcbind", "rpcbind", 111, ("sunrpc",), ("rpcbind",), rpcbind, tells=False),
    LabService("distcc", "distcc", 3632, ("distcc",), ("distcc",), distcc, tells=False),
    LabService("svnserve", "subversion", 3690, ("svn",), ("Subversion svnserve",), svnserve, tells=False),
    LabService("git", "git", 9418, ("git",), ("git daemon",), git, tells=False),
    LabService("coturn", "coturn", 3478, ("stun",), ("coturn",), coturn),
    LabService("coturn-udp", "coturn", 3478, ("stun",), ("coturn",), coturn, proto="udp", beside="coturn"),
    LabService("etcd", "etcd-server", 2379, ("etcd-client",), ("etcd",), etcd),
    LabService(
        "node-exporter", "prometheus-node-exporter", 9100, ("prometheus-exporter",), ("node_exporter",), node_exporter
    ),
    LabService("microsocks", "microsocks", 1080, ("socks",), ("microsocks",), microsocks, tells=False),
    LabService("rabbitmq", "rabbitmq-server", 5672, ("amqp",), ("RabbitMQ",), rabbitmq, heavy=True),
)
