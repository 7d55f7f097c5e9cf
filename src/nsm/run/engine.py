"""From settings to the engine's parts: what a worker and the analyst are made with, for reading and for live runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nsm.alert.desk import SETTINGS as ALERT
from nsm.decode.settings import SETTINGS as DECODE
from nsm.decode.settings import DecodeSettings
from nsm.errors import SettingsError
from nsm.kernels.constants import TURN_NEVER, TURN_PORT, TURN_ZEEK
from nsm.model.address import Networks
from nsm.output.eve import EveOptions
from nsm.pipeline import HOME_NET, Analyst, detector_specs
from nsm.settings.load import Settings, load
from nsm.settings.read_settings import ReadSettings
from nsm.settings.section import SettingsSection
from nsm.track.settings import SETTINGS as FLOW
from nsm.track.settings import SURICATA, ZEEK, FlowSettings, TrackOptions, WorkerSettings
from nsm.track.stream_settings import SETTINGS as STREAM
from nsm.track.stream_settings import StreamOptions

# What that engine writes when its configuration names no types (suricata.yaml of its distribution).
SURICATA_TYPES: Final = frozenset((
    "alert", "anomaly", "http", "http2", "dns", "doh2", "mdns", "llmnr", "tls", "fileinfo", "smtp", "websocket", "ftp", "ftp_data",
    "rdp", "nfs", "smb", "tftp", "ike", "dcerpc", "krb5", "bittorrent_dht", "snmp", "rfb", "sip", "quic", "ldap", "pop3", "dhcp",
    "ssh", "mqtt", "flow",
))  # fmt: skip
ZEEK_HASHES: Final = ("md5", "sha1")  # of its script base/files/hash
SURICATA_OPTIONS: Final = {
    **{f"{name}.ja3_fingerprints": False for name in ("tls", "quic")},
    **{f"{name}.ja4_as_suricata": True for name in ("tls", "quic")},
}
# Protocols that it does not even recognise unless its configuration says so, and all that it knows.
SURICATA_OFF: Final = ("modbus", "dnp3", "enip", "pgsql")
SURICATA_KNOWN: Final = frozenset((
    "bittorrent-dht", "dcerpc", "dhcp", "dnp3", "dns", "enip", "ftp", "ftp-data", "http", "http2", "ike", "imap", "krb5",
    "ldap", "llmnr", "mdns", "modbus", "mqtt", "netbios", "nfs", "ntp", "pgsql", "pop3", "quic", "rdp", "rfb", "sip", "smb",
    "smtp", "snmp", "ssh", "telnet", "tftp", "tls", "websocket",
))  # fmt: skip # netbios: its sessions carry SMB, which that engine finds in them

PROFILES: Final[dict[str, FlowSettings]] = {"default": FlowSettings(), "suricata": SURICATA, "zeek": ZEEK}


def engine_sections() -> tuple[SettingsSection, ...]:
    """The sections that reading a capture needs; not those of the store or the web server."""
    detectors = [
        SettingsSection(name=f"detect.{name}", struct=spec.settings) for name, spec in detector_specs().items()
    ]
    return (ALERT, DECODE, FLOW, STREAM, *detectors)


class Engine:
    """Makes workers and the analyst for one run."""

    def __init__(self, read: ReadSettings, settings: Settings) -> None:
        self.read, self.settings = read, settings
        self.home = read.home_net or HOME_NET
        try:
            Networks(self.home)
        except ValueError as error:
            raise SettingsError(f"home_net: {error}", where="settings", mend='home_net = ["192.168.0.0/16"]') from error

    @staticmethod
    def of(read: ReadSettings) -> Engine:
        """The engine for ``nsm.read``: defaults and what was given, nothing from files."""
        flags = dict(read.overrides.items())
        return Engine(read, load(engine_sections(), environ={}, flags=flags))

    def _flow_settings(self) -> FlowSettings:
        """The profile's time-outs, with what was set on top."""
        profile = PROFILES[self.read.profile]
        given: FlowSettings = self.settings.section("flow")
        if profile == FlowSettings():
            return given
        changed = {
            name: getattr(given, name)
            for name in FlowSettings.__struct_fields__
            if getattr(given, name) != getattr(FlowSettings(), name)
        }
        return msgspec.structs.replace(profile, **changed)

    def worker_settings(self, shard: int = 0, shards: int = 1, seed: int = 0, iface: int = 0) -> WorkerSettings:
        """What worker ``shard`` of ``shards`` is made with."""
        turn = {"default": TURN_PORT, "suricata": TURN_NEVER, "zeek": TURN_ZEEK}[self.read.profile]
        midstream = self.read.midstream if self.read.midstream is not None else self.read.profile != "suricata"
        return WorkerSettings(
            decode=self._decode_settings(),
            flow=self._flow_settings(),
            options=TrackOptions(
                shard=shard, shards=shards, midstream=midstream, turn=turn, history=self.read.profile == "zeek", seed=seed
            ),
            home_net=self.home, batch_packets=self.read.batch_packets, iface=iface,
            checksums=bool(self.read.checksum_validation),
            stream=self.settings.section("stream"), streams=self._stream_options(midstream),
        )  # fmt: skip

    def _protocol_options(self) -> dict[str, Any]:
        """Options of protocols; that engine has some defaults of its own."""
        given = dict(self.read.protocol_options)
        if self.read.profile != "suricata":
            return given
        bare = {f"{name}.extended": False for name in ("http", "smtp") if (self.read.log or {}).get(name) == {}}
        return {**SURICATA_OPTIONS, **bare, **given}

    def _decode_settings(self) -> DecodeSettings:
        """Zeek does not tell flows apart by their tag."""
        given: DecodeSettings = self.settings.section("decode")
        tags = given.vlan_in_flow and self.read.vlan_tracking and self.read.profile != "zeek"
        return msgspec.structs.replace(given, vlan_in_flow=tags)

    def _stream_options(self, midstream: bool) -> StreamOptions:
        """What of the conversations is said, and how, by the profile and what was asked for."""
        read = self.read
        stored = bool(read.file_store)
        hashes: tuple[str, ...] = self.settings.section("stream").hashes
        if read.profile != "default":
            wanted = [
                *(read.log or {}).get("fileinfo", {}).get("force_hash", ()),
                *(read.file_store or {}).get("force_hash", ()),
            ]
            hashes = tuple(
                dict.fromkeys(
                    [*wanted, *(["sha256"] if stored else []), *(ZEEK_HASHES if read.profile == "zeek" else ())]
                )
            )
        kinds = self.eve_options().types
        return StreamOptions(
            midstream=midstream, rows=read.profile == "zeek",
            acked=read.profile == "suricata" and read.inline is not True, failed=read.profile == "suricata",
            options=self._protocol_options(),
            off=tuple({*read.protocols_off, *self._unasked()} - {*read.protocols_on}),
            named=read.protocols_named, only=SURICATA_KNOWN if read.profile == "suricata" else None,
            ethernet=read.ethernet, hashes=hashes, stored=stored,
            kinds=None if kinds is None and read.profile == "default" else tuple(sorted(kinds or ())),
        )  # fmt: skip

    def _unasked(self) -> tuple[str, ...]:
        """What the reference engine looks for only when asked to."""
        return (*SURICATA_OFF, "netbios/udp") if self.read.profile == "suricata" else ()

    def analyst(self) -> Analyst:
        """Detectors and alert desk; no detectors of ours outside the default profile."""
        found: Mapping[str, Any] = detector_specs() if self.read.profile == "default" else {}
        detectors = {name: (spec, self.settings.section(f"detect.{name}")) for name, spec in found.items()}
        return Analyst(detectors, Networks(self.home), self.settings.section("alert"), self.settings.hash())

    def eve_options(self, capture_file: str = "", interfaces: tuple[str, ...] = ()) -> EveOptions:
        """How events are written."""
        read = self.read
        types = frozenset(read.log) if read.log is not None else None
        if types is None and read.profile == "suricata":
            types = SURICATA_TYPES
        if types is not None:
            types |= {kind for name, kind in (("http2", "http"), ("doh2", "dns")) if name in types}
        anomaly = (read.log or {}).get("anomaly", {}).get("types", {})
        return EveOptions(
            types=types, decode_anomalies=bool(anomaly.get("decode", read.profile == "default")),
            application_anomalies=bool(anomaly.get("applayer", True)),
            community_id=read.community_id, community_id_seed=read.community_id_seed, ethernet=read.ethernet,
            ipv6_compress=read.ipv6_compress, capture_file=capture_file if read.pcap_file else "", interfaces=interfaces,
        )  # fmt: skip
