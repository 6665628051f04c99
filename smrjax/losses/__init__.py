"""Losses: pure functions of arrays and pytrees, each usable alone.

For softmax cross-entropy use `optax.softmax_cross_entropy_with_integer_labels`.
"""

from smrjax.losses import tsne
from smrjax.losses.distance import guide_distance
from smrjax.losses.maturity import normal, projected
from smrjax.losses.norm import norm_penalty
from smrjax.losses.triplet import triplet_margin, triplet_margin_with_active

__all__ = [
    "guide_distance",
    "norm_penalty",
    "normal",
    "projected",
    "triplet_margin",
    "triplet_margin_with_active",
    "tsne",
]
