"""Finished runs as one HTML page: ``python -m experiments.report RUN [RUN ...] --out report.html``."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Literal

import tyro

import smrjax
from experiments.report_calibration import calibration
from experiments.report_cells import read_images
from experiments.report_classes import classes
from experiments.report_compare import choose_baseline, paired_differences
from experiments.report_explorer import explore, script
from experiments.report_maturity import maturity
from experiments.report_overview import NOTICE, on_data, overview, provenance
from experiments.report_predictions import read_predictions
from experiments.report_reading import reading
from experiments.report_runs import Run, read_runs
from experiments.report_scores import comparison, stages
from experiments.report_shift import elsewhere
from experiments.report_training import training
from experiments.report_traversal import Placed, placed, traversal
from experiments.report_words import enumerated
from experiments.runtime import leave
from smrjax.errors import InputError
from smrjax.files import atomic
from smrjax.report.page import Html, code, page, words


@dataclass(frozen=True)
class Options:
    """What the report shows, and where it goes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs, or of sets of runs (guides, baselines, strategies), of which every one is taken."""
    out: Path = Path("report.html")
    """The page."""
    figures: Path | None = None
    """Keep every figure in this folder, too, as PNG and SVG."""
    baseline: Path | None = None
    """Folder of the run that the others are compared with; by default the triplet baseline among them, or the first."""
    predictions: tuple[Path, ...] = ()
    """Folders of experiments.predict: how far the run that predicted is to be trusted on these cells, which are shown
    in the order of maturity beside its test cells, too."""
    layout: Literal["pca", "umap", "reducer"] = "pca"
    """Places of cells in the explorer: principal axes, UMAP, or the learnt space of a run that has one."""
    detail: int = 4
    """Of so many runs, in the order given, every section is shown; of more, scores alone."""


def main() -> None:
    """Read the runs, draw, write the page."""
    options = tyro.cli(Options, prog="python -m experiments.report", description=__doc__)
    print(report(options))


def report(options: Options) -> Path:
    """Write the page.

    Returns:
        Its path.

    Raises:
        InputError: for a folder that is no run, or has no finished fold; for a page that cannot be written.
    """
    runs, baseline = _choose(options)
    detailed = runs[: max(options.detail, 1)]
    images = read_images([*detailed, baseline])
    predictions = read_predictions(options.predictions, detailed)
    others: dict[str, list[Placed]] = {}
    for one in predictions:
        others.setdefault(one.run.title, []).extend(placed(one))
    differences = paired_differences(runs, baseline)
    pictured = next((run for run in detailed if run.folds[0].embeddings), detailed[0])
    with ExitStack() as stack:
        out = options.figures or stack.enter_context(_passing())
        sections = [
            overview(runs, baseline, images, out),
            comparison(runs, baseline, differences, out),
            maturity(detailed, baseline, images, out),
            traversal(detailed, images, others, out),
            elsewhere(predictions, out),
            explore(pictured, images[pictured.title], options.layout),
            stages(runs, detailed, out),
            classes(detailed, out),
            calibration(detailed, out),
            training(detailed, out),
        ]
    sections += [reading(sections), provenance(runs)]
    title = runs[0].title if len(runs) == 1 else f"{len(runs)} runs on {on_data(runs)}"
    made = f"Made by smrjax {smrjax.__version__}. {NOTICE}"
    opening = [words(NOTICE, "notice")]
    if len(detailed) < len(runs):
        shown = enumerated([run.title for run in detailed])
        more = code(f"--detail {len(runs)}")
        opening.append(
            words(Html(f"Shown in detail: {escape(shown)}. Of the other runs, scores; {more} shows all."), "note")
        )
    interactive = any(section.parts and not section.printed for section in sections)
    scripts = [script()] if interactive else []
    content = page(title, sections=sections, opening=opening, closing=[words(made)], scripts=scripts)
    _write(options.out, content)
    return options.out


def _choose(options: Options) -> tuple[list[Run], Run]:
    """The runs and which of them is the baseline; one that is named alone joins the others in front."""
    if not options.runs:
        raise InputError("name the folder of a run, as in runs/smr/NAME; there may be several")
    if options.detail < 1:
        raise InputError(f"--detail {options.detail}: give 1 or more")
    folders: Sequence[Path] = options.runs
    if options.baseline is None:
        runs = read_runs(folders)
        return runs, choose_baseline(runs)
    wanted = options.baseline.resolve()
    named = any(run.folder.resolve() == wanted for run in read_runs(folders))
    runs = read_runs(folders if named else [options.baseline, *folders])
    baseline = next((run for run in runs if run.folder.resolve() == wanted), None)
    if baseline is None:
        raise InputError(f"--baseline {options.baseline}: holds several runs; give the folder of one of them")
    return runs, baseline


@contextmanager
def _passing() -> Iterator[Path]:
    """A folder for figures that are in the page alone."""
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:
        raise InputError(f"no temporary folder can be made ({error.strerror}); make room, or give --figures") from None
    with folder as name:
        yield Path(name)


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror}); choose another place") from None
    with atomic(path) as temporary:
        # Options of a run may name files whose names are not UTF-8.
        temporary.write_text(content, encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    leave(main)
