"""Colours of cell classes: a lineage is one hue that darkens with maturity."""

from collections.abc import Sequence

import numpy as np

from smrjax.taxonomy.lineages import Lineage

# In OKLCH: hues of the lineages (each from light to dark with maturity), hues and lightness of other classes.
_LINEAGE_HUES = (265, 45, 160, 340, 100, 215)
_OTHER_HUES = (165, 345, 120, 15, 0, 330, 90, 15, 135, 120, 300, 45, 135, 180, 165, 105)
_OTHER_LIGHTNESS = (0.70, 0.64, 0.82, 0.46, 0.82, 0.46, 0.76, 0.58, 0.58, 0.46, 0.30, 0.70, 0.92, 0.92, 0.52, 0.64)


def default_colours(classes: Sequence[str], lineages: Sequence[Lineage]) -> tuple[str, ...]:
    """Colours for any classes: a lineage is one hue from light (young) to dark (ripe), the others differ.

    Lightness, which every kind of colour vision sees, tells stages apart; hues of lineages and of the first
    sixteen other classes are chosen so that they stay apart without red and green cones too.

    Args:
        classes: Codes.
        lineages: Among them.

    Returns:
        ``#rrggbb`` for each class.
    """
    colour = {}
    for i, line in enumerate(lineages):
        for stage, code in enumerate(line.classes):
            share = stage / max(len(line.classes) - 1, 1)
            # Chroma bends down at both ends, where the screen has little of it.
            colour[code] = _from_oklch(0.88 - 0.53 * share, 0.08 + 0.24 * share * (1 - share), _LINEAGE_HUES[i % 6])
    others = [code for code in classes if code not in colour]
    for i, code in enumerate(others):
        # A second and third round of the sixteen takes hues in between.
        colour[code] = _from_oklch(_OTHER_LIGHTNESS[i % 16], 0.14, _OTHER_HUES[i % 16] + 137 * (i // 16))
    return tuple(colour[code] for code in classes)


def _from_oklch(lightness: float, chroma: float, hue: float) -> str:
    """#rrggbb of a colour in OKLCH (Ottosson 2020), with as much of its chroma as a screen has."""
    angle = np.deg2rad(hue)
    to_lms = np.array([[0.3963377774, 0.2158037573], [-0.1055613458, -0.0638541728], [-0.0894841775, -1.2914855480]])
    to_red, to_green, to_blue = (
        np.array([4.0767416621, -3.3077115913, 0.2309699292]),
        np.array([-1.2684380046, 2.6097574011, -0.3413193965]),
        np.array([-0.0041960863, -0.7034186147, 1.7076147010]),
    )
    direction = chroma * (to_lms @ [np.cos(angle), np.sin(angle)])
    linear = np.zeros(3)
    for less in np.linspace(1, 0, 41):
        lms = (lightness + less * direction) ** 3
        linear = np.array([to_red @ lms, to_green @ lms, to_blue @ lms])
        if linear.min() >= -1e-4 and linear.max() <= 1 + 1e-4:
            break
    linear = np.clip(linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * value):02x}" for value in rgb.tolist())
