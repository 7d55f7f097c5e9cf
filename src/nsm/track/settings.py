"""Settings of flow tracking: time-outs, bounds, and what profiles change of them."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from nsm.decode.settings import DecodeSettings
from nsm.kernels.constants import TURN_PORT
from nsm.settings.section import Seconds, SettingsSection
from nsm.track.stream_settings import StreamOptions, StreamSettings

Records = Annotated[int, msgspec.Meta(ge=64, le=16_777_216)]  # tables of up to 4 GB


class FlowSettings(msgspec.Struct, frozen=True):
    """Seconds are of packet time. A record takes 192 bytes, its slots and links 26 more."""

    records_max: Records = 131_072
    """Flows held at once, rounded up to a power of two; beyond, the oldest unanswered one is counted and forgotten."""
    tcp_new_s: Seconds = 30.0
    """TCP without an answer."""
    tcp_established_s: Seconds = 300.0
    """TCP with an answer; Zeek's tcp_inactivity_timeout."""
    tcp_closed_s: Seconds = 5.0
    """TCP after RST or both FIN; Zeek's tcp_close_delay."""
    udp_new_s: Seconds = 30.0
    """UDP in one direction."""
    udp_established_s: Seconds = 60.0
    """UDP in both directions; Zeek's udp_inactivity_timeout."""
    icmp_new_s: Seconds = 30.0
    """ICMP without an answer."""
    icmp_established_s: Seconds = 60.0
    """ICMP with an answer."""
    other_new_s: Seconds = 30.0
    """Other IP protocols in one direction."""
    other_established_s: Seconds = 60.0
    """Other IP protocols in both directions."""
    long_s: Seconds = 3_600.0
    """Answered TCP on ports 21, 22, 23 and 513: people leave these open (Zeek, protocols/conn/inactivity)."""
    progress_s: Seconds = 300.0
    """A longer flow is reported at this interval while it goes on."""
    unanswered_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 500
    """"Unanswered" is said of a flow no sooner than this after its first packet."""
    flood_flows: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 1_000
    """Unfinished flows that one address and port may be given in a second; the rest of that second is counted there and
    gets no records, so that a flood cannot fill the table."""
    targets_max: Records = 65_536
    """Addresses and ports whose unanswered packets are counted at once; beyond, new ones are counted as refused."""


SETTINGS: Final = SettingsSection(name="flow", struct=FlowSettings)


# Suricata's defaults for flow-timeouts, src/flow-timeout defaults: new, established, closed.
SURICATA: Final = FlowSettings(
    tcp_new_s=60, tcp_established_s=600, tcp_closed_s=60, udp_new_s=30, udp_established_s=300, icmp_new_s=30,
    icmp_established_s=300, other_new_s=30, other_established_s=300, long_s=600,
)  # fmt: skip

# Zeek's defaults, scripts/base/init-bare.zeek.
ZEEK: Final = FlowSettings(
    tcp_new_s=300, tcp_established_s=300, tcp_closed_s=5, udp_new_s=60, udp_established_s=60, icmp_new_s=60,
    icmp_established_s=60, other_new_s=60, other_established_s=60,
)  # fmt: skip

# Ports whose owner is taken for the server when a capture begins in the middle of a conversation: Zeek's
# likely_server_ports with the default scripts loaded.
SERVER_PORTS_TCP: Final = (
    21, 22, 23, 25, 53, 79, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 513, 514, 563, 585, 587, 614, 631, 636,
    989, 990, 992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 6379, 6666, 6667,
    6668, 6669, 8000, 8080, 8888, 20000,
)  # fmt: skip
SERVER_PORTS_UDP: Final = (
    53, 67, 68, 88, 123, 137, 161, 162, 389, 443, 514, 784, 853, 1812, 1813, 2123, 2152, 3389, 3544, 4011, 4754, 4789,
    5060, 5072, 5353, 5355, 6081, 20000,
)  # fmt: skip


class TrackOptions(msgspec.Struct, frozen=True):
    """What a run decides: which share of the flows, pick-up in mid-stream, turning round by port, hash seed."""

    shard: int = 0
    shards: int = 1
    midstream: bool = True
    turn: int = TURN_PORT
    history: bool = False
    seed: int = 0


class WorkerSettings(msgspec.Struct, frozen=True):
    """Everything a worker is made with; plain values, so that it can be sent to another process."""

    decode: DecodeSettings = DecodeSettings()
    flow: FlowSettings = FlowSettings()
    options: TrackOptions = TrackOptions()
    home_net: tuple[str, ...] = ()
    batch_packets: int = 2_048
    iface: int = 0
    checksums: bool = False
    stream: StreamSettings = StreamSettings()
    streams: StreamOptions = StreamOptions()
