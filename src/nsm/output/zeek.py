"""Zeek's TSV logs: the form, and conn.log from flows whose history was kept. Facts: Zeek, scripts/base/protocols/conn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

import numpy as np

from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP
from nsm.kernels import history as h
from nsm.kernels.holes import H_LAST
from nsm.model.address import Networks, texts
from nsm.model.flow import APPS, Report
from nsm.model.table import Rows
from nsm.track.rows import HISTORY

CONN: Final = (
    ("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"), ("id.resp_h", "addr"),
    ("id.resp_p", "port"), ("proto", "enum"), ("service", "string"), ("duration", "interval"), ("orig_bytes", "count"),
    ("resp_bytes", "count"), ("conn_state", "string"), ("local_orig", "bool"), ("local_resp", "bool"),
    ("missed_bytes", "count"), ("history", "string"), ("orig_pkts", "count"), ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"), ("resp_ip_bytes", "count"), ("tunnel_parents", "set[string]"), ("ip_proto", "count"),
)  # fmt: skip
# Zeek's Site::private_address_space: RFC 1918, RFC 6598, loopback, link local, unique local.
LOCAL: Final = Networks((
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8",
    "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
    "255.255.255.255/32", "::/128", "::1/128", "fc00::/7", "fe80::/10", "100::/64", "2001::/23", "2001:2::/48",
    "2001:db8::/32",
))  # fmt: skip
PROTOS: Final = {PROTO_TCP: "tcp", PROTO_UDP: "udp", PROTO_ICMP: "icmp", PROTO_ICMPV6: "icmp"}
# Name -> (do both sides have to look like it, Zeek's name).
SERVICES: Final = {
    "http": (False, "http"), "tls": (True, "ssl"), "ssh": (True, "ssh"), "dns": (False, "dns"), "quic": (False, "quic,ssl"),
    "smtp": (True, "smtp"), "ftp": (False, "ftp"), "pop3": (False, "pop3"), "imap": (False, "imap"), "ntp": (False, "ntp"),
    "dhcp": (False, "dhcp"), "snmp": (False, "snmp"), "rdp": (True, "rdp"), "sip": (False, "sip"),
    "mdns": (False, "dns"), "llmnr": (False, "dns"), "ldap": (False, "ldap_tcp"), "pgsql": (False, "postgresql"),
    "redis": (False, "redis"), "rfb": (True, "rfb"), "mqtt": (False, "mqtt"), "smb": (False, "smb"),
}  # fmt: skip
TUNNEL_PROTOS: Final = (4, 41, 47)
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SILENT: Final = (h.INACTIVE, h.PARTIAL)  # sides that Zeek's main.zeek takes for inactive
_HALF_OPEN: Final = re.compile(r"\^?S[^HAFGIQ]*R.*")


def header(log: str, fields: Iterable[tuple[str, str]], opened: str) -> str:
    """The lines that begin a log."""
    names, types = zip(*fields, strict=True)
    return (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
        f"#path\t{log}\n#open\t{opened}\n#fields\t" + "\t".join(names) + "\n#types\t" + "\t".join(types) + "\n"
    )


def uid(flow_id: int, letter: str = "C") -> str:
    """A connection's uid: a letter and base-62 digits of the flow_id, spread over 17 places."""
    number = flow_id * 0x9E3779B97F4A7C15F39CC0605CEDC835 & ((1 << 101) - 1)
    digits = []
    for _ in range(17):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return letter + "".join(digits)


