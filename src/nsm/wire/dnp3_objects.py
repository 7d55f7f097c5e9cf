"""Objects of DNP3's application layer: headers, points. IEEE 1815-2012, sections 4.2.2.7 and 11, annex A.

Points are told under Suricata's names. Bits of a byte are listed from the lowest; a pair (name, bits) is wider.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from nsm.wire.dns_message import text

BITS: Final = tuple[tuple[str, int], ...]
FUNCTION_READ: Final = 1  # IEEE 1815, table 4-2
PREFIX_BYTES: Final = (0, 1, 2, 4, 1, 2, 4, 0)  # IEEE 1815, table 4-6
SIZE_PREFIXES: Final = (4, 5, 6)
RANGE_BYTES: Final = {0: 1, 1: 2, 2: 4, 3: 1, 4: 2, 5: 4}  # IEEE 1815, table 4-7: start and stop
COUNT_BYTES: Final = {7: 1, 8: 2, 9: 4, 11: 1}
OBJECTS_MAX: Final = 2048  # Suricata's default of max-objects
POINTS_MAX: Final = 16_384  # Suricata's default of max-points
POINTS_SHOWN_MAX: Final = 1024  # ours: of one message

_COMMON: Final = ("online", "restart", "comm_lost", "remote_forced", "local_forced")
BINARY_FLAGS: Final = (*_COMMON, "chatter_filter", "reserved", "state")
OUTPUT_FLAGS: Final = (*_COMMON, "reserved0", "reserved1", "state")
COUNTER_FLAGS: Final = (*_COMMON, "rollover", "discontinuity", "reserved1")
ANALOG_FLAGS: Final = (*_COMMON, "over_range", "reference_err", "reserved0")
ANALOG_OUT_FLAGS: Final = (*_COMMON, "over_range", "reference_err", "reserved1")

# (group, variation): flags or None, then pairs of a name and a code: B H I unsigned, h i signed, f d floating, T time of 48 bits.
FIXED: Final[dict[tuple[int, int], tuple[tuple[str, ...] | None, tuple[tuple[str, str], ...]]]] = {
    (1, 2): (BINARY_FLAGS, ()),
    (2, 1): (BINARY_FLAGS, ()),
    (2, 2): (BINARY_FLAGS, (("timestamp", "T"),)),
    (2, 3): (BINARY_FLAGS, (("timestamp", "H"),)),
    (10, 2): (OUTPUT_FLAGS, ()),
    (11, 1): (OUTPUT_FLAGS, ()),
    (11, 2): (OUTPUT_FLAGS, (("timestamp", "T"),)),
    (20, 1): (COUNTER_FLAGS, (("count", "I"),)),
    (20, 2): (COUNTER_FLAGS, (("count", "H"),)),
    (20, 5): (None, (("count", "I"),)),
    (20, 6): (None, (("count", "H"),)),
    (21, 1): (COUNTER_FLAGS, (("count", "I"),)),
    (21, 2): (COUNTER_FLAGS, (("count", "H"),)),
    (21, 5): (COUNTER_FLAGS, (("count", "I"), ("timestamp", "T"))),
    (21, 6): (COUNTER_FLAGS, (("count", "H"), ("timestamp", "T"))),
    (21, 9): (None, (("count", "I"),)),
    (21, 10): (None, (("count", "H"),)),
    (22, 1): (COUNTER_FLAGS, (("count", "I"),)),
    (22, 2): (COUNTER_FLAGS, (("count", "H"),)),
    (22, 5): (COUNTER_FLAGS, (("count", "I"), ("timestamp", "T"))),
    (22, 6): (COUNTER_FLAGS, (("count", "H"), ("timestamp", "T"))),
    (23, 1): (COUNTER_FLAGS, (("count", "I"),)),
    (23, 2): (COUNTER_FLAGS, (("count", "H"),)),
    (30, 1): (ANALOG_FLAGS, (("value", "i"),)),
    (30, 2): (ANALOG_FLAGS, (("value", "h"),)),
    (30, 3): (None, (("value", "i"),)),
    (30, 4): (None, (("value", "h"),)),
    (30, 5): (ANALOG_FLAGS, (("value", "f"),)),
    (30, 6): (ANALOG_FLAGS, (("value", "d"),)),
    (32, 1): (ANALOG_FLAGS, (("value", "i"),)),
    (32, 2): (ANALOG_FLAGS, (("value", "h"),)),
    (32, 3): (ANALOG_FLAGS, (("value", "i"), ("timestamp", "T"))),
    (32, 4): (ANALOG_FLAGS, (("value", "h"), ("timestamp", "T"))),
    (32, 5): (ANALOG_FLAGS, (("value", "f"),)),
    (32, 6): (ANALOG_FLAGS, (("value", "d"),)),
    (32, 7): (ANALOG_FLAGS, (("value", "f"), ("timestamp", "T"))),
    (32, 8): (ANALOG_FLAGS, (("value", "d"), ("timestamp", "T"))),
    (34, 1): (None, (("deadband_value", "H"),)),
    (34, 2): (None, (("deadband_value", "I"),)),
    (34, 3): (None, (("deadband_value", "f"),)),
    (40, 1): (ANALOG_OUT_FLAGS, (("value", "i"),)),
    (40, 2): (ANALOG_OUT_FLAGS, (("value", "h"),)),
    (40, 3): (ANALOG_OUT_FLAGS, (("value", "f"),)),
    (40, 4): (ANALOG_OUT_FLAGS, (("value", "d"),)),
    (41, 1): (None, (("value", "i"), ("control_status", "B"))),
    (41, 2): (None, (("value", "h"), ("control_status", "B"))),
    (41, 3): (None, (("value", "f"), ("control_status", "B"))),
    (41, 4): (None, (("value", "d"), ("control_status", "B"))),
    (42, 1): (ANALOG_OUT_FLAGS, (("value", "i"),)),
    (42, 2): (ANALOG_OUT_FLAGS, (("value", "h"),)),
    (42, 3): (ANALOG_OUT_FLAGS, (("value", "i"), ("timestamp", "T"))),
    (42, 4): (ANALOG_OUT_FLAGS, (("value", "h"), ("timestamp", "T"))),
    (50, 1): (None, (("timestamp", "T"),)),
    (50, 2): (None, (("timestamp", "T"), ("interval", "I"))),
    (50, 3): (None, (("timestamp", "T"),)),
    (51, 1): (None, (("timestamp", "T"),)),
    (51, 2): (None, (("timestamp", "T"),)),
    (52, 1): (None, (("delay_secs", "H"),)),
    (52, 2): (None, (("delay_ms", "H"),)),
}
PACKED: Final = {(1, 1): 1, (10, 1): 1, (80, 1): 1, (3, 1): 2}  # bits of a point
# Objects with a size of their own: fixed fields, then what the rest is.
SIZED: Final[dict[tuple[int, int], tuple[tuple[tuple[str, str], ...], str]]] = {
    (70, 3): (
        (
            ("filename_offset", "H"), ("filename_size", "H"), ("created", "T"), ("permissions", "H"),
            ("authentication_key", "I"), ("file_size", "I"), ("operational_mode", "H"), ("maximum_block_size", "H"),
            ("request_id", "H"),
        ),
        "filename",
    ),
    (70, 4): (
        (("file_handle", "I"), ("file_size", "I"), ("maximum_block_size", "H"), ("request_id", "H"), ("status_code", "B")),
        "optional_text",
    ),
    (70, 5): ((("file_handle", "I"), ("block_number", "I")), "file_data"),
    (70, 6): ((("file_handle", "I"), ("block_number", "I"), ("status_code", "B")), "optional_text"),
    (70, 7): (
        (
            ("filename_offset", "H"), ("filename_size", "H"), ("file_type", "H"), ("file_size", "I"), ("created_timestamp", "T"),
            ("permissions", "H"), ("request_id", "H"),
        ),
        "filename",
    ),
    (70, 8): ((), "file_specification"),
}  # fmt: skip
WIDTHS: Final = {"B": 1, "H": 2, "I": 4, "h": 2, "i": 4, "f": 4, "d": 8, "T": 6}
STRUCTS: Final = {code: struct.Struct("<" + code) for code in "BHIhifd"}


class ObjectError(Exception):
    """The objects cannot be read on; ``slug`` names the anomaly, "" when there is none."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


