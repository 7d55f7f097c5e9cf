"""The records of a portion as a message between processes, and back."""

from __future__ import annotations

from typing import Any, cast

from nsm.model.flow import FLOW
from nsm.model.record import RECORD
from nsm.model.records import Records
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, ARP, SECOND, TARGET
from nsm.run.transport import Message, encode


def records_message(records: Records, **header: Any) -> bytes:
    """Records as a message; empty tables are left out."""
    return encode("records", {"watermark": records.watermark, **header}, [rows for rows in records.tables if len(rows)])


def records_of(message: Message) -> Records:
    """The records of a message."""
    tables = [message.tables.get(name) for name in ("flow", "target", "arp", "anomaly", "second", "record")]
    known = [FLOW, TARGET, ARP, ANOMALY, SECOND, RECORD]
    filled = [rows if rows is not None else Rows.empty(table) for rows, table in zip(tables, known, strict=True)]
    return Records(cast("int", message.header["watermark"]), *filled)
