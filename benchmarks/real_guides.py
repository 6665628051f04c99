"""Do guides help? The baseline and several guides on the same folds and seeds, then paired differences.

    python benchmarks/real_guides.py --seeds 0 1 -- --data ../shared/data/pbc \
        --encoder efficientnet_lite0 --init imagenet --image-size 96 --frozen-stages 6 --precompute --epochs 4 \
        --guide circular kk fr drl --maturity --loss umap distance

What stands behind ``--`` goes to `experiments.guides`. A finished run is not repeated and a broken one goes on, so the
same command takes up where it stopped. Prints a Markdown table of all seeds together.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.config import from_json
from experiments.guides import BASELINE, variants
from experiments.guides_options import Config
from experiments.guides_report import draw_scores, table_of_methods
from smrjax.files import read_json

Runs = dict[str, tuple[str, str] | None]


def train(seed: int, words: list[str], out: Path) -> tuple[Runs, dict[str, dict[str, Any]]]:
    """Runs under one seed, with their guide and loss, and their summaries."""
    folder = out / "guides" / f"seed{seed}"
    fresh = [*words, "--seed", str(seed), "--out", str(out), "--name", folder.name]
    again = ["--resume", str(folder)] if (folder / "run.json").exists() else fresh
    subprocess.run([sys.executable, "-m", "experiments.guides", *again], check=True)
    config = from_json(Config, read_json(folder / "config.json"))
    runs = variants(config, read_json(folder / "guides.json"))
    return runs, {name: read_json(folder / name / "summary.json") for name in runs}


def main() -> None:
    """Train what is missing, print the table, draw the scores."""
    words = sys.argv[1:]
    own, rest = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--out", type=Path, default=Path("runs/real_guides"))
    options = parser.parse_args(own)
    # Runs under other options have other folders, so that nothing old is taken for new.
    out = options.out / hashlib.sha256(" ".join(rest).encode()).hexdigest()[:8]
    together: dict[str, dict[str, Any]] = {}
    for seed in options.seeds:
        runs, summaries = train(seed, rest, out)
        for name, summary in summaries.items():
            if name not in together:
                together[name] = summary
                continue
            for score, of in together[name]["scores"].items():
                of["values"] += summary["scores"][score]["values"]
    print(table_of_methods(together, baseline=BASELINE))
    print(draw_scores(out, together, runs, baseline=BASELINE))


if __name__ == "__main__":
    main()
