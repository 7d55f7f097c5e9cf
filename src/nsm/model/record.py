"""RECORD: what a parser said of a conversation, as rows of one table; the event's own objects are a JSON text."""

from __future__ import annotations

from typing import Final

from nsm.model.table import TEXT, Column, Table

ZEEK: Final = "zeek."  # kinds that begin so are lines of a Zeek log, not events
NO_TX: Final = -1
AT_END: Final = "at_end"  # extra column that orders rows: was it said when its flow ended?

RECORD: Final = Table(
    "record",
    "One thing that a protocol parser understood: a question, a page, a handshake, a file",
    (
        Column("ts", "int64", "time of the packet that told it, us UTC"),
        Column("seq", "uint32", "number of the record within its flow"),
        Column("packet", "uint64", "number of that packet in its capture, 0 at the end of a flow", stored=False),
        Column("flow_id", "uint64", "the flow's"),
        Column("event_type", TEXT, "event type: dns, http, tls, ...", dictionary=True),
        Column("app", TEXT, "application protocol", dictionary=True),
        Column("iface", "uint8", "number of the interface", dictionary=True),
        Column("vlan", "uint16", "outer VLAN identifier, 0 none", dictionary=True),
        Column("vlan_inner", "uint16", "second VLAN identifier, 0 none", dictionary=True),
        Column("depth", "uint8", "number of tunnels around it", dictionary=True),
        Column("ip_v", "uint8", "4 or 6", dictionary=True),
        Column("src_hi", "uint64", "source address, upper half: as EVE has it for that event type", dictionary=True),
        Column("src_lo", "uint64", "source address, lower half", bloom=True),
        Column("dst_hi", "uint64", "destination address, upper half", dictionary=True),
        Column("dst_lo", "uint64", "destination address, lower half", bloom=True),
        Column("src_port", "uint16", "source port"),
        Column("dst_port", "uint16", "destination port", dictionary=True),
        Column("proto", "uint8", "IP protocol number", dictionary=True),
        Column("tx_id", "int32", "transaction number in the flow, -1 where EVE has none", default=NO_TX),
        Column("body", TEXT, "the event's objects beside the envelope, JSON"),
    ),
    sort=("ts", "flow_id", "seq"),
)
