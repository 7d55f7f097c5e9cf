"""What ``nsm.read(settings={...})`` accepts, checked, and what of it has an effect.

Three kinds of keys: those of reading itself (``home_net``, ``batch_packets``, ``workers``, ``profile``), those of a
Suricata configuration, nested as there, so that its own tests and people's habits carry over, and every setting
of ours by its dotted or nested name. A known key without effect yet gives one warning for all of them; an
unknown one is an error with the nearest right name.
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from nsm.errors import SettingsError
from nsm.settings.section import SettingsSection, fields_of
from nsm.settings.sources import flatten

log = logging.getLogger(__name__)

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Texts = list[str]
Size = int | str  # bytes, or "1mb" as that configuration writes it
Networks = str | list[str]
ANY: Final = object()  # below this key everything is accepted

BATCH_PACKETS_MAX: Final = 65_536  # the bound of a batch, model/batch.py
WORKERS_MAX: Final = 64  # ours: more than the fan-out of any machine we know
WHERE: Final = "settings of nsm.read"

# Types of events that can be listed under ``log``: the objects of the schema that the reference engine has loggers for.
LOG_TYPES: Final = (
    "alert", "anomaly", "arp", "bittorrent_dht", "dcerpc", "dhcp", "dnp3", "dns", "doh2", "drop", "enip", "fileinfo",
    "files", "flow", "frame", "ftp", "ftp_data", "http", "http2", "ike", "krb5", "ldap", "llmnr", "mdns", "metadata",
    "modbus", "mqtt", "netflow", "nfs", "ntp", "packet", "pgsql", "pop3", "quic", "rdp", "rfb", "rpc", "sip", "smb",
    "smtp", "snmp", "ssh", "stats", "template", "tftp", "tls", "websocket",
)  # fmt: skip

_XFF: Final = {
    "enabled": bool,
    "mode": Literal["extra-data", "overwrite"],
    "deployment": Literal["forward", "reverse"],
    "header": str,
}

LOG_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "alert": {
        "packet": bool, "payload": bool, "payload_printable": bool, "payload_length": bool, "payload_buffer_size": Size,
        "http_body": bool, "http_body_printable": bool, "websocket_payload": bool, "metadata": ANY,
        "tagged_packets": bool, "verdict": bool, "xff": _XFF,
    },
    "anomaly": {
        "types": {"decode": bool, "stream": bool, "applayer": bool, "packethdr": bool},
        "packethdr": bool,
    },
    "dhcp": {"extended": bool},
    "dns": {"requests": bool, "responses": bool, "types": Texts, "formats": Texts, "version": int},
    "fileinfo": {"force_hash": list[Literal["md5", "sha1", "sha256"]], "force_magic": bool},
    "http": {
        "extended": bool, "custom": Texts, "xff": _XFF,
        "dump_all_headers": Literal["none", "request", "response", "both"],
    },
    "mqtt": {"passwords": bool, "string_log_limit": Size},
    "pgsql": {"passwords": bool},
    "quic": {"ja4": bool},
    "smb": {"types": Texts},
    "smtp": {"extended": bool, "custom": Texts, "md5": Texts},
    "ssh": {"hassh": bool},
    "tls": {"extended": bool, "custom": Texts, "session_resumption": bool, "ja4": bool, "ja3": bool},
}  # fmt: skip

_PORTS: Final = {"dp": int | str | list[int | str], "sp": int | str | list[int | str]}
_PROTOCOL: Final = {
    "enabled": bool | Literal["detection-only", "yes", "no"],
    "detection_ports": _PORTS,
    "max_tx": Count,
    "stream_depth": Size,
}
_APP_LAYERS: Final = (
    "bittorrent_dht", "dcerpc", "dhcp", "dnp3", "dns", "doh2", "enip", "ftp", "http", "http1", "http2", "ike", "imap",
    "krb5", "ldap", "mdns", "modbus", "mqtt", "nfs", "ntp", "pgsql", "pop3", "quic", "rdp", "rfb", "rpc", "sip", "smb",
    "smtp", "snmp", "ssh", "telnet", "template", "tftp", "tls", "websocket",
)  # fmt: skip
_APP_LAYER_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "dnp3": {"max_objects": Count},
    "ftp": {"max_line_length": Size},
    "http": {
        "request_body_limit": Size, "response_body_limit": Size, "response_body_decompress_layer_limit": Count,
        "lzma_enabled": bool, "double_decode_path": bool, "double_decode_query": bool,
        "decompression_time_limit": Count, "personality": str,
    },
    "http2": {"http1_rules": bool},
    "mqtt": {"max_msg_length": Size},
    "smb": {"max_write_size": Size, "max_read_size": Size},
    "smtp": {"mime": {
        "decode_mime": bool, "decode_base64": bool, "decode_quoted_printable": bool, "header_value_depth": Count,
        "body_md5": bool, "extract_urls": bool, "extract_urls_schemes": Texts, "log_url_scheme": bool,
    }},
    "ssh": {"hassh": bool},
    "tls": {
        "ja3_fingerprints": bool | Literal["auto"], "ja4_fingerprints": bool | Literal["auto"],
        "encryption_handling": Literal["track-only", "bypass", "full"],
    },
}  # fmt: skip

# Key -> type, nested as in the settings. ``None`` beside a type is not accepted anywhere: leave the key out.
KNOWN: Final[dict[str, Any]] = {
    "home_net": Networks,
    "batch_packets": Annotated[int, msgspec.Meta(ge=1, le=BATCH_PACKETS_MAX)],
    "workers": Annotated[int, msgspec.Meta(ge=1, le=WORKERS_MAX)],
    "profile": Literal["default", "suricata", "zeek"],
    "checksum_validation": bool | Literal["auto"],
    "vars": {
        "HOME_NET": Networks, "EXTERNAL_NET": Networks,
        **{f"{name}_SERVERS": Networks for name in ("HTTP", "SMTP", "SQL", "DNS", "TELNET", "AIM", "DC")},
        **{f"{name}_{side}": Networks for name in ("DNP3", "MODBUS", "ENIP") for side in ("CLIENT", "SERVER")},
        **{f"{name}_PORTS": int | str | list[int | str] for name in (
            "HTTP", "SHELLCODE", "ORACLE", "SSH", "DNP3", "MODBUS", "FILE_DATA", "FTP", "GENEVE", "VXLAN", "TEREDO",
            "SIP",
        )},
    },
    "log": {name: LOG_OPTIONS.get(name, {}) for name in LOG_TYPES},
    "community_id": bool,
    "community_id_seed": Annotated[int, msgspec.Meta(ge=0, le=65_535)],
    "ethernet": bool,
    "pcap_file": bool,
    "ipv6_compress": bool,
    "stream": {
        "midstream": bool, "async_oneside": bool, "inline": bool | Literal["auto"], "depth": Size,
        "urgent": {
            "policy": Literal["drop", "inline", "oob", "gap"], "oob_limit_policy": Literal["drop", "inline", "gap"],
        },
    },
    "app_layer": {
        name: {**_PROTOCOL, "tcp": _PROTOCOL, "udp": _PROTOCOL, **_APP_LAYER_OPTIONS.get(name, {})}
        for name in _APP_LAYERS
    },
    "file_store": {
        "enabled": bool, "force_filestore": bool, "force_hash": list[Literal["md5", "sha1", "sha256"]],
        "force_magic": bool, "stream_depth": Size, "write_fileinfo": bool, "max_open_files": Count, "xff": _XFF,
    },
    "host_os_policy": dict.fromkeys((
        "windows", "bsd", "bsd_right", "old_linux", "linux", "old_solaris", "solaris", "hpux10", "hpux11", "irix",
        "macos", "vista", "windows2k3"), Networks),
    "decoder": {
        "vxlan": {"enabled": bool, "ports": int | str | list[int], "reserved_bits_check": str},
        "geneve": {"enabled": bool, "ports": int | str | list[int]},
        "teredo": {"enabled": bool, "ports": int | str | list[int]},
        "ipv6": ANY, "ipv4": ANY, "recursion_level": {"use_for_tracking": bool}, "max_layers": Count,
    },
    "vlan_tracking": bool,
    "rate_tracking": ANY,
    "threshold_config": str,
    "guess_applayer_tx": bool,
    "packet_alert_max": Positive,
    "bpf": str,
    "xff": _XFF,
}  # fmt: skip

# Known keys that do something today; the rest of KNOWN is accepted and reported as unused.
EFFECTIVE: Final = (
    "home_net", "batch_packets", "workers", "profile", "checksum_validation", "stream.midstream", "stream.inline",
    "log", "community_id",
    "community_id_seed", "ethernet", "pcap_file", "ipv6_compress", "bpf", "app_layer", "file_store", "vlan_tracking",
)  # fmt: skip


class ReadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``nsm.read`` was asked for. None: as the profile has it. ``overrides``: key -> value of our sections."""

    home_net: tuple[str, ...] | None = None
    batch_packets: int = 2_048
    workers: int = 1
    profile: str = "default"
    checksum_validation: bool | None = None  # None: auto, not judged where the capture shows offloading
    midstream: bool | None = None
    inline: bool | None = None  # bytes are read as they come, not when they were acknowledged
    log: dict[str, dict[str, Any]] | None = None  # these event types with their options and no other; None: all
    community_id: bool = False
    community_id_seed: int = 0
    ethernet: bool = False
    pcap_file: bool = False
    ipv6_compress: bool = False
    bpf: str = ""
    vlan_tracking: bool = True
    file_store: dict[str, Any] | None = None  # behave as if files were kept
    protocol_options: dict[str, Any] = {}  # "<protocol or event type>.<name>" -> value
    protocols_off: tuple[str, ...] = ()  # not even recognised
    protocols_named: tuple[str, ...] = ()  # recognised, not parsed
    protocols_on: tuple[str, ...] = ()  # asked for by name
    overrides: dict[str, Any] = {}
    unused: tuple[str, ...] = ()  # keys that are known and have no effect yet


