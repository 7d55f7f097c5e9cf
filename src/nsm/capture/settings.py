"""What a person can set about live capture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from nsm.errors import CaptureError
from nsm.settings.section import SettingsSection

SNAPLEN_MAX: Final = 262_144  # as libpcap has it for "everything"


class CaptureSettings(msgspec.Struct, frozen=True):
    """Live capture."""

    interfaces: tuple[str, ...] = ()
    """Interfaces to watch; empty: the one of the default route."""
    filter: str = ""
    """A capture filter (pcap-filter(7)); packets that it does not accept are not seen at all."""
    snaplen: Annotated[int, msgspec.Meta(ge=64, le=SNAPLEN_MAX)] = SNAPLEN_MAX
    """Bytes of each packet that are looked at; below 256 applications are no longer recognised."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Processes for each interface; flows are spread over them by the kernel."""
    promiscuous: bool = True
    """See frames for other hosts too, where the network brings them."""
    ring_mb: Annotated[int, msgspec.Meta(ge=1, le=4_096)] = 32
    """Memory of the ring of each worker."""
    block_kb: Annotated[int, msgspec.Meta(ge=64, le=16_384)] = 256
    """A block of the ring; at least 64, since offloaded frames reach 64 KB."""
    block_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20
    """A block that is not full is handed over after this time."""
    recent_mb: Annotated[int, msgspec.Meta(ge=0, le=4_096)] = 8
    """Memory of each worker for the packets of the last moments, of which alerts keep some; 0: none are kept."""
    recent_bytes: Annotated[int, msgspec.Meta(ge=64, le=65_535)] = 256
    """Bytes kept of each of these packets."""


def asked_for(settings: CaptureSettings, asked: Mapping[str, Any]) -> CaptureSettings:
    """The settings with what a page asks for: ``bpf``, ``snaplen``, ``ring_bytes``; what is None or absent stays.

    CaptureError for what is impossible; whether a filter is right is found by those who compile it.
    """
    ring = asked.get("ring_bytes")
    given = {
        "filter": asked.get("bpf"),
        "snaplen": asked.get("snaplen"),
        "ring_mb": None if ring is None else ring >> 20,
    }
    plain = msgspec.to_builtins(settings) | {name: value for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(plain, CaptureSettings)
    except msgspec.ValidationError as error:
        raise CaptureError(f"the capture cannot be like this: {error}", where="capture") from error


SETTINGS: Final = SettingsSection(name="capture", struct=CaptureSettings)
