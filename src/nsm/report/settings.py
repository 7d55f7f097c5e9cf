"""What a person can set about reports."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from nsm.settings.section import SettingsSection


class ReportSettings(msgspec.Struct, frozen=True):
    """Reports that the service makes."""

    files_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    """Reports that are kept; the oldest leave. A daily one with its PDF takes about 40 MB in 200 days."""

    pdf_seconds_max: Annotated[int, msgspec.Meta(ge=5, le=3_600)] = 120
    """Seconds after which the making of a PDF is given up."""


SETTINGS: Final = SettingsSection(name="report", struct=ReportSettings)