def _fields(data: bytes, at: int, fields: tuple[tuple[str, str], ...], into: dict[str, Any]) -> int:
    for name, code in fields:
        width = WIDTHS[code]
        if at + width > len(data):
            raise ObjectError("")
        if code == "T":
            into[name] = int.from_bytes(data[at : at + 6], "little")
        else:
            into[name] = STRUCTS[code].unpack_from(data, at)[0]
        at += width
    return at


def _relay(data: bytes, at: int, point: dict[str, Any]) -> int:
    """Group 12 variations 1 and 2: a control block."""
    if at + 11 > len(data):
        raise ObjectError("")
    code = data[at]
    point["op_type"], point["qu"], point["cr"], point["tcc"] = code & 15, code >> 4 & 1, code >> 5 & 1, code >> 6
    point["count"], point["ontime"], point["offtime"], status = struct.unpack_from("<BIIB", data, at + 1)
    point["status_code"], point["reserved"] = status & 0x7F, status >> 7
    return at + 11


def _point(data: bytes, at: int, kind: tuple[int, int], prefix: int, prefix_code: int, point: dict[str, Any]) -> int:
    """Read what stands behind the prefix; returns where it ends."""
    if kind in SIZED and prefix_code in SIZE_PREFIXES:
        end = at + prefix
        if end > len(data):
            raise ObjectError("")
        point["size"] = prefix
        fields, rest = SIZED[kind]
        at = _fields(data[:end], at, fields, point)
        shown = data[at:end]
        point[rest] = text(shown.rstrip(b"\0")) if rest != "file_data" else text(shown)
        return end
    if prefix_code in SIZE_PREFIXES:
        if at + prefix > len(data):
            raise ObjectError("")
        return at + prefix
    if kind in ((12, 1), (12, 2)):
        return _relay(data, at, point)
    if kind not in FIXED:
        if kind[0] not in (110, 111):  # octet strings: the variation is their length
            raise ObjectError("unknown_object")
        size = kind[1] or 256
        if at + size > len(data):
            raise ObjectError("")
        point["data"] = text(data[at : at + size])
        return at + size
    flags, fields = FIXED[kind]
    if flags is not None:
        if at >= len(data):
            raise ObjectError("")
        for bit, name in enumerate(flags):
            point[name] = data[at] >> bit & 1
        at += 1
    return _fields(data, at, fields, point)


