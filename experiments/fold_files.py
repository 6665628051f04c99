"""Scores, log and probabilities of a finished fold, read back: what is wrong with them is said here, and once."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.kinds import SCORE, read_kind
from smrjax.errors import DAMAGED, InputError

_STAGES = {f"{name}?": SCORE for name in ("off_by_one_accuracy", "mean_absolute_stage_error", "quadratic_kappa")}
_SCORES = {
    **{f"{name}?": SCORE for name in ("macro_f1", "accuracy", "balanced_accuracy", "m_score")},
    "misclassification_severity?": SCORE,
    "per_class": {str: dict},
    "lineages?": {str: {"penalised?": _STAGES, "conditional?": _STAGES}},
    "readouts?": {str: {str: {"kendall_tau_stage?": SCORE}}},
}
#: An epoch of the log: numbers and words under any name.
_EPOCH = {"epoch": int, "fold?": int, "seed?": int, "warnings?": [str], str: (float, bool, None, str, list, dict)}
#: By so much may a probability exceed 1.
ROUNDED = 1e-3
RESULT = {"fold": int, "scores": _SCORES, "history?": [_EPOCH]}


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a fold.

    Raises:
        InputError: if it is missing or damaged.
    """
    path = folder / "result.json"
    result: dict[str, Any] = read_kind(path, RESULT)
    if not result["scores"]["per_class"]:
        raise InputError(f"{path}: scores of classes are missing; it is damaged, or of another version")
    return result


def read_probabilities(folder: Path, cells: int, classes: int) -> np.ndarray:
    """probabilities.npy of a fold, Float64[cells, classes].

    Raises:
        InputError: if it is missing, damaged, or of other cells or classes.
    """
    path = folder / "probabilities.npy"
    try:
        # As a map, which a file that promises more than it holds cannot fill the memory by.
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        return check_probabilities(path, stored.astype(np.float64).reshape(cells, classes))
    except (OSError, *DAMAGED) as error:
        raise _damaged(path, str(error)) from None


def check_probabilities(path: Path, found: np.ndarray) -> np.ndarray:
    """Probabilities that a file holds, without what a sum in single precision exceeds 1 by.

    Raises:
        InputError: if one of them is none.
    """
    if not ((found >= 0) & (found <= 1 + ROUNDED)).all():
        raise _damaged(path, "its probabilities are not all from 0 to 1")
    return np.minimum(found, 1.0)


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path}: is damaged ({what}); bring it back, or train the fold again")