def read_settings(given: Mapping[str, Any] | None, sections: Iterable[SettingsSection] = ()) -> ReadSettings:
    """The checked form of ``settings``; SettingsError names the first wrong key. One warning for unused keys."""
    ours = {field.key: field for section in sections for field in fields_of(section)}
    names = frozenset(field.section for field in ours.values())
    values: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    for key, value in _leaves(given or {}, names):
        if key in ours:
            overrides[key] = _checked(key, value, ours[key].type)
        else:
            values[key] = _checked(key, value, _type_of(key, ours))
    unused = tuple(sorted(key for key in values if not _effective(key)))
    if unused:
        log.warning("settings without effect yet: keys=%s", ",".join(unused))
    return _struct(given or {}, values, overrides, unused)


def _struct(
    given: Mapping[str, Any], values: Mapping[str, Any], overrides: dict[str, Any], unused: tuple[str, ...]
) -> ReadSettings:
    checksum = values.get("checksum_validation", "auto")
    plain = {
        name: values[name]
        for name in ReadSettings.__struct_fields__
        if name in values and name not in {"home_net", "checksum_validation", "log", "midstream"}
    }
    return ReadSettings(
        home_net=_networks(values["home_net"]) if "home_net" in values else None,
        checksum_validation=None if checksum == "auto" else checksum,
        midstream=values.get("stream.midstream"),
        inline=None if values.get("stream.inline") == "auto" else values.get("stream.inline"),
        log={name: dict(options or {}) for name, options in given["log"].items()} if "log" in given else None,
        file_store={key.partition(".")[2]: value for key, value in values.items() if key.startswith("file_store")}
        if "file_store" in given
        else None,
        protocol_options=_protocol_options(values),
        protocols_off=_off(values),
        protocols_named=_enabled(values, "detection-only"),
        protocols_on=_enabled(values, True, "yes"),
        overrides=overrides,
        unused=unused,
        **plain,
    )


