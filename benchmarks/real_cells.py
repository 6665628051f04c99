"""Does SMR help? Every method on the same folds and seeds, then paired differences to the triplet baseline.

    python benchmarks/real_cells.py --data ../shared/data/pbc --lineages neutrophil=PMY,MY,MMY,BNE,SNE --seeds 0 1 -- \
        --encoder efficientnet_lite0 --init imagenet --image-size 96 --frozen-stages 6 --precompute --epochs 5 --tta

What stands behind ``--`` goes to `experiments.smr` for every method alike. Finished runs are not repeated and broken
ones go on, so the same command takes up where it stopped. Prints a Markdown table.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from smrjax.evaluate.statistics import paired_difference
from smrjax.report import comparison_figure

METHODS = {
    "Frozen features + SVM": ["--method", "frozen"],
    "Softmax + SVM": ["--method", "softmax"],
    "TML": ["--method", "tml"],
    "SMR normal, SVD line, uniform": ["--curve", "svd", "--loss", "normal"],
    "SMR projected, SVD line, uniform": ["--curve", "svd", "--loss", "projected"],
    "SMR normal, Bézier, uniform": ["--curve", "bezier", "--loss", "normal"],
}
BASELINE = "TML"


def score(fold: dict, name: str) -> float:
    """A score of one fold, NaN where it is undefined; readouts of maturity are averaged over lineages."""
    scores = fold["scores"]
    if "/" not in name:
        value = scores.get(name)
        return np.nan if value is None else value
    readout, key = name.split("/")
    values = [line[readout].get(key) for line in scores["readouts"].values() if readout in line]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else np.nan


SCORES = {
    "macro-F": "macro_f1",
    "off-by-one": "off_by_one",
    "tau, line": "line/kendall_tau_stage",
    "tau, Bézier": "bezier/kendall_tau_stage",
    "tau, probabilities": "expected/kendall_tau_stage",
}
# As users see it: along a method's own curves, or where it has none along lines fitted afterwards.
TRUE_SCORES = {
    "tau to truth, own": "tau_true",
    "within classes, own": "tau_true_within",
    "tau to truth, line": "line/kendall_tau_true",
    "tau to truth, Bézier": "bezier/kendall_tau_true",
    "within classes, line": "line/kendall_tau_true_within",
    "within classes, Bézier": "bezier/kendall_tau_true_within",
    "within classes, probabilities": "expected/kendall_tau_true_within",
}


def train_all(options: argparse.Namespace, common: list[str]) -> dict[str, list[dict]]:
    """Folds by method: every summary that is there, and every run that is not."""
    data = ["--data", options.data, *(["--lineages", *options.lineages] if options.lineages else []), *common]
    # Runs under other options have other folders, so that nothing old is taken for new.
    options.out = options.out / hashlib.sha256(" ".join(data).encode()).hexdigest()[:8]
    found: dict[str, list[dict]] = {}
    for method in options.methods:
        words = METHODS[method]
        for seed in options.seeds:
            name = "-".join(w for w in (*words, f"seed{seed}") if not w.startswith("--"))
            folder = options.out / "smr" / name
            if not (folder / "summary.json").exists():
                fresh = [*words, *data, "--seed", str(seed), "--out", str(options.out), "--name", name]
                again = ["--resume", str(folder)] if (folder / "run.json").exists() else fresh
                subprocess.run([sys.executable, "-m", "experiments.smr", *again], check=True)
            found.setdefault(method, []).append(json.loads((folder / "summary.json").read_text())["folds"])
    return found


def difference(mine: np.ndarray, base: np.ndarray) -> tuple[float, float, float] | None:
    """Mean paired difference over seeds and folds and its 95 % interval; pairs with an undefined score are left out."""
    both = np.isfinite(mine) & np.isfinite(base)
    # Six folds, one of them tested and one for validation: a test part is a quarter of a training part.
    d = paired_difference(mine[both], base[both], test_to_train=0.25)
    return None if d["low"] is None else (d["mean"], d["low"], d["high"])


def main() -> None:
    """Train what is missing, print the table, draw the comparison."""
    words = sys.argv[1:]
    own, common = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic_marrow")
    parser.add_argument("--lineages", nargs="*", default=[])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--out", type=Path, default=Path("runs/real_cells"))
    options = parser.parse_args(own)
    runs = train_all(options, common)
    first = runs[BASELINE][0][0]["scores"]["readouts"]
    truth = any("kendall_tau_true" in line.get("line", {}) for line in first.values())
    names = SCORES | (TRUE_SCORES if truth else {})
    values = {
        head: {method: np.array([[score(f, name) for f in seed] for seed in seeds]) for method, seeds in runs.items()}
        for head, name in names.items()
    }
    differences = {
        head: {
            method: d
            for method, mine in of.items()
            if method != BASELINE and (d := difference(mine, of[BASELINE])) is not None
        }
        for head, of in values.items()
    }
    print("| method |", " | ".join(names), "|\n|---|" + "---|" * len(names))
    for method in runs:
        cells = []
        for head in names:
            text = f"{np.nanmean(values[head][method]):.3f}"
            if method in differences[head]:
                mean, low, high = differences[head][method]
                text += f" ({mean:+.3f} ± {(high - low) / 2:.3f})"
            cells.append(text)
        print(f"| {method} |", " | ".join(cells), "|")
    print(
        comparison_figure(
            options.out / "comparison.png",
            scores=values,
            baseline=BASELINE,
            differences=differences,
            title=f"Methods on {Path(options.data).stem}, same folds and seeds",
        )
    )


if __name__ == "__main__":
    main()
