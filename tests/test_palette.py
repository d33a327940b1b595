"""Every common colour vision distinguishes the engines' colours, on light and dark backgrounds."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from maxwhisper import palette
from maxwhisper.engine import ENGINES
from maxwhisper.palette import TONES, colour

# Linear sRGB as each vision sees it: Machado, Oliveira and Fernandes (2009), severity 1.0.
VISIONS = {
    "common": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
PAPERS = ("#ffffff", "#1d1b17")  # block backgrounds of the light and the dark theme
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])
MIN_DISTANCE = 15.0  # CIE 1976, 2.3 is just noticeable; blue and green are 17 apart in tritanopia


def linear(shown):
    """Linear sRGB of "#rrggbb", (3,)."""
    rgb = np.array([int(shown[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear sRGB, (3,)."""
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ rgb, 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISIONS)
def test_engine_colours_are_distinct(vision):
    seen = {name: lab(np.clip(VISIONS[vision] @ linear(colour(name)), 0, 1)) for name in ENGINES}
    nearest = min(np.linalg.norm(a - b) for a, b in combinations(seen.values(), 2))
    assert nearest > MIN_DISTANCE


@pytest.mark.parametrize("paper", PAPERS)
def test_a_bar_contrasts_with_its_background(paper):
    for name in ENGINES:
        low, high = sorted(TO_XYZ[1] @ linear(c) for c in (colour(name), paper))
        # Not text, and never alone: a name and a number stand beside each bar.
        assert (high + 0.05) / (low + 0.05) > 2, name


@pytest.mark.parametrize("tone", sorted(name for name in TONES if name.endswith("-ink")))
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_its_paper(tone, theme):
    pair = TONES[tone][theme], TONES[tone.replace("-ink", "-paper")][theme]
    low, high = sorted(TO_XYZ[1] @ linear(shown) for shown in pair)
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_all_colours_are_in_the_palette():
    """Shadows are black in every theme; a mask has no colour."""
    package = Path(palette.__file__).parent
    files = [p for kind in ("py", "css", "js", "html") for p in package.rglob(f"*.{kind}")]
    assert len(files) > 200
    found = [
        f"{path.name}: {match[0]}"
        for path in files
        if path != Path(palette.__file__)
        for match in re.finditer(
            r"""(?<![&\w])#(?:[0-9a-f]{6}|[0-9a-f]{3})\b(?=[\s;,"')])|rgba?\((?!0, 0, 0)[^)]*\)""",
            path.read_text(encoding="utf-8"),
            re.IGNORECASE,
        )
    ]
    assert found == []
    used = {
        name
        for path in files
        if path.suffix == ".css"
        for name in re.findall(r"var\(--([\w-]+)\)", path.read_text(encoding="utf-8"))
    }
    assert used >= set(TONES)
