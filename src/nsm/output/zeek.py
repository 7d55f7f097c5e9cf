"""Zeek's TSV logs: the form, and conn.log from flows whose history was kept. Facts: Zeek, scripts/base/protocols/conn."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO, get_args, get_origin, get_type_hints

import numpy as np

from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP
from nsm.kernels import history as h
from nsm.kernels.holes import H_LAST
from nsm.model.address import Networks, text, texts
from nsm.model.flow import APPS, MARK_CARRIES, Report
from nsm.model.protocol import Addr, Enum, Interval, Port, Row, RowAlone, Time, row_classes
from nsm.model.record import ZEEK
from nsm.model.table import Rows
from nsm.track.rows import HISTORY
from nsm.wire.zeek_line import uid

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
PROTO_GRE: Final = 47
TUNNEL_PORTS: Final = {4789: "VXLAN", 6081: "GENEVE", 4754: "GRE", 2152: "GTPv1", 3544: "TEREDO", 5072: "AYIYA"}
_SILENT: Final = (h.INACTIVE, h.PARTIAL)  # sides that Zeek's main.zeek takes for inactive
_HALF_OPEN: Final = re.compile(r"\^?S[^HAFGIQ]*R.*")


def header(log: str, fields: Iterable[tuple[str, str]], opened: str) -> str:
    """The lines that begin a log."""
    names, types = zip(*fields, strict=True)
    return (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
        f"#path\t{log}\n#open\t{opened}\n#fields\t" + "\t".join(names) + "\n#types\t" + "\t".join(types) + "\n"
    )


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


def service(client: int, server: int, carried: str) -> str:
    """Zeek's name for what is carried, or what both sides' first payloads look like; where Zeek needs no more, one."""
    if carried:
        return carried
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
            "app_c", "service", "marks", HISTORY,
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
        services,
        marks,
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
        carried = _tunnel_type(proto, sport, dport).lower() if marks & MARK_CARRIES else ""
        ports = (sport, dport) if proto in PROTOS else (0, 0)
        timed = duration > 0
        yield "\t".join((
            _seconds(first), uid(flow), src, str(ports[0]), dst, str(ports[1]), name, services or service(app_s, app_c, carried),
            _seconds(duration) if timed else "-",
            str(sizes[0]) if timed else "-", str(sizes[1]) if timed else "-", state, "T" if here else "F",
            "T" if there else "F", str(missed), known.text or "-", str(pkts_s), str(known.word(h.H_IP)), str(pkts_c),
            str(known.word(h.H_IP + 1)), "-", str(proto),
        )) + "\n"  # fmt: skip


def _tunnel_type(proto: int, client_port: int, server_port: int) -> str:
    """Zeek's name of what carries other flows."""
    if proto == PROTO_GRE:
        return "GRE"
    if proto != PROTO_UDP:
        return "IP"
    found = [TUNNEL_PORTS[port] for port in (server_port, client_port) if port in TUNNEL_PORTS]
    return found[0] if found else "IP"


def tunnel_lines(rows: Rows) -> Iterator[str]:
    """The lines of tunnel.log for each ended flow that carried others; one over UDP is closed, too."""
    ended = rows.take((rows["report"] == Report.ENDED) & (rows["marks"] & MARK_CARRIES != 0))
    if not len(ended):
        return
    columns = [ended[name].tolist() for name in ("ts", "dur_us", "flow_id", "src_port", "dst_port", "proto")]
    ends = zip(texts(ended["src_hi"], ended["src_lo"]), texts(ended["dst_hi"], ended["dst_lo"]), strict=True)
    for (src, dst), (ts, dur, flow, sport, dport, proto) in zip(ends, zip(*columns, strict=True), strict=True):
        kind = _tunnel_type(proto, sport, dport)
        ports = (0, 0) if kind == "GRE" else (sport, dport)
        head = "\t".join((uid(flow), src, str(ports[0]), dst, str(ports[1]), f"Tunnel::{kind}"))
        yield f"{_seconds(ts - dur)}\t{head}\tTunnel::DISCOVER\n"
        if proto == PROTO_UDP and kind != "GRE":
            yield f"{_seconds(ts)}\t{head}\tTunnel::CLOSE\n"


TUNNEL: Final = (
    ("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"), ("id.resp_h", "addr"),
    ("id.resp_p", "port"), ("tunnel_type", "enum"), ("action", "enum"),
)  # fmt: skip
TYPES: Final = {str: "string", int: "count", bool: "bool", float: "double", Time: "time", Interval: "interval", Addr: "addr",
                Port: "port", Enum: "enum"}  # fmt: skip
HEAD: Final = (("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"), ("id.resp_h", "addr"),
               ("id.resp_p", "port"))  # fmt: skip


def _type_name(annotation: Any) -> str:
    """Zeek's name of a column's type."""
    options = [item for item in get_args(annotation) if item is not type(None)]
    if get_origin(annotation) is list:
        return f"vector[{_type_name(options[0])}]"
    if get_origin(annotation) is frozenset:
        return f"set[{_type_name(options[0])}]"
    return _type_name(options[0]) if options else TYPES[annotation]


def columns_of(row: type[Row]) -> tuple[tuple[str, str], ...]:
    """(name, type) of a log's columns."""
    hints = get_type_hints(row)
    own = ((name.rstrip("_").replace("__", "."), _type_name(hints[name])) for name in row.__struct_fields__)
    return (*(HEAD[:1] if issubclass(row, RowAlone) else HEAD), *own)


class ZeekLogs:
    """The logs of one run in a directory, each begun when it has its first line."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())
        self._files: dict[str, TextIO] = {}
        self._rows = row_classes()
        self.connections = 0

    def _file(self, log: str, columns: Iterable[tuple[str, str]]) -> TextIO:
        file = self._files.get(log)
        if file is None:
            file = self._files[log] = (self._directory / f"{log}.log").open("w", encoding="utf-8")
            file.write(header(log, columns, self._opened))
        return file

    def take(self, flows: Rows, said: Rows) -> None:
        """Write the connections that ended and what parsers said."""
        for line in tunnel_lines(flows):
            self._file("tunnel", TUNNEL).write(line)
        for line in conn_lines(flows):
            self._file("conn", CONN).write(line)
            self.connections += 1
        kinds = said["event_type"]
        for place in [place for place, kind in enumerate(kinds.tolist()) if kind.startswith(ZEEK)]:
            log = kinds[place].removeprefix(ZEEK)
            row = self._rows.get(log)
            if row is None:  # its parser was loaded since
                self._rows = row_classes()
                row = self._rows[log]
            self._file(log, columns_of(row)).write(_line(said, place, alone=issubclass(row, RowAlone)))

    def close(self) -> None:
        """Write conn.log even if nothing came, and the last line of each."""
        self._file("conn", CONN)
        for file in self._files.values():
            file.write(f"#close\t{self._opened}\n")
            file.close()


def _line(said: Rows, place: int, *, alone: bool) -> str:
    """A line with its head."""
    cells = [_seconds(int(said["ts"][place]))]
    if not alone:
        cells.append(uid(int(said["flow_id"][place])))
        for end in ("src", "dst"):
            cells += [
                text(int(said[f"{end}_hi"][place]), int(said[f"{end}_lo"][place])),
                str(said[f"{end}_port"][place]),
            ]
    return "\t".join(cells) + f"\t{said['body'][place]}\n"
