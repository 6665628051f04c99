"""What a cell of each kind looks like, as a few numbers that change smoothly with maturity.

The values put into um and units of dye what textbooks of haematology say in words; a row is a feature, a
column a border between two stages. They were set by eye against photographs of stained marrow and blood.
"""

from typing import NamedTuple

import numpy as np


class Look(NamedTuple):
    """The features of one cell."""

    radius: float  # of the cell, um
    nc: float  # nucleus over cell, areas
    ragged: float  # waviness of the membrane, um
    stretch: float  # shape of the nucleus: see nucleus_discs
    bend: float
    pinch: float
    lobes: float
    eccentric: float  # place of the nucleus, 0 middle to 1 edge
    folds: float  # light creases over the nucleus
    chromatin: float  # violet of the nucleus
    coarse: float  # grain of the chromatin, 0 fine to 1 clumps
    contrast: float  # of that grain
    nucleoli: float  # how far nucleoli show
    blue: float  # RNA in the cytoplasm
    pink: float
    salmon: float  # haemoglobin
    hof: float  # pale area beside the nucleus
    rim: float  # darker border of the cytoplasm
    primary: float  # azurophilic granules, number
    secondary: float  # fine neutrophilic granules, units of dye
    orange: float  # eosinophilic granules, number
    dark: float  # basophilic granules, number
    vacuoles: float  # number


# Neutrophil lineage, borders: start, BLA|PMY, PMY|MYE, MYE|MMY, MMY|BNE, BNE|SNE, end.
_NEUTROPHIL = {
    "radius": (7.4, 8.6, 8.9, 8.0, 7.2, 6.7, 6.3),
    "nc": (0.80, 0.66, 0.54, 0.46, 0.39, 0.325, 0.28),
    "ragged": (0.42, 0.42, 0.38, 0.34, 0.30, 0.28, 0.28),
    "stretch": (0.30, 0.35, 0.50, 1.2, 3.4, 7.0, 8.0),
    "bend": (0.3, 0.4, 0.8, 1.5, 2.4, 3.4, 4.0),
    "pinch": (0.0, 0.0, 0.0, 0.02, 0.12, 0.55, 1.0),
    "lobes": (1.0, 1.0, 1.2, 1.8, 2.4, 3.0, 4.2),
    "eccentric": (0.55, 0.70, 0.75, 0.60, 0.30, 0.20, 0.20),
    "folds": (0.15, 0.12, 0.08, 0.04, 0.0, 0.0, 0.0),
    "chromatin": (0.66, 0.70, 0.78, 0.88, 0.98, 1.06, 1.12),
    "coarse": (0.05, 0.18, 0.38, 0.58, 0.74, 0.86, 0.92),
    "contrast": (0.20, 0.28, 0.38, 0.44, 0.44, 0.40, 0.34),
    "nucleoli": (1.0, 0.75, 0.15, 0.0, 0.0, 0.0, 0.0),
    "blue": (0.66, 0.50, 0.27, 0.13, 0.06, 0.03, 0.02),
    "pink": (0.10, 0.16, 0.30, 0.38, 0.42, 0.44, 0.45),
    "salmon": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "hof": (0.15, 0.55, 0.70, 0.35, 0.10, 0.0, 0.0),
    "rim": (0.5, 0.4, 0.2, 0.1, 0.05, 0.0, 0.0),
    "primary": (0.0, 220.0, 300.0, 70.0, 14.0, 3.0, 0.0),
    "secondary": (0.0, 0.02, 0.16, 0.26, 0.30, 0.32, 0.32),
    "orange": (0.0,) * 7,
    "dark": (0.0,) * 7,
    "vacuoles": (0.2, 0.3, 0.3, 0.3, 0.3, 0.4, 0.5),
}

# Erythroid lineage, borders: start, PEB|BEB, BEB|PCE, PCE|OCE, end.
_ERYTHROID = {
    "radius": (8.6, 7.5, 6.3, 5.3, 4.5),
    "nc": (0.74, 0.66, 0.50, 0.36, 0.22),
    "ragged": (0.44, 0.34, 0.26, 0.22, 0.20),
    "stretch": (0.08, 0.08, 0.06, 0.06, 0.08),
    "bend": (0.3, 0.3, 0.2, 0.2, 0.2),
    "pinch": (0.0,) * 5,
    "lobes": (1.0,) * 5,
    "eccentric": (0.25, 0.20, 0.25, 0.45, 0.95),
    "folds": (0.0,) * 5,
    "chromatin": (0.70, 0.86, 1.02, 1.22, 1.45),
    "coarse": (0.12, 0.55, 0.92, 0.85, 0.45),
    "contrast": (0.22, 0.40, 0.50, 0.28, 0.05),
    "nucleoli": (0.9, 0.25, 0.0, 0.0, 0.0),
    "blue": (1.00, 0.98, 0.50, 0.16, 0.02),
    "pink": (0.06, 0.05, 0.06, 0.05, 0.03),
    "salmon": (0.0, 0.05, 0.42, 0.74, 0.95),
    "hof": (0.40, 0.30, 0.10, 0.0, 0.0),
    "rim": (0.5, 0.4, 0.15, 0.05, 0.0),
    "primary": (0.0,) * 5,
    "secondary": (0.0,) * 5,
    "orange": (0.0,) * 5,
    "dark": (0.0,) * 5,
    "vacuoles": (0.1,) * 5,
}