class _Connection:
    """The words of one connection's history."""

    def __init__(self, data: bytes) -> None:
        self._words = [int(word) for word in np.frombuffer(data, np.uint64)]

    def byte(self, word: int, place: int) -> int:
        return self._words[word] >> 8 * place & 0xFF

    @property
    def text(self) -> str:
        count = self.byte(h.H_STATES, 0)
        return "".join(chr(self.byte(h.H_TEXT + place // 8, place % 8)) for place in range(count))

    def state(self, side: int) -> int:
        return self.byte(h.H_STATES, 3 + side)

    def word(self, at: int) -> int:
        return self._words[at]

    def previous(self, side: int) -> int:
        return self.byte(h.H_STATES, 5 + side)

    def size(self, side: int) -> int:
        """Bytes of one side by its sequence numbers; SYN and FIN are not counted."""
        state, acked = self.state(side), self._words[h.H_ACKED + side]
        if state == h.INACTIVE:
            return 0
        # A half-open connection that its client found and gave up: what the server acknowledged is of an older one.
        silent = self.state(1 - side) == h.INACTIVE
        if silent and state == h.RESET and self.previous(side) == h.SYN_SENT and acked > 1:
            return 0
        fin = self._words[h.H_FLAGS] >> 2 + side & 1
        return max(max(self._words[H_LAST + side], acked) - 1 - fin, 0)


def conn_state(connection: _Connection) -> str:
    """Zeek's summary of how a TCP connection went."""
    orig, resp = connection.state(0), connection.state(1)
    if h.RESET in (orig, resp):
        return _reset_state(connection, orig, resp)
    if h.CLOSED in (orig, resp):
        if orig == resp:
            return "SF"
        if orig == h.CLOSED:
            return "SH" if resp in _SILENT else "S2"
        return "SHR" if orig in _SILENT else "S3"
    return {(h.SYN_SENT, h.INACTIVE): "S0", (h.ESTABLISHED, h.ESTABLISHED): "S1"}.get((orig, resp), "OTH")


def _reset_state(connection: _Connection, orig: int, resp: int) -> str:
    """The summary of a connection that one side reset; the responder's reset is looked at first."""
    if resp == h.RESET:
        nothing = connection.size(0) == 0 and connection.size(1) == 0
        if orig in (h.SYN_SENT, h.SYN_ACK_SENT) or (orig == h.RESET and nothing):
            return "REJ"
        return "RSTRH" if orig in _SILENT else "RSTR"
    if resp in _SILENT:
        return "RSTOS0" if _HALF_OPEN.fullmatch(connection.text) else "OTH"
    return "RSTO"


def service(client: int, server: int) -> str:
    """Zeek's name for what both sides' first payloads look like; one side is enough where Zeek needs no more."""
    for code in (client, server):
        needs_both, name = SERVICES.get(APPS[code], (False, "-"))
        if name != "-" and (not needs_both or client == server):
            return name
    return "-"


def _seconds(us: int) -> str:
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"


def conn_lines(rows: Rows) -> Iterator[str]:
    """One line of conn.log for each ended flow of ``rows`` (which need the column history), tunnels' headers left out."""
    keep = rows["report"] == Report.ENDED
    ended = rows.take(keep & ~np.isin(rows["proto"], TUNNEL_PROTOS))
    if not len(ended):
        return
    local_orig, local_resp = (
        LOCAL.contain(ended["src_hi"], ended["src_lo"]),
        LOCAL.contain(ended["dst_hi"], ended["dst_lo"]),
    )
    columns = [
        ended[name].tolist() for name in (
            "ts", "dur_us", "flow_id", "src_port", "dst_port", "proto", "pkts_s", "pkts_c", "payload_s", "payload_c", "app_s",
            "app_c", HISTORY,
        )
    ]  # fmt: skip
    ends = zip(texts(ended["src_hi"], ended["src_lo"]), texts(ended["dst_hi"], ended["dst_lo"]), strict=True)
    for (src, dst), here, there, (
        ts,
        dur,
        flow,
        sport,
        dport,
        proto,
        pkts_s,
        pkts_c,
        data_s,
        data_c,
        app_s,
        app_c,
        words,
    ) in zip(ends, local_orig.tolist(), local_resp.tolist(), zip(*columns, strict=True), strict=True):
        known = _Connection(words)
        first = ts - dur
        duration = known.word(h.H_TIME) // 1000 - first
        name = PROTOS.get(proto, "unknown_transport")
        if proto == PROTO_TCP:
            sizes, state = (known.size(0), known.size(1)), conn_state(known)
        else:
            sizes = (data_s, data_c)
            state = (
                ("SF" if pkts_s and pkts_c else "S0" if pkts_s else "SHR" if pkts_c else "OTH")
                if proto == PROTO_UDP
                else "OTH"
            )
        missed = known.word(h.H_MISSED)
        timed = duration > 0
        yield "\t".join((
            _seconds(first), uid(flow), src, str(sport), dst, str(dport), name, service(app_s, app_c),
            _seconds(duration) if timed else "-",
            str(sizes[0]) if timed else "-", str(sizes[1]) if timed else "-", state, "T" if here else "F",
            "T" if there else "F", str(missed), known.text or "-", str(pkts_s), str(known.word(h.H_IP)), str(pkts_c),
            str(known.word(h.H_IP + 1)), "-", str(proto),
        )) + "\n"  # fmt: skip


def write_conn(file: TextIO, parts: Iterable[Rows], opened: str) -> int:
    """Write conn.log; return the number of connections."""
    file.write(header("conn", CONN, opened))
    count = 0
    for rows in parts:
        for line in conn_lines(rows):
            file.write(line)
            count += 1
    file.write(f"#close\t{opened}\n")
    return count
