"""EVE JSON: flows, netflow, alerts, anomalies and statistics as Suricata writes them, one line each.

Flow lines come from a template over whole columns: a dictionary for each would cost three times as much. What EVE has no
place for stands under ``nsm``. The schema of the format is Suricata's etc/schema.json; names of fields are its.

Long because every kind of line is written here, and all share the envelope.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_NAMES, PROTO_SCTP, PROTO_TCP, PROTO_UDP
from nsm.model.address import halves, texts
from nsm.model.finding import Alert, Severity
from nsm.model.flow import EndReason, FlowState, Report, TcpState
from nsm.model.records import TICK_US
from nsm.model.table import Array, Rows

STATES: Final = tuple(state.name.lower() for state in FlowState)
REASONS: Final = ("unknown", *(reason.name.lower() for reason in EndReason if reason))
OVER: Final = frozenset(
    (TcpState.LAST_ACK, TcpState.TIME_WAIT, TcpState.CLOSED)
)  # of which EVE says that the flow is closed
TCP_STATES: Final = tuple(state.name.lower() for state in TcpState)
FLAG_NAMES: Final = ((0x02, "syn"), (0x01, "fin"), (0x04, "rst"), (0x08, "psh"), (0x10, "ack"), (0x20, "urg"),
                     (0x40, "ecn"), (0x80, "cwr"))  # fmt: skip
PORTED: Final = (PROTO_TCP, PROTO_UDP, PROTO_SCTP)
SEVERITY_NUMBER: Final = {
    Severity.CRITICAL: 1, Severity.HIGH: 1, Severity.MEDIUM: 2, Severity.LOW: 3, Severity.INFO: 3
}  # fmt: skip
NO_ICMP: Final = 0xFFFF
LAST_SECOND: Final = 253_402_300_799  # of the year 9999: what four digits of a year can say
# ICMP types that answer another (RFC 792, RFC 4443): what the reply's ports are, seen from the request.
_COUNTERPARTS: Final = {8: 0, 13: 14, 15: 16, 17: 18, 10: 9, 128: 129, 133: 134, 135: 136, 130: 131, 139: 140}


class EveOptions(msgspec.Struct, frozen=True):
    """Which events are written and how. ``types`` None: all but netflow."""

    types: frozenset[str] | None = None
    decode_anomalies: bool = True
    application_anomalies: bool = True
    community_id: bool = False
    community_id_seed: int = 0
    ethernet: bool = False
    ipv6_compress: bool = False
    capture_file: str = ""
    interfaces: tuple[str, ...] = ()

    def wants(self, kind: str) -> bool:
        """Is that event type written?"""
        return kind in self.types if self.types is not None else kind != "netflow"


def stamp(us: int) -> str:
    """2026-01-31T12:00:00.000000+0000."""
    second, part = divmod(us, 1_000_000)
    return f"{np.datetime64(min(max(second, 0), LAST_SECOND), 's')}.{part:06d}+0000"


def stamps(us: Array) -> list[str]:
    """The time stamps of a column; the text of a second is made once."""
    seconds, place = np.unique(np.clip(us // 1_000_000, 0, LAST_SECOND), return_inverse=True)
    names = np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()
    return [f"{names[at]}.{part:06d}+0000" for at, part in zip(place.tolist(), (us % 1_000_000).tolist(), strict=True)]


def _flag_fields(flags: int) -> str:
    return "".join(f',"{name}":true' for bit, name in FLAG_NAMES if flags & bit)


_ICMP: Final = (PROTO_ICMP, PROTO_ICMPV6)
_NAME: Final = tuple(f'"{PROTO_NAMES.get(number) or number}"' for number in range(256))
_TCP_TEXT: Final = tuple(_flag_fields(flags) for flags in range(256))
_TCP_SIDE: Final = tuple(f',"tcp":{{"tcp_flags":"{flags:02x}"{_TCP_TEXT[flags]}}}' for flags in range(256))


@functools.cache
def _app_text(name: str) -> str:
    return f',"app_proto":{orjson.dumps(name).decode()}' if name else ""


@functools.cache
def _orig_text(name: str) -> str:
    """``name``: the earlier protocol, and with tc: or ts: that of one side alone."""
    text = ""
    for part in name.split(",") if name else ():
        side, mark, rest = part.partition(":")
        key, value = (side, rest) if mark and side in {"tc", "ts"} else ("orig", part)
        text += f',"app_proto_{key}":{orjson.dumps(value).decode()}'
    return text


@functools.cache
def _label_text(name: str) -> str:
    return f',"nsm":{{"app":{orjson.dumps(name).decode()}}}' if name else ""


def community_id(src: str, dst: str, sport: int, dport: int, proto: int, seed: int = 0) -> str:
    """Community ID version 1 (https://github.com/corelight/community-id-spec)."""
    ends = [(_packed(src), sport), (_packed(dst), dport)]
    if proto in PORTED or (proto in (PROTO_ICMP, PROTO_ICMPV6) and _COUNTERPARTS.get(sport) == dport) or (
        proto in (PROTO_ICMP, PROTO_ICMPV6) and _COUNTERPARTS.get(dport) == sport
    ):  # fmt: skip
        ends.sort()
    elif proto not in (PROTO_ICMP, PROTO_ICMPV6):
        ends = sorted((address, 0) for address, _ in ends)
    data = struct.pack(">H", seed) + ends[0][0] + ends[1][0] + bytes((proto, 0))
    if proto in PORTED or proto in (PROTO_ICMP, PROTO_ICMPV6):
        data += struct.pack(">HH", ends[0][1], ends[1][1])
    return "1:" + base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _packed(address: str) -> bytes:
    hi, lo = halves(address)
    return struct.pack(">I", lo & 0xFFFFFFFF) if hi == 0 and lo >> 32 == 0xFFFF else struct.pack(">QQ", hi, lo)


def _mac(value: int) -> str:
    return ":".join(f"{value >> shift & 255:02x}" for shift in range(40, -8, -8))


class EveWriter:
    """Turns rows and alerts into lines (bytes without the line end). Holds no state."""

    def __init__(self, options: EveOptions) -> None:
        self._options = options

    def wants(self, kind: str) -> bool:
        """Is that event type written?"""
        return self._options.wants(kind)

    def flows(self, rows: Rows) -> Iterator[tuple[int, bytes]]:
        """(tick, line) of each flow that ended, and its netflow events when they are wanted."""
        wanted = rows.take(rows["report"] == Report.ENDED)
        if not len(wanted):
            return
        if self._options.wants("flow"):
            yield from zip(wanted["tick"].tolist(), self._flow_lines(wanted), strict=True)
        if self._options.wants("netflow"):
            yield from self._netflow_lines(wanted)

    def records(self, rows: Rows) -> Iterator[tuple[int, bytes]]:
        """(tick, line) of what parsers said: the envelope, and the objects as they come."""
        if not len(rows):
            return
        options = self._options
        columns = [
            rows[name].tolist()
            for name in ("tick", "flow_id", "packet", "event_type", "vlan", "vlan_inner", "iface", "tx_id")
        ]
        tails = self._tails(rows) if options.community_id or options.capture_file else iter([""] * len(rows))
        bodies = rows["body"].tolist()
        names = [f'"in_iface":{orjson.dumps(name).decode()},' if name else "" for name in options.interfaces]
        for when, end, tail, body, (tick, flow_id, packet, kind, vlan, inner, iface, tx_id) in zip(
            stamps(rows["ts"]), self._ends(rows), tails, bodies, zip(*columns, strict=True), strict=True
        ):
            if (
                kind[:5] == "zeek."
                or not options.wants(kind)
                or (kind == "anomaly" and not options.application_anomalies)
            ):
                continue
            tag = (f'"vlan":[{vlan},{inner}],' if inner else f'"vlan":[{vlan}],') if vlan else ""
            number = f'"pcap_cnt":{packet},' if packet else ""
            name = names[iface] if iface < len(names) else ""
            tx = f',"tx_id":{tx_id}' if tx_id >= 0 else ""
            yield (
                tick,
                (
                    f'{{"timestamp":"{when}","flow_id":{flow_id},{name}{number}"event_type":"{kind}",{tag}{end}'
                    f',"pkt_src":"{"wire/pcap" if packet else "stream (flow timeout)"}"{tail}{tx},{body[1:]}'
                ).encode(),
            )

    def _ends(self, rows: Rows) -> list[str]:
        """Address, port and protocol fields of each row."""
        full = not self._options.ipv6_compress
        sources = texts(rows["src_hi"], rows["src_lo"], full=full)
        targets = texts(rows["dst_hi"], rows["dst_lo"], full=full)
        columns = [rows[name].tolist() for name in ("src_port", "dst_port", "proto", "ip_v")]
        return [
            f'"src_ip":"{src}","src_port":{sport},"dest_ip":"{dst}","dest_port":{dport},"ip_v":{version},"proto":{_NAME[proto]}'
            if proto in PORTED
            else f'"src_ip":"{src}","dest_ip":"{dst}","ip_v":{version},"proto":{_NAME[proto]}'
            for src, dst, sport, dport, proto, version in zip(sources, targets, *columns, strict=True)
        ]

    def _heads(self, rows: Rows, kind: str) -> list[str]:
        """Everything of an event before its object."""
        options = self._options
        middles = self._middles(rows, kind)
        heads = [
            f'{{"timestamp":"{when}","flow_id":{flow_id},{middle}{end}'
            for when, flow_id, middle, end in zip(
                stamps(rows["emit_us"]), rows["flow_id"].tolist(), middles, self._ends(rows), strict=True
            )
        ]
        if options.community_id or options.ethernet or options.capture_file:
            heads = [head + tail for head, tail in zip(heads, self._tails(rows), strict=True)]
        return heads

    def _middles(self, rows: Rows, kind: str) -> list[str]:
        """Interface, type of event and VLAN of each row."""
        names = [f'"in_iface":{orjson.dumps(name).decode()},' if name else "" for name in self._options.interfaces]
        event = f'"event_type":"{kind}",'
        if not names and not rows["vlan"].any():
            return [event] * len(rows)
        made = []
        for outer, inner, iface in zip(
            rows["vlan"].tolist(), rows["vlan_inner"].tolist(), rows["iface"].tolist(), strict=True
        ):
            tag = (f'"vlan":[{outer},{inner}],' if inner else f'"vlan":[{outer}],') if outer else ""
            made.append(f"{names[iface] if iface < len(names) else ''}{event}{tag}")
        return made

    def _tails(self, rows: Rows) -> Iterator[str]:
        options = self._options
        name = f',"capture_file":{orjson.dumps(options.capture_file).decode()}' if options.capture_file else ""
        sources, targets = texts(rows["src_hi"], rows["src_lo"]), texts(rows["dst_hi"], rows["dst_lo"])
        nothing = [0] * len(rows)
        macs = (
            (rows["src_mac"].tolist(), rows["dst_mac"].tolist())
            if options.ethernet and "src_mac" in rows
            else (nothing, nothing)
        )
        for src, dst, sport, dport, proto, src_mac, dst_mac in zip(
            sources, targets, rows["src_port"].tolist(), rows["dst_port"].tolist(), rows["proto"].tolist(), *macs, strict=True,
        ):  # fmt: skip
            tail = name
            if options.community_id:
                tail += f',"community_id":"{community_id(src, dst, sport, dport, proto, options.community_id_seed)}"'
            if options.ethernet and (src_mac or dst_mac):
                tail += f',"ether":{{"src_macs":["{_mac(src_mac)}"],"dest_macs":["{_mac(dst_mac)}"]}}'
            yield tail

    def _flow_lines(self, rows: Rows) -> list[bytes]:
        first = rows["ts"] - rows["dur_us"].astype(np.int64)
        columns = [
            rows[name].tolist() for name in (
                "proto", "src_port", "dst_port", "icmp_reply", "pkts_s", "pkts_c", "bytes_s", "bytes_c", "state", "reason",
                "alerted", "tcp_s", "tcp_c", "tcp_state", "app", "app_orig", "label",
            )
        ]  # fmt: skip
        age = (rows["ts"] // 1_000_000 - first // 1_000_000).tolist()
        return [
            (
                f'{head}{_icmp(sport, dport, reply) if proto in _ICMP else ""}{_app_text(app)}{_orig_text(app_orig)}'
                f',"flow":{{"pkts_toserver":{pkts_s},'
                f'"pkts_toclient":{pkts_c},"bytes_toserver":{bytes_s},"bytes_toclient":{bytes_c},"start":"{start}",'
                f'"end":"{stop}","age":{seconds},"state":"{"closed" if tcp_state in OVER else STATES[state]}",'
                f'"reason":"{REASONS[reason]}",'
                f'"alerted":{"true" if alerted else "false"}}}{_tcp(tcp_s, tcp_c, tcp_state) if proto == PROTO_TCP else ""}'
                f'{_label_text(label)}}}'
            ).encode()
            for head, start, stop, seconds, (
                proto, sport, dport, reply, pkts_s, pkts_c, bytes_s, bytes_c, state, reason, alerted, tcp_s, tcp_c, tcp_state,
                app, app_orig, label,
            ) in zip(
                self._heads(rows, "flow"), stamps(first), stamps(rows["ts"]), age, zip(*columns, strict=True), strict=True
            )
        ]  # fmt: skip

    def _netflow_lines(self, rows: Rows) -> Iterator[tuple[int, bytes]]:
        first = (rows["ts"] - rows["dur_us"].astype(np.int64)).tolist()
        swapped = rows.take(np.arange(len(rows)))
        for a, b in (("src_hi", "dst_hi"), ("src_lo", "dst_lo"), ("src_port", "dst_port"), ("src_mac", "dst_mac")):
            swapped[a], swapped[b] = rows[b], rows[a]
        both = (self._heads(rows, "netflow"), "s"), (self._heads(swapped, "netflow"), "c")
        ticks, last = rows["tick"].tolist(), rows["ts"].tolist()
        apps = [
            _app_text(app) + _orig_text(other)
            for app, other in zip(rows["app"].tolist(), rows["app_orig"].tolist(), strict=True)
        ]
        tcp = (rows["proto"] == PROTO_TCP).tolist()
        sides = []
        for heads, side in both:
            columns = [rows[f"{name}_{side}"].tolist() for name in ("pkts", "bytes", "ttl_min", "ttl_max", "tcp")]
            sides.append(list(zip(heads, *columns, strict=True)))
        for place in range(len(rows)):
            for head, pkts, size, low, high, flags in (sides[0][place], sides[1][place]):
                start, stop = first[place], last[place]
                ttl = f',"min_ttl":{low},"max_ttl":{high}' if pkts else ',"min_ttl":0,"max_ttl":0'
                yield (
                    ticks[place],
                    (
                        f'{head}{apps[place]},"netflow":{{"pkts":{pkts},"bytes":{size},"start":"{stamp(start)}",'
                        f'"end":"{stamp(stop)}","age":{stop // 1_000_000 - start // 1_000_000}{ttl}}}'
                        f"{_TCP_SIDE[flags] if tcp[place] else ''}}}"
                    ).encode(),
                )

    def anomalies(self, rows: Rows) -> Iterator[tuple[int, bytes]]:
        """(tick, line) of each decoder event."""
        if not (self._options.wants("anomaly") and self._options.decode_anomalies and len(rows)):
            return
        mask = np.array([not name.startswith("nsm.") for name in rows["event"].tolist()], np.bool_)
        wanted = rows.take(mask)
        if not len(wanted):
            return
        ends = self._ends(wanted)
        columns = [wanted[name].tolist() for name in ("tick", "ts", "packet", "flow_id", "vlan", "ip_v", "event")]
        for end, (tick, ts, packet, flow_id, vlan, version, event) in zip(
            ends, zip(*columns, strict=True), strict=True
        ):
            flow = f'"flow_id":{flow_id},' if flow_id else ""
            tag = f'"vlan":[{vlan}],' if vlan else ""
            place = f"{end}," if version else ""
            yield (
                tick,
                (
                    f'{{"timestamp":"{stamp(ts)}",{flow}"pcap_cnt":{packet},"event_type":"anomaly",{tag}{place}'
                    f'"pkt_src":"wire/pcap","anomaly":{{"type":"decode","event":"{event}"}}}}'
                ).encode(),
            )

    def alert(self, alert: Alert) -> tuple[int, bytes]:
        """(tick, line) of an alert at its present count."""
        finding = alert.finding
        event: dict[str, Any] = {"timestamp": stamp(finding.ts)}
        if finding.flow_ids:
            event["flow_id"] = finding.flow_ids[-1]
        event["event_type"] = "alert"
        if finding.src_ip:
            event["src_ip"] = self._address(finding.src_ip)
        ported = finding.proto in PORTED
        if ported and finding.src_port:
            event["src_port"] = finding.src_port
        if finding.dest_ip:
            event["dest_ip"] = self._address(finding.dest_ip)
        if ported and finding.dest_port:
            event["dest_port"] = finding.dest_port
        if finding.proto:
            event["proto"] = PROTO_NAMES.get(finding.proto) or str(finding.proto)
        metadata = {"mitre_technique_id": list(finding.techniques), "mitre_tactic_id": list(finding.tactics)}
        event["alert"] = {
            "action": "allowed", "gid": 1, "signature_id": finding.signature_id, "rev": 1, "signature": finding.signature,
            "category": finding.category, "severity": SEVERITY_NUMBER[alert.severity],
            "metadata": {name: value for name, value in metadata.items() if value},
        }  # fmt: skip
        event["nsm"] = self._ours(alert)
        return -(-finding.ts // TICK_US), orjson.dumps(event)

    def _address(self, text: str) -> str:
        if ":" not in text or self._options.ipv6_compress:
            return text
        hi, lo = halves(text)
        return texts(np.array([hi], np.uint64), np.array([lo], np.uint64), full=True)[0]

    def _ours(self, alert: Alert) -> dict[str, Any]:
        finding = alert.finding
        return {
            "id": alert.id, "detector": finding.detector, "kind": finding.kind, "severity": alert.severity.word,
            "confidence": finding.confidence, "risk": alert.risk, "count": alert.count,
            "first_seen": stamp(alert.first_seen), "last_seen": stamp(alert.last_seen),
            "actors": list(finding.actors), "victims": list(finding.victims), "measured": finding.measured,
            "threshold": finding.threshold, "unit": finding.unit, "window_s": finding.window_s,
            "explain": msgspec.to_builtins(finding.explain), "flow_ids": list(finding.flow_ids),
            "incident": alert.incident, "settings_hash": alert.settings_hash,
            **({"ended": stamp(alert.ended)} if alert.ended else {}),
        }  # fmt: skip

    def stats(self, ts_us: int, counters: Mapping[str, Any], ours: Mapping[str, Any]) -> bytes:
        """A stats event; ``counters`` in the names of EVE, ``ours`` what it has no place for."""
        event = {"timestamp": stamp(ts_us), "event_type": "stats", "stats": counters, "nsm": ours}
        return orjson.dumps(event)


def _tcp(to_server: int, to_client: int, state: int) -> str:
    """The object ``tcp``."""
    flags = to_server | to_client
    return (
        f',"tcp":{{"tcp_flags":"{flags:02x}","tcp_flags_ts":"{to_server:02x}","tcp_flags_tc":"{to_client:02x}"'
        f'{_TCP_TEXT[flags]},"state":"{TCP_STATES[state]}"}}'
    )


def _icmp(sport: int, dport: int, reply: int) -> str:
    """Type and code of the request, and of the answer when there was one (ports carry type and counterpart or code)."""
    code = 0 if _COUNTERPARTS.get(sport) == dport or _COUNTERPARTS.get(dport) == sport else dport
    text = f',"icmp_type":{sport},"icmp_code":{code}'
    if reply != NO_ICMP:
        text += f',"response_icmp_type":{reply >> 8},"response_icmp_code":{reply & 0xFF}'
    return text


def in_order(*streams: list[tuple[int, bytes]]) -> list[bytes]:
    """Lines by tick; within one tick in the order of the streams."""
    count = sum(map(len, streams))
    if count == 0:
        return []
    ticks = np.fromiter((tick for stream in streams for tick, _ in stream), np.int64, count)
    if len([stream for stream in streams if stream]) == 1:
        return [line for stream in streams for _, line in stream]
    lines: list[bytes] = [line for stream in streams for _, line in stream]
    order: Array = np.argsort(ticks, kind="stable")
    return [lines[place] for place in order.tolist()]
