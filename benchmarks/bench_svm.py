"""The SVM grid at the paper's size beside scikit-learn's GridSearchCV, and the monitor's fit at one pair."""

import numpy as np
from side_by_side import THREADS
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from smrjax.evaluate.svm import GRID, fit_svm, fit_svm_at, gamma_unit

CELLS, DIM, CLASSES = 3800, 256, 15


def embeddings():
    """Classes that overlap, some rare, as after a training."""
    rng = np.random.default_rng(0)
    share = np.geomspace(1, 12, CLASSES)
    y = rng.choice(CLASSES, CELLS, p=share / share.sum())
    z = rng.normal(size=(CLASSES, DIM))[y] + 2.2 * rng.normal(size=(CELLS, DIM))
    return z / np.linalg.norm(z, axis=1, keepdims=True), y


def bench_grid(compare):
    z, y = embeddings()
    fresh = embeddings()[0][::-1][:500]
    machine = SVC(class_weight="balanced", break_ties=True)
    pairs = {"C": GRID.C, "gamma": [gamma_unit(z) * factor for factor in GRID.gamma]}
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    peer = GridSearchCV(machine, pairs, scoring="f1_macro", cv=folds, n_jobs=THREADS)
    own, theirs = fit_svm(z, y), peer.fit(z, y)
    assert {"C": own.C, "gamma": own.gamma} == theirs.best_params_
    assert (own.predict(fresh) == theirs.predict(fresh)).all()
    functions = {"fit_svm": lambda: fit_svm(z, y), f"GridSearchCV, n_jobs={THREADS}": lambda: peer.fit(z, y)}
    compare(f"SVM, 25 pairs x 5 folds, n={CELLS} D={DIM}, {CLASSES} classes", "grid", functions, rounds=3, budget=200)


def bench_one_pair(compare):
    z, y = embeddings()
    gamma = gamma_unit(z)
    machine = SVC(C=10.0, gamma=gamma, class_weight="balanced", break_ties=True)
    functions = {"fit_svm_at": lambda: fit_svm_at(z, y, C=10.0, gamma=gamma), "SVC": lambda: machine.fit(z, y)}
    compare(f"SVM at one pair, n={CELLS} D={DIM}, {CLASSES} classes", "fit", functions, rounds=5)
