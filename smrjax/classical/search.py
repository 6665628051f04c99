"""Random search over classical classifiers, with scikit-learn: every set of hyper-parameters judged on the same parts.

Source: OOTB, section 3.1 (classifiers) and section 4 (random search, inner cross-validation). Searches run on as many
processes, or on the cluster, that `joblib.parallel_config` names around them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Params = dict[str, Any]
Score = Callable[[np.ndarray, np.ndarray], float]

#: The classifiers, and how they are called in tables.
CLASSIFIERS = {"svm": "linear SVM", "rbf": "RBF SVM", "rfc": "random forest", "abc": "AdaBoost"}


def spaces() -> dict[str, Mapping[str, Any]]:
    """What is searched for each classifier, as distributions and lists.

    The paper names the hyper-parameters; their ranges are ours, for descriptors of unit variance.
    """
    from scipy.stats import loguniform, randint

    weights = [None, "balanced"]
    return {
        "svm": {"C": loguniform(1e-5, 1), "class_weight": weights},
        "rbf": {"C": loguniform(1e-1, 1e3), "gamma": loguniform(1e-5, 1e-1), "class_weight": weights},
        "rfc": {"n_estimators": randint(50, 301), "max_depth": [None, *range(4, 33, 4)], "class_weight": weights},
        "abc": {"n_estimators": randint(10, 101), "learning_rate": loguniform(1e-2, 2)},
    }


def classifier(name: str, params: Mapping[str, Any], *, seed: int) -> "Pipeline":
    """A classifier of descriptors, which it first scales to zero mean and unit variance as its training part has them.

    Args:
        name: Among `CLASSIFIERS`.
        params: As drawn from `spaces`.
        seed: Of what it does at random.
    """
    from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, LinearSVC

    kinds: dict[str, Callable[..., Any]] = {
        "svm": lambda **given: LinearSVC(random_state=seed, **given),
        "rbf": lambda **given: SVC(cache_size=500, **given),
        "rfc": lambda **given: RandomForestClassifier(random_state=seed, **given),
        "abc": lambda **given: AdaBoostClassifier(random_state=seed, **given),
    }
    return Pipeline([("scale", StandardScaler()), ("classify", kinds[name](**params))])


def draw(name: str, sets: int, *, seed: int) -> list[Params]:
    """The sets of hyper-parameters of a search, JSON-safe; a longer list begins with the shorter one of its seed.

    Args:
        name: Among `CLASSIFIERS`.
        sets: How many.
        seed: Of the draw.

    Example:
        >>> draw("abc", 3, seed=0) == draw("abc", 5, seed=0)[:3]
        True
    """
    from sklearn.model_selection import ParameterSampler

    drawn = ParameterSampler(spaces()[name], sets, random_state=seed)
    return [{key: value.item() if hasattr(value, "item") else value for key, value in one.items()} for one in drawn]


def try_sets(
    x: np.ndarray,
    y: np.ndarray,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    name: str,
    sets: Sequence[Params],
    *,
    score: Score,
    seed: int,
) -> list[dict[str, Any]]:
    """Judge sets of hyper-parameters by cross-validation.

    Args:
        x: Descriptors, Float[n, d].
        y: Int[n].
        parts: Rows to train on and rows to judge on, for every inner fold.
        name: Among `CLASSIFIERS`.
        sets: From `draw`.
        score: (true, predicted) -> number; higher is better.
        seed: Of what classifiers do at random.

    Returns:
        For every set ``params``, ``scores`` (one an inner fold), ``score`` (their mean) and ``seconds``; JSON-safe.
    """
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import RandomizedSearchCV

    if not sets:
        return []
    start = time.perf_counter()
    search = RandomizedSearchCV(
        classifier(name, {}, seed=seed),
        # A search over given sets: each is a space of one point, and of points alone none is drawn twice.
        [{f"classify__{key}": [value] for key, value in one.items()} for one in sets],
        n_iter=len(sets),
        scoring=make_scorer(score),
        cv=parts,
        refit=False,
        error_score="raise",
        random_state=seed,
    )
    search.fit(x, y)
    seconds = (time.perf_counter() - start) / len(sets)
    found = search.cv_results_
    tried = []
    for one in sets:
        place = found["params"].index({f"classify__{key}": value for key, value in one.items()})
        scores = [float(found[f"split{part}_test_score"][place]) for part in range(len(parts))]
        tried.append({"params": one, "scores": scores, "score": float(np.mean(scores)), "seconds": seconds})
    return tried


def best_of(tried: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The set with the highest mean score, the first on ties."""
    return max(tried, key=lambda one: one["score"])
