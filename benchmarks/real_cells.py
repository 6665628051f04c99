"""Does SMR help? Every method on the same folds and seeds, then paired differences to the triplet baseline.

    python benchmarks/real_cells.py --data ../shared/data/pbc --lineages neutrophil=PMY,MY,MMY,BNE,SNE --seeds 0 1 -- \
        --encoder efficientnet_lite0 --init imagenet --image-size 96 --frozen-stages 6 --precompute --epochs 8 --tta

What stands behind ``--`` goes to `experiments.smr` for every method alike. Finished runs are not repeated and broken
ones go on, so the same command takes up where it stopped. Prints a Markdown table.
"""

import argparse
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
    """A score of one fold; readouts of maturity are averaged over lineages."""
    scores = fold["scores"]
    if name in ("macro_f1", "off_by_one"):
        return scores[name]
    readout, key = name.split("/")
    values = [line[readout][key] for line in scores["readouts"].values() if readout in line]
    return float(np.mean(values)) if values else float("nan")


SCORES = {
    "macro-F": "macro_f1",
    "off-by-one": "off_by_one",
    "tau, line": "line/kendall_tau_stage",
    "tau, Bézier": "bezier/kendall_tau_stage",
    "tau, probabilities": "expected/kendall_tau_stage",
}
TRUE_SCORES = {
    "tau to truth, line": "line/kendall_tau_true",
    "within classes, line": "line/kendall_tau_true_within",
    "within classes, Bézier": "bezier/kendall_tau_true_within",
    "within classes, probabilities": "expected/kendall_tau_true_within",
}


def train_all(options: argparse.Namespace, common: list[str]) -> dict[str, list[dict]]:
    """Folds by method: every summary that is there, and every run that is not."""
    found: dict[str, list[dict]] = {}
    for method, words in METHODS.items():
        for seed in options.seeds:
            name = "-".join(w for w in (*words, f"seed{seed}") if not w.startswith("--"))
            folder = options.out / "smr" / name
            if not (folder / "summary.json").exists():
                data = ["--data", options.data, "--seed", str(seed), "--out", str(options.out), "--name", name]
                lineages = ["--lineages", *options.lineages] if options.lineages else []
                fresh = [*words, *data, *lineages, *common]
                again = ["--resume", str(folder)] if (folder / "config.json").exists() else fresh
                subprocess.run([sys.executable, "-m", "experiments.smr", *again], check=True)
            found.setdefault(method, []).append(json.loads((folder / "summary.json").read_text())["folds"])
    return found


def main() -> None:
    """Train what is missing, print the table, draw the comparison."""
    words = sys.argv[1:]
    own, common = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic_marrow")
    parser.add_argument("--lineages", nargs="*", default=[])
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
    print("| method |", " | ".join(names), "|\n|---|" + "---|" * len(names))
    for method in runs:
        cells = []
        for head in names:
            mine, base = values[head][method], values[head][BASELINE]
            text = f"{mine.mean():.3f}"
            if method != BASELINE:
                # Six folds, one of them tested and one for validation: a test part is a quarter of a training part.
                d = paired_difference(mine, base, test_to_train=0.25)
                text += f" ({d['mean']:+.3f} ± {(d['high'] - d['low']) / 2:.3f})"
            cells.append(text)
        print(f"| {method} |", " | ".join(cells), "|")
    comparison_figure(
        options.out / "comparison.png",
        scores={head: {method: v.mean(0) for method, v in of.items()} for head, of in values.items()},
        baseline=BASELINE,
        title=f"Methods on {options.data.rstrip('/').split('/')[-1]}, same folds",
    )
    print(options.out / "comparison.png")


if __name__ == "__main__":
    main()