def _packed(data: bytes, at: int, width: int, start: int, count: int, points: list[dict[str, Any]]) -> int:
    size = (count * width + 7) // 8
    if at + size > len(data):
        raise ObjectError("")
    for number in range(min(count, POINTS_SHOWN_MAX)):
        bit = number * width
        state = data[at + bit // 8] >> bit % 8 & (1 << width) - 1
        points.append({"prefix": 0, "index": start + number, "state": state})
    return at + size


def _header(data: bytes, at: int) -> tuple[dict[str, Any], int, int, int]:
    """(object, start, count, offset behind the header)."""
    if at + 3 > len(data):
        raise ObjectError("")
    group, variation, qualifier = data[at], data[at + 1], data[at + 2]
    at += 3
    code = qualifier & 15
    start = stop = count = 0
    if code in RANGE_BYTES:
        width = RANGE_BYTES[code]
        if at + 2 * width > len(data):
            raise ObjectError("")
        start = int.from_bytes(data[at : at + width], "little")
        stop = int.from_bytes(data[at + width : at + 2 * width], "little")
        if stop < start:
            raise ObjectError("")
        count = stop - start + 1
        at += 2 * width
    elif code in COUNT_BYTES:
        width = COUNT_BYTES[code]
        if at + width > len(data):
            raise ObjectError("")
        count = int.from_bytes(data[at : at + width], "little")
        at += width
    elif code != 6:
        raise ObjectError("")
    found = {
        "group": group, "variation": variation, "qualifier": qualifier, "prefix_code": qualifier >> 4 & 7,
        "range_code": code, "start": start, "stop": stop, "count": count,
    }  # fmt: skip
    return found, start, count, at


def objects_of(data: bytes, at: int, function: int, objects_max: int) -> tuple[list[dict[str, Any]], str | None]:
    """(objects, None), or what could be read of them and the name of what is wrong ("": nothing has a name for it)."""
    found: list[dict[str, Any]] = []
    slug: str | None = None
    try:
        _read(data, at, function, objects_max, found)
    except ObjectError as error:
        slug = error.slug
    for one in found:
        if one.get("points") == []:  # EVE has no empty list of them
            del one["points"]
    return found, slug


def _read(data: bytes, at: int, function: int, objects_max: int, found: list[dict[str, Any]]) -> None:
    points_left = POINTS_MAX
    shown_left = POINTS_SHOWN_MAX
    while at < len(data):
        if len(found) >= objects_max:
            raise ObjectError("too_many_objects")
        one, start, count, at = _header(data, at)
        found.append(one)
        prefix_code = one["prefix_code"]
        kind = (one["group"], one["variation"])
        if not count or not kind[1] or (function == FUNCTION_READ and prefix_code not in SIZE_PREFIXES):
            at += count * PREFIX_BYTES[prefix_code] if function == FUNCTION_READ else 0
            continue
        points_left -= count
        if points_left < 0:
            raise ObjectError("too_many_points")
        points: list[dict[str, Any]] = []
        one["points"] = points
        if kind in PACKED:
            at = _packed(data, at, PACKED[kind], start, count, points)
            continue
        width = PREFIX_BYTES[prefix_code]
        for number in range(count):
            if at + width > len(data):
                raise ObjectError("")
            prefix = int.from_bytes(data[at : at + width], "little")
            indexed = 0 < prefix_code < 4
            point: dict[str, Any] = {"prefix": prefix, "index": prefix if indexed else start + number}
            at = _point(data, at + width, kind, prefix, prefix_code, point)
            if shown_left:
                shown_left -= 1
                points.append(point)
