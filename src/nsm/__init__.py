"""netsecmonitor: a real-time network security monitor.

    import nsm
    for event in nsm.read("trace.pcap"): ...      # events as dictionaries, in the form of EVE JSON
    table = nsm.flows("trace.pcap")               # flows as an Arrow table
    nsm.write_zeek("trace.pcap", "logs/")         # Zeek logs

Importing this package loads neither the engine nor a web framework; the first call does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsm._version import __version__
from nsm.errors import CaptureError, NsmError, SettingsError

if TYPE_CHECKING:
    from nsm.run.reading import flows, read
    from nsm.run.zeek import write_zeek

__all__ = ["CaptureError", "NsmError", "SettingsError", "__version__", "flows", "read", "write_zeek"]

_LAZY = {"read": "nsm.run.reading", "flows": "nsm.run.reading", "write_zeek": "nsm.run.zeek"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
