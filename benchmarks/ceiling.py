"""How much maturity is there to read in an embedding? The readouts of finished runs beside one that is told the truth.

    python benchmarks/ceiling.py RUN_FOLDER …

Only for rendered cells, whose true maturity is known. The last column is a support vector regression from the
embeddings of the training part to their *true* maturity, by lineage, C and gamma by a grid within the training part. No
method is given this truth. It is a yardstick, not an upper bound, and of these embeddings alone. Mean over lineages and
folds of Kendall's tau between what is read and the truth, over all test cells of a lineage and within its classes.
Prints a Markdown table.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVR

from smrjax.data import load
from smrjax.evaluate.readouts import compare_readouts
from smrjax.taxonomy import for_classes, load_taxonomy, parse_lineages

GRID = {"C": [0.1, 1, 10], "gamma": [0.1, 1, 10]}
COLUMNS = {
    "own": "own curve",
    "line": "line",
    "bezier": "Bézier",
    "expected": "probabilities",
    "told": "told the truth",
}


def told(z: np.ndarray, maturity: np.ndarray, labels: np.ndarray, train: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Maturity of every cell as a regression on one lineage's training cells says it, Float[N]."""
    rows = np.flatnonzero(train & np.isin(labels, members))
    search = GridSearchCV(SVR(epsilon=0.02), GRID, cv=5).fit(z[rows], maturity[rows])
    return search.predict(z)


def read(folder: Path) -> dict[tuple[str, str], list[float]]:
    """(readout, score) -> one value a fold, the mean over lineages."""
    data = json.loads((folder / "config.json").read_text())["data"]
    cells = load(
        data["data"],
        size=data["image_size"],
        count=data["count"],
        seed=data["render_seed"],
        cache_dir=data["cache"],
    )
    if cells.maturity is None:
        raise SystemExit(f"{folder}: the true maturity of these cells is not known")
    own = load_taxonomy(data["taxonomy"]) if data["taxonomy"] else None
    taxonomy = for_classes(cells.classes, parse_lineages(data["lineages"]), own=own, name=cells.name)
    stage, lineage, y = taxonomy.stage(), taxonomy.lineage_index(), cells.labels
    found: dict[tuple[str, str], list[float]] = {}
    for path in sorted(folder.glob("fold_*/embeddings.npz")):
        with np.load(path) as arrays:
            z, part = arrays["embeddings"], arrays["part"]
            readouts = {name: arrays[f"t_{name}"] for name in COLUMNS if f"t_{name}" in arrays}
        readouts["told"] = np.full(len(y), np.nan)
        for index in range(len(taxonomy.lineages)):
            members = np.flatnonzero(lineage == index)
            own = np.isin(y, members)
            readouts["told"][own] = told(z, cells.maturity, y, part == 0, members)[own]
        scores = compare_readouts(
            {name: t[part == 2] for name, t in readouts.items()},
            y[part == 2],
            stage=stage,
            lineage_index=lineage,
            lineages=[line.name for line in taxonomy.lineages],
            true_maturity=cells.maturity[part == 2],
        )
        for name in readouts:
            for score in ("kendall_tau_true", "kendall_tau_true_within"):
                value = float(np.mean([line[name][score] for line in scores.values()]))
                found.setdefault((name, score), []).append(value)
    return found


def main() -> None:
    """Print one row a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_FOLDER")
    heads = [f"{head}{within}" for within in ("", ", within classes") for head in COLUMNS.values()]
    print("| run |", " | ".join(heads), "|\n|---|" + "---|" * len(heads))
    for folder in parser.parse_args().runs:
        found = read(folder)
        cells = []
        for score in ("kendall_tau_true", "kendall_tau_true_within"):
            for name in COLUMNS:
                cells.append(f"{np.mean(found[name, score]):.3f}" if (name, score) in found else "")
        print(f"| {folder.name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
