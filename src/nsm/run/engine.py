"""From settings to the engine's parts: what a worker and the analyst are made with, for reading and for live runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nsm.alert.desk import SETTINGS as ALERT
from nsm.decode.settings import SETTINGS as DECODE
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

PROFILES: Final[dict[str, FlowSettings]] = {"default": FlowSettings(), "suricata": SURICATA, "zeek": ZEEK}


def engine_sections() -> tuple[SettingsSection, ...]:
    """The sections that reading a capture needs; not those of the store or the web server."""
    detectors = [
        SettingsSection(name=f"detect.{name}", struct=spec.settings) for name, spec in detector_specs().items()
    ]
    return (ALERT, DECODE, FLOW, *detectors)


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
            decode=self.settings.section("decode"),
            flow=self._flow_settings(),
            options=TrackOptions(
                shard=shard, shards=shards, midstream=midstream, turn=turn, history=self.read.profile == "zeek", seed=seed
            ),
            home_net=self.home, batch_packets=self.read.batch_packets, iface=iface,
            checksums=bool(self.read.checksum_validation),
        )  # fmt: skip

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
            types = frozenset({"flow", "alert", "anomaly"})
        anomaly = (read.log or {}).get("anomaly", {}).get("types", {})
        return EveOptions(
            types=types, decode_anomalies=bool(anomaly.get("decode", read.profile == "default")),
            community_id=read.community_id, community_id_seed=read.community_id_seed, ethernet=read.ethernet,
            ipv6_compress=read.ipv6_compress, capture_file=capture_file if read.pcap_file else "", interfaces=interfaces,
        )  # fmt: skip
