"""The colours of the page, recomputed from the token file: contrast (WCAG 2.2) and difference in four kinds of sight.

Difference: CIEDE2000 (CIE 142-2001). Colour blindness: Machado, Oliveira, Fernandes 2009, severity 1.0.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

TOKENS = (Path(__file__).parents[2] / "web" / "src" / "styles" / "tokens.css").read_text()
THEMES = ("light", "dark")
SEVERITIES = ("info", "low", "medium", "high", "critical")
SERIES = ("blue", "orange", "sky", "brown", "yellow", "pink", "violet", "teal", "other")
SIGHTS = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", block))


LIGHT = tokens(TOKENS[TOKENS.index(":root {") : TOKENS.index("@media (prefers-color-scheme")])
DARK = tokens(TOKENS[TOKENS.index("@media (prefers-color-scheme") : TOKENS.index(":root[data-theme='dark']")])
CHOSEN_DARK = tokens(TOKENS[TOKENS.index(":root[data-theme='dark']") : TOKENS.index("@media (prefers-contrast")])
COLORS = {"light": LIGHT, "dark": LIGHT | DARK}


def linear(color: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    high, low = sorted((float(TO_XYZ[1] @ linear(color)) for color in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(color: str, sight: str) -> tuple[float, float, float]:
    seen = np.clip(SIGHTS[sight] @ linear(color), 0, 1)
    ratio = TO_XYZ @ seen / WHITE
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return float(116 * y - 16), float(500 * (x - y)), float(200 * (y - z))


def difference(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean_c = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean_c**7 / (mean_c**7 + 25**7)))
    c1, c2 = math.hypot(a1 * (1 + g), b1), math.hypot(a2 * (1 + g), b2)
    h1, h2 = (math.degrees(math.atan2(b, a * (1 + g))) % 360 for a, b in ((a1, b1), (a2, b2)))
    dh = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + dh / 2) % 360 if c1 * c2 else h1 + h2
    big_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(dh) / 2)
    big_l, big_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (1 - 0.17 * math.cos(math.radians(hue - 30)) + 0.24 * math.cos(math.radians(2 * hue))
         + 0.32 * math.cos(math.radians(3 * hue + 6)) - 0.20 * math.cos(math.radians(4 * hue - 63)))  # fmt: skip
    sl = 1 + 0.015 * (big_l - 50) ** 2 / math.sqrt(20 + (big_l - 50) ** 2)
    sc, sh = 1 + 0.045 * big_c, 1 + 0.015 * big_c * t
    turn = (
        -2
        * math.sqrt(big_c**7 / (big_c**7 + 25**7))
        * math.sin(math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2))))
    )
    x, y, z = (l2 - l1) / sl, (c2 - c1) / sc, big_h / sh
    return math.sqrt(x * x + y * y + z * z + turn * y * z)


def test_difference_agrees_with_published_pairs() -> None:
    # Sharma, Wu, Dalal 2005, table 1, pairs 1, 7 and 25.
    assert difference((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert difference((50, 0, 0), (50, -1, 2)) == pytest.approx(2.3669, abs=1e-4)
    assert difference((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=1e-4)


def test_dark_is_the_same_by_system_and_by_choice() -> None:
    assert CHOSEN_DARK == DARK
    assert len(DARK) > 40


@pytest.mark.parametrize("theme", THEMES)
def test_texts_are_readable_on_every_surface(theme: str) -> None:
    colors = COLORS[theme]
    texts = ["text", "text2", "text3", "accent", "ok", *(f"{name}-text" for name in SEVERITIES)]
    for text, surface in itertools.product(texts, ("bg", "surface", "raised", "sunken", "sel")):
        assert contrast(colors[text], colors[surface]) >= 4.5, (text, surface)
    pairs = [("on-accent", "accent"), ("on-danger", "danger"), ("warn-text", "warn-bg"), ("error-text", "error-bg"),
             *((f"{name}-fg", f"{name}-bg") for name in SEVERITIES)]  # fmt: skip
    for text, surface in pairs:
        assert contrast(colors[text], colors[surface]) >= 4.5, (text, surface)


@pytest.mark.parametrize("theme", THEMES)
def test_controls_and_fills_stand_out_from_the_surface(theme: str) -> None:
    colors = COLORS[theme]
    for name in ("control", *(f"{one}-fill" for one in SEVERITIES), *(f"series-{one}" for one in SERIES)):
        assert contrast(colors[name], colors["surface"]) >= 3.0, name


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("theme", THEMES)
def test_series_and_severities_are_told_apart(theme: str, sight: str) -> None:
    for names in ([f"series-{one}" for one in SERIES], [f"{one}-fill" for one in SEVERITIES]):
        seen = {name: lab(COLORS[theme][name], sight) for name in names}
        for one, other in itertools.combinations(names, 2):
            assert difference(seen[one], seen[other]) >= 10.0, (one, other)