# The five others, from one end of what one sees to the other: BAS, EOS, LYM, PMO, MON.
_OTHERS = {
    "radius": ((6.1, 6.9), (7.2, 6.6), (4.9, 6.4), (8.2, 8.9), (8.4, 8.9)),
    "nc": ((0.4, 0.46), (0.42, 0.32), (0.84, 0.62), (0.68, 0.56), (0.5, 0.4)),
    "ragged": ((0.25, 0.3), (0.22, 0.25), (0.22, 0.45), (0.5, 0.7), (0.7, 1.1)),
    "stretch": ((2.6, 4.2), (1.8, 5.2), (0.12, 0.25), (0.5, 1.2), (1.2, 2.8)),
    "bend": ((1.6, 3), (1.2, 2.6), (0.8, 1.4), (1, 1.8), (2, 3.4)),
    "pinch": ((0.25, 0.6), (0.25, 0.95), (0, 0), (0.04, 0.08), (0.06, 0.16)),
    "lobes": ((2, 3), (2, 2), (1, 1), (1.6, 2.2), (2, 3)),
    "eccentric": ((0.1, 0.3), (0.7, 0.5), (0.5, 0.8), (0.4, 0.5), (0.3, 0.4)),
    "folds": ((0, 0), (0, 0), (0.1, 0.15), (0.8, 1), (0.9, 0.6)),
    "chromatin": ((0.8, 0.86), (0.84, 1.02), (1.12, 0.92), (0.58, 0.62), (0.66, 0.74)),
    "coarse": ((0.45, 0.6), (0.6, 0.85), (0.75, 0.6), (0.12, 0.26), (0.34, 0.48)),
    "contrast": ((0.25, 0.25), (0.42, 0.4), (0.34, 0.3), (0.24, 0.28), (0.34, 0.38)),
    "nucleoli": ((0, 0), (0, 0), (0, 0.05), (0.6, 0.15), (0, 0)),
    "blue": ((0.14, 0.06), (0.2, 0.05), (0.46, 0.3), (0.46, 0.36), (0.33, 0.27)),
    "pink": ((0.22, 0.3), (0.18, 0.22), (0.02, 0.03), (0.16, 0.22), (0.22, 0.24)),
    "salmon": ((0, 0), (0, 0), (0, 0), (0, 0), (0, 0)),
    "hof": ((0, 0), (0, 0), (0.1, 0.3), (0.2, 0.2), (0.1, 0)),
    "rim": ((0, 0), (0, 0), (0.2, 0.5), (0.25, 0.15), (0.1, 0)),
    "primary": ((0, 0), (0, 0), (0.5, 4), (10, 22), (12, 10)),
    "secondary": ((0.04, 0.04), (0, 0), (0, 0), (0.02, 0.05), (0.08, 0.09)),
    "orange": ((0, 0), (380, 480), (0, 0), (0, 0), (0, 0)),
    "dark": ((120, 190), (4, 0), (0, 0), (0, 0), (0, 0)),
    "vacuoles": ((0.4, 0.8), (0.2, 0.2), (0.1, 0.3), (0.6, 2), (2.5, 6)),
}

_TABLES = {
    "neutrophil": np.array([_NEUTROPHIL[name] for name in Look._fields]),
    "erythroid": np.array([_ERYTHROID[name] for name in Look._fields]),
    **{
        code: np.array([_OTHERS[name][column] for name in Look._fields])
        for column, code in enumerate(("BAS", "EOS", "LYM", "PMO", "MON"))
    },
}

# How far cells of one maturity differ: relative (log) deviation of each feature.
_VARIATION = dict.fromkeys(Look._fields, 0.10) | {
    "radius": 0.06, "nc": 0.07, "ragged": 0.4, "stretch": 0.13, "bend": 0.14, "pinch": 0.10, "lobes": 0.14,
    "eccentric": 0.45, "folds": 0.5, "chromatin": 0.06, "coarse": 0.12, "contrast": 0.14, "nucleoli": 0.4,
    "blue": 0.16, "pink": 0.13, "salmon": 0.10, "hof": 0.4, "rim": 0.5, "primary": 0.45, "secondary": 0.25,
    "orange": 0.12, "dark": 0.2, "vacuoles": 0.6,
}  # fmt: skip
_SPREAD = np.array([_VARIATION[name] for name in Look._fields])


def look(kind: str, progress: float, rng: np.random.Generator | None = None) -> Look:
    """Features of a cell of a lineage or kind.

    Args:
        kind: "neutrophil", "erythroid", or the code of one of the five others.
        progress: Maturity in [0, 1]; for the five others, how far along the range of what one sees.
        rng: Draws the individual; None gives the typical cell.

    Example:
        >>> look("neutrophil", 0.0).nc > look("neutrophil", 1.0).nc
        True
    """
    table = _TABLES[kind]
    position = progress * (table.shape[1] - 1)
    left = min(int(position), table.shape[1] - 2)
    values = table[:, left] + (position - left) * (table[:, left + 1] - table[:, left])
    if rng is not None:
        values = values * np.exp(_SPREAD * np.clip(rng.standard_normal(len(values)), -2.2, 2.2))
    found = Look(*values.tolist())
    nc, pinch, eccentric = min(found.nc, 0.86), min(found.pinch, 1.0), min(found.eccentric, 1.0)
    return found._replace(nc=nc, pinch=pinch, eccentric=eccentric)
