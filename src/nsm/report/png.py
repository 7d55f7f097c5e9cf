"""A chart as PNG, by resvg: the extra ``nsm[png]``. Drawn at twice its size, in the light theme."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nsm.errors import SinkError
from nsm.report.svg import Chart, draw

ZOOM: Final = 2
STYLE: Final = "text{font-family:sans-serif}"
FONT: Final = (
    Path(__file__).parents[1] / "serve" / "static" / "charts.ttf"
)  # cut by the page's build; else the system's


def png(chart: Chart) -> bytes:
    """The picture, twice as wide and high as the SVG in pixels; SinkError without resvg."""
    try:
        import resvg_py
    except ImportError as error:
        raise SinkError(
            "no PNG: resvg is not installed", where="the extra nsm[png]",
            mend="pip install 'netsecmonitor[png]'   or a file that ends in .svg",
        ) from error  # fmt: skip
    try:
        made: bytes = resvg_py.svg_to_bytes(
            svg_string=draw(chart, alone=True, themed=False), zoom=ZOOM, style_sheet=STYLE, background="#ffffff",
            font_files=[str(FONT)] if FONT.exists() else None, sans_serif_family="Inter",
        )  # fmt: skip
    except ValueError as error:  # ours: no SVG of ours should be one that it cannot draw
        raise SinkError(f"the PNG cannot be made: {error}", where="resvg") from error
    return bytes(made)