def _protocol_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of protocols and event types: the name of either, and the rest of the key."""
    found = {}
    for key, value in values.items():
        for prefix in ("app_layer.", "log."):
            if key.startswith(prefix) and key.count(".") > 1:
                name, _, rest = key.removeprefix(prefix).partition(".")
                found[f"{name.replace('_', '-')}.{rest}"] = (
                    _bytes_of(value) if rest.endswith(("limit", "length")) else value
                )
    return found


def _bytes_of(value: Any) -> Any:
    """A size in bytes: a number, or one with kb, mb or gb behind it."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    for unit, shift in (("kb", 10), ("mb", 20), ("gb", 30), ("kib", 10), ("mib", 20), ("gib", 30)):
        if text.endswith(unit) and text[: -len(unit)].strip().isdecimal():
            return int(text[: -len(unit)]) << shift
    return int(text) if text.isdecimal() else value


def _enabled(values: Mapping[str, Any], *words: Any) -> tuple[str, ...]:
    """The protocols whose ``enabled`` is one of these."""
    keys = [key.split(".") for key, value in values.items() if any(value is word or value == word for word in words)]
    return tuple(
        sorted(
            {
                key[1].replace("_", "-")
                for key in keys
                if key[0] == "app_layer" and len(key) == 3 and key[2] == "enabled"
            }
        )
    )


