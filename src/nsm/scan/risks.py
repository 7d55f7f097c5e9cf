"""Known weaknesses of services in plain words: one table, and what of a service calls each.

A risk states what was seen, not what might be: a database that asked for a password has none. The identities are stable:
schedules, exceptions and reports name them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from nsm.model.scan import Risk, Service
from nsm.scan.certificate import days_left

SOON_DAYS: Final = 14  # ours: a certificate that ends sooner has to be renewed now
OLD_TLS: Final = frozenset({"TLS 1.0", "TLS 1.1", "SSLv3"})  # RFC 8996
DATABASES: Final = frozenset(
    {"mysql", "postgresql", "ms-sql-s", "redis", "mongodb", "memcache", "elasticsearch", "couchdb", "etcd-client"}
)
MAIL: Final = frozenset({"imap", "pop3"})

RISKS: Final = {
    risk.id: risk
    for risk in (
        Risk(
            "telnet-open",
            "high",
            "Telnet is on",
            "Passwords and all that is typed cross the network readable by anyone.",
            "Use SSH and turn Telnet off.",
        ),
        Risk(
            "ftp-clear",
            "medium",
            "FTP without encryption",
            "Passwords and files cross the network readable by anyone.",
            "Turn on AUTH TLS and demand it, or use SFTP.",
        ),
        Risk(
            "ftp-anonymous",
            "medium",
            "FTP lets everyone in",
            "Anyone may read what lies there, and perhaps write.",
            "Turn anonymous log-in off, unless these files are meant for everyone.",
        ),
        Risk(
            "smb1",
            "high",
            "The old SMB 1 is accepted",
            "SMB 1 has no protection against tampering, and worms spread over it.",
            "Turn SMB 1 off; every system since 2008 speaks SMB 2.",
        ),
        Risk(
            "smb-unsigned",
            "medium",
            "SMB without signing",
            "Someone on the way can take over a session and act as its user.",
            "Demand signing on the server.",
        ),
        Risk(
            "rdp-no-nla",
            "medium",
            "Remote desktop before log-in",
            "Anyone reaches the log-in screen, and weaknesses behind it, without a password.",
            "Demand network level authentication, and let only a VPN reach it.",
        ),
        Risk(
            "vnc-open",
            "critical",
            "VNC without a password",
            "Anyone who reaches it sees and works this screen.",
            "Set a password and tunnel it through SSH or a VPN.",
        ),
        Risk(
            "x11-open",
            "critical",
            "X11 open to the network",
            "Anyone who reaches it sees the screen and types into it.",
            "Start the X server with -nolisten tcp, and use ssh -X.",
        ),
        Risk(
            "database-open",
            "critical",
            "A data store without log-in",
            "Anyone who reaches it reads, changes and deletes its data.",
            "Set a password, and let it listen on 127.0.0.1 or behind a firewall.",
        ),
        Risk(
            "docker-open",
            "critical",
            "Docker's control without log-in",
            "Whoever reaches it is administrator of this machine.",
            "Let it listen on its socket alone, or demand client certificates.",
        ),
        Risk(
            "database-outside",
            "high",
            "A database on a public address",
            "Databases are tried by strangers within minutes of being reachable.",
            "Let it listen on an inside address, or let the firewall pass only its clients.",
        ),
        Risk(
            "dns-open",
            "medium",
            "A name server that asks for everyone",
            "It can be used to flood others with its answers.",
            "Allow recursion for your own networks alone.",
        ),
        Risk(
            "proxy-open",
            "high",
            "A proxy without log-in",
            "Anyone can reach other servers under its address.",
            "Demand a log-in or allow only your own networks.",
        ),
        Risk(
            "snmp-public",
            "high",
            'SNMP answers to "public"',
            "Anyone can read how the device is set up, and on some change it.",
            "Use SNMP 3 with a password, or change the community and limit who may ask.",
        ),
        Risk(
            "rsync-open",
            "medium",
            "rsync lists its modules to everyone",
            "Anyone learns what is offered, and may be able to copy it.",
            "Set auth users and hosts allow, and list = no.",
        ),
        Risk(
            "nfs-listed",
            "low",
            "File shares over NFS are announced",
            "NFS trusts addresses; who can take one reads the files.",
            "Export to named hosts, or use NFS 4 with Kerberos.",
        ),
        Risk(
            "mqtt-open",
            "high",
            "MQTT without log-in",
            "Anyone reads all messages and can send some, such as commands to devices.",
            "Demand a log-in (allow_anonymous false) and TLS.",
        ),
        Risk(
            "cert-expired",
            "medium",
            "The certificate has expired",
            "Browsers and programs refuse it, or people learn to click warnings away.",
            "Renew it, and let a program do so from now on.",
        ),
        Risk(
            "cert-soon",
            "low",
            "The certificate ends within 14 days",
            "From then on browsers and programs refuse it.",
            "Renew it now.",
        ),
        Risk(
            "tls-old",
            "medium",
            "TLS older than 1.2",
            "Its ciphers can be broken, and programs of today refuse it.",
            "Allow TLS 1.2 and 1.3 alone.",
        ),
        Risk(
            "ssh-1",
            "high",
            "SSH protocol 1",
            "Its encryption can be broken by someone on the way.",
            "Allow protocol 2 alone, or replace the device.",
        ),
        Risk(
            "ssh-weak",
            "low",
            "SSH with outdated algorithms",
            "A strong attacker may break or imitate connections that use them.",
            "Remove what the details list as weak; current servers do without.",
        ),
        Risk(
            "mail-clear",
            "medium",
            "Mail log-in without encryption",
            "Passwords and mail cross the network readable by anyone.",
            "Offer STARTTLS, and refuse log-in before it.",
        ),
        Risk(
            "printer-raw",
            "low",
            "A printer takes jobs from anyone",
            "Anyone on the network can print, and on some models change settings.",
            "Let the printer accept jobs from the print server alone.",
        ),
        Risk(
            "tftp-open",
            "low",
            "TFTP is on",
            "Anyone who knows a file's name gets it; there is no log-in.",
            "Turn it off, unless devices start over it, and then keep it in their network.",
        ),
        Risk(
            "ntp-control",
            "low",
            "NTP tells its inside to strangers",
            "It can be used to flood others with its answers.",
            "Set restrict default noquery.",
        ),
        Risk(
            "distcc-open",
            "high",
            "distcc takes jobs from strangers",
            "It runs compilers for anyone, and on old versions anything.",
            "Allow only your own machines (--allow).",
        ),
    )
}


def _says(name: str, value: str = "yes") -> Callable[[Service], bool]:
    return lambda service: service.details.get(name) == value


def _named(*names: str) -> Callable[[Service], bool]:
    return lambda service: service.name in names


def _both(*conditions: Callable[[Service], bool]) -> Callable[[Service], bool]:
    return lambda service: all(condition(service) for condition in conditions)


def _clear_ftp(service: Service) -> bool:
    told = "features_told" in service.details
    return service.name == "ftp" and not service.tls and told and "auth_tls" not in service.details


def _clear_mail(service: Service) -> bool:
    details = service.details
    protected = service.tls or "starttls" in details or "stls" in details or "login_disabled" in details
    return service.name in MAIL and "capabilities" in details and not protected


CALLS: Final[tuple[tuple[str, Callable[[Service], bool]], ...]] = (
    ("telnet-open", _both(_named("telnet"), lambda service: not service.tls)),
    ("ftp-clear", _clear_ftp),
    ("ftp-anonymous", _both(_named("ftp"), _says("anonymous", "let in"))),
    ("smb1", _says("smb1")),
    ("smb-unsigned", _both(_named("microsoft-ds"), _says("signing", "optional"))),
    ("rdp-no-nla", _both(_named("ms-wbt-server"), _says("nla", "no"))),
    ("vnc-open", _both(_named("rfb"), _says("open_to_all"))),
    ("x11-open", _both(_named("x11"), _says("open_to_all"))),
    ("database-open", lambda service: service.name in DATABASES and service.details.get("open_to_all") == "yes"),
    ("docker-open", _both(_named("docker"), _says("open_to_all"))),
    ("proxy-open", _both(_named("socks"), _says("open_to_all"))),
    ("snmp-public", _both(_named("snmp"), _says("community", "public"))),
    ("rsync-open", _both(_named("rsync"), _says("listed"))),
    ("nfs-listed", lambda service: service.name == "sunrpc" and "mountd" in service.details.get("programs", "")),
    ("mqtt-open", _both(_named("mqtt"), _says("open_to_all"))),
    ("tls-old", lambda service: service.details.get("tls_version") in OLD_TLS),
    ("ssh-1", lambda service: service.name == "ssh" and service.details.get("protocol", "").startswith("1.")),
    ("ssh-weak", lambda service: service.name == "ssh" and bool({"weak", "sha1_only"} & set(service.details))),
    ("mail-clear", _clear_mail),
    ("printer-raw", _named("pdl-datastream")),
    ("tftp-open", _named("tftp")),
    ("ntp-control", _both(_named("ntp"), _says("control_open"))),
    ("distcc-open", _named("distcc")),
)


def _of_certificate(service: Service, now: datetime) -> Iterator[Risk]:
    left = days_left(service.details.get("cert_not_after", ""), now)
    if left is not None and left < SOON_DAYS:
        yield RISKS["cert-expired" if left < 0 else "cert-soon"]


def _of_address(service: Service, address: str) -> Iterator[Risk]:
    """What is harmless within a network and not outside."""
    try:
        outside = ipaddress.ip_address(address.partition("%")[0]).is_global
    except ValueError:
        return
    if outside and service.name in DATABASES:
        yield RISKS["database-outside"]
    if outside and service.name == "dns" and service.details.get("recursion") == "offered":
        yield RISKS["dns-open"]


def risks_of(service: Service, address: str, now: datetime) -> tuple[Risk, ...]:
    """The weaknesses of a service at an address, as seen at a time (UTC). A guess by number has none."""
    if service.how == "port":
        return ()
    found = [RISKS[risk] for risk, called in CALLS if called(service)]
    return (*found, *_of_certificate(service, now), *_of_address(service, address))
