"""A picture of where a training step's time goes: stage by stage of the encoder, and what is around it.

    python benchmarks/profile_step.py --encoder densenet121 --batch 8 --size 224 --out docs/profile.png

`jax.profiler` says how long each instruction of the compiled step took; the instruction's name in the program says
which part of the step it belongs to.
"""

import argparse
import gzip
import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import jax
from bench_step import learner_and_arguments

from smrjax.data.augment import augment
from smrjax.method import smr
from smrjax.report.figures import FAINT, INK, QUIET, SERIES, caption, heading, panel, sheet
from smrjax.taxonomy import load_taxonomy

#: Steps that are averaged.
STEPS = 3
FORWARD, BACKWARD = "forward", "backward"


def own_durations(events: list[dict[str, Any]]) -> Counter[str]:
    """Microseconds by instruction, without those of the instructions that ran within it (the body of a loop)."""
    spent: Counter[str] = Counter()
    threads: dict[Any, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in (event.get("args") or {}):
            threads.setdefault(event["tid"], []).append(event)
    for own in threads.values():
        open_: list[dict[str, Any]] = []
        for event in sorted(own, key=lambda e: (e["ts"], -e["dur"])):
            while open_ and event["ts"] >= open_[-1]["ts"] + open_[-1]["dur"]:
                open_.pop()
            if open_:
                spent[open_[-1]["args"]["hlo_op"]] -= event["dur"]
            spent[event["args"]["hlo_op"]] += event["dur"]
            open_.append(event)
    return spent


def parts_of(text: str, stages: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Instruction -> (part of the step, forward or backward), from the names in a compiled program.

    A fusion without a name belongs where the first named instruction in it belongs.
    """
    found, inside, computation = {}, {}, ""
    for line in text.splitlines():
        if heading_ := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            computation = heading_.group(1)
        if not (name := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = ", line)):
            continue
        if path := re.search(r'op_name="([^"]*)"', line):
            steps = re.split(r"[/()]", path.group(1))
            part = next((p for p in (*stages, "augmentation", "loss", "optimizer") if p in steps), "other")
            key = part, BACKWARD if "transpose(" in path.group(1) else FORWARD
            inside.setdefault(computation, key)
        elif called := re.search(r"calls=%?([\w.\-]+)", line):
            key = inside.get(called.group(1), ("other", FORWARD))
        else:
            key = "other", FORWARD
        found[name.group(1)] = key
    return found


def profile(encoder: str, batch: int, size: int) -> tuple[dict[tuple[str, str], float], tuple[str, ...]]:
    """Seconds of a step by (part, direction), and the encoder's stages in order."""
    taxonomy = load_taxonomy("marrow15")
    method = smr(taxonomy, curve="bezier", pull="projected")
    learner, arguments = learner_and_arguments(
        encoder, batch, size, method, classes=len(taxonomy.classes), augment=augment
    )
    stages = learner.model.stage_names
    compiled = learner.step.lower(*arguments).compile()
    state, *rest = arguments
    for _ in range(2):
        state = jax.block_until_ready(compiled(state, *rest))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                state = jax.block_until_ready(compiled(state, *rest))
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    where, spent = parts_of(compiled.as_text(), stages), {}
    for instruction, microseconds in own_durations(events).items():
        key = where.get(instruction, ("other", FORWARD))
        spent[key] = spent.get(key, 0.0) + microseconds / 1e6 / STEPS
    return spent, stages


def draw(spent: dict[tuple[str, str], float], stages: tuple[str, ...], title: str, path: Path) -> None:
    rows = ["augmentation", *stages, "loss", "optimizer", "other"]
    total = sum(spent.values())
    with sheet(path, width=6.2, height=0.24 * len(rows), svg=False) as figure:
        heading(figure, title)
        axes = panel(figure, left=1.0, top=0, width=4.4, height=0.24 * len(rows))
        for y, part in enumerate(rows):
            left = 0.0
            for direction, colour in ((FORWARD, SERIES[4]), (BACKWARD, SERIES[0])):
                width = 1e3 * spent.get((part, direction), 0.0)
                axes.barh(y, width, 0.7, left=left, color=colour, label=direction if y == 0 else None)
                left += width
            share = 100 * left / 1e3 / total
            axes.annotate(
                f"{left:,.{0 if left >= 100 else 1}f} ms, {share:.2g} %",
                (left, y),
                (4, 0),
                textcoords="offset points",
                va="center",
                color=INK,
            )
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.margins(x=0.28)
        axes.set_xlabel("ms of a step", color=QUIET)
        axes.grid(axis="x", color=FAINT, linewidth=0.5)
        axes.tick_params(length=0)
        axes.legend(frameon=False, loc="lower right")
        caption(
            figure,
            f"Mean of {STEPS} steps, {1e3 * total:,.0f} ms of computation each, measured by jax.profiler on "
            f"{jax.devices()[0].platform.upper()}; SMR with the projected pull on two Bézier curves. Head: pooling, "
            "dropout and the embedding layer. Other: what no part gave its name to, such as copies and the scaling of "
            "pixels.",
            gap=0.45,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="densenet121")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--out", type=Path, default=Path("docs/profile.png"))
    options = parser.parse_args()
    spent, stages = profile(options.encoder, options.batch, options.size)
    words = f"A training step of {options.encoder}: {options.batch} images of {options.size} px"
    draw(spent, stages, words, options.out)
    for (part, direction), seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{part:14} {direction:9} {1e3 * seconds:9.2f} ms {100 * seconds / sum(spent.values()):5.1f} %")
    print(options.out)


if __name__ == "__main__":
    main()