def _off(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The protocols that are switched off: by name, or where one transport is set by itself, with it ("dns/udp")."""
    found = []
    for layer in _APP_LAYERS:
        whole = values.get(f"app_layer.{layer}.enabled")
        each = [
            values.get(f"app_layer.{layer}.{transport}.enabled", whole) in {False, "no"} for transport in ("tcp", "udp")
        ]
        name = layer.replace("_", "-")
        if all(each):
            found.append(name)
        else:
            found += [f"{name}/{transport}" for transport, off in zip(("tcp", "udp"), each, strict=True) if off]
    return tuple(found)


def _effective(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in EFFECTIVE)


def _leaves(given: Mapping[str, Any], sections: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """(dotted key, value): our sections first opened by name, then the nested keys of KNOWN."""
    for key, value in flatten(given, sections):
        if not isinstance(key, str):
            raise SettingsError(f"{key!r} is no name of a setting", where=WHERE)
        yield from _opened(key, value, _node(key))


def _opened(key: str, value: Any, node: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield key, value
        return
    if value is None:  # "dns:" with nothing behind it, as YAML writes an empty table
        value = {}
    if not isinstance(value, Mapping):
        raise SettingsError(f"{key}: expected a table of settings, got {type(value).__name__}", where=WHERE)
    if not value:
        yield key, value
    for name, item in value.items():
        yield from _opened(f"{key}.{name}", item, node.get(name))  # as deep as KNOWN, not as the input


def _node(key: str) -> Any:
    """What KNOWN has under a dotted key; None when it has nothing."""
    node: Any = KNOWN
    for part in key.split("."):
        if node is ANY:
            return ANY
        node = node.get(part) if isinstance(node, dict) else None
        if node is None:
            return None
    return node


def _type_of(key: str, ours: Mapping[str, Any]) -> Any:
    node = _node(key)
    if node is not None:
        return node
    near = difflib.get_close_matches(key, [*_known_keys(KNOWN, ""), *ours], n=1, cutoff=0.6)
    mend = f"did you mean {near[0]}?" if near else "nsm help config   lists what can be set"
    raise SettingsError(f"unknown setting {key}", where=WHERE, mend=mend)


def _known_keys(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, below in node.items():
        yield f"{prefix}{name}"
        if isinstance(below, dict):
            yield from _known_keys(below, f"{prefix}{name}.")


def _checked(key: str, value: Any, kind: Any) -> Any:
    if kind is ANY or isinstance(kind, dict):
        return value
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"{key}: {str(error).replace(' - at `$`', '')}", where=WHERE) from error


def _networks(value: str | list[str]) -> tuple[str, ...]:
    texts = value.strip("[]").split(",") if isinstance(value, str) else value
    found = []
    for text in texts:
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError as error:
            mend = 'networks like ["10.0.0.0/8", "fd00::/8"]'
            raise SettingsError(f"home_net: {text!r} is no network", where=WHERE, mend=mend) from error
    return tuple(found)
