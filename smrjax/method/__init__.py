"""What is learnt: methods, each a refit and a loss, that training serves without knowing which one it is."""

from smrjax.method.baselines import logits, network, softmax, tml
from smrjax.method.guided import INVERSES, guided
from smrjax.method.method import Goal, Method, Parts, class_means
from smrjax.method.smr import PULLS, place_of, read_maturity, smr

__all__ = [
    "INVERSES",
    "PULLS",
    "Goal",
    "Method",
    "Parts",
    "class_means",
    "guided",
    "logits",
    "network",
    "place_of",
    "read_maturity",
    "smr",
    "softmax",
    "tml",
]
