"""Embedding guides beside the triplet baseline: ``python -m experiments.guides --guide drl --maturity --loss umap``."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.checks import warn_of_collapse
from experiments.config import configure
from experiments.crossval import cross_validate
from experiments.guides_options import DRAWN, PRESETS, Config, GuideOptions, check, resolved
from experiments.guides_report import SUMMARY, draw_guides, draw_scores, table_of_methods, title_of
from experiments.kinds import read_kind
from experiments.prepare import Prepared, find_severity, prepare
from experiments.runs import identity_of, open_run, severity_of
from experiments.runtime import leave, prepare_jax, resumable
from smrjax.data.cache import cache_root
from smrjax.errors import InputError
from smrjax.files import read_json, write_json
from smrjax.guides import GUIDES, adjacency, find_matrix, read_matrix
from smrjax.method import Method, guided, tml
from smrjax.taxonomy import Taxonomy
from smrjax.train.loop import Interrupted

BASELINE = "tml"
UNCHECKED = ", which no expert has checked; give your own by --severity-file"


def main() -> None:
    """Train with one guide or several, and the triplet baseline, on the same folds."""
    config = configure(Config, PRESETS, resolved, prog="python -m experiments.guides", text=__doc__ or "")
    prepare_jax(config.train.devices, cache_root(config.data.cache) / "xla" if config.run.compile_cache else None)
    check(config.guides)
    prepared = prepare(config, lambda taxonomy: baseline(config, taxonomy))
    places = lay_out(config, prepared.taxonomy)
    if "umap" in config.guides.loss or config.guides.all:
        warn_of_collapse(config.guides.alpha, config.guides.l1, config.encoder.embedding_dim)
    folder = open_run(
        config,
        "guides",
        default_name(config),
        identity=identity_of(prepared, guides=np.array(list(places.values()))),
        severity=severity_of(prepared.severity, prepared.severity_file),
        repeated=prepared.repeated,
    )
    write_json(folder / "guides.json", {name: guide.tolist() for name, guide in places.items()})
    runs, summaries = variants(config, places), {}
    with resumable(folder) as should_stop:
        for name, variant in runs.items():
            summaries[name] = run_one(config, prepared, folder, name, variant, places, should_stop)
            if should_stop() and len(summaries) < len(runs):
                raise Interrupted
    print(f"\n{table_of_methods(summaries, baseline=BASELINE)}\n")
    if prepared.severity_file:
        print(f"severity of errors by {prepared.severity_file}{'' if config.data.severity_file else UNCHECKED}\n")
    if config.run.pictures:
        print(draw_guides(folder, prepared.taxonomy, places))
        print(draw_scores(folder, summaries, runs, baseline=BASELINE))
    print(folder)


def baseline(config: Config, taxonomy: Taxonomy) -> Method:
    """The triplet baseline, once it is known that all guides can be laid out: before anything long begins.

    Raises:
        InputError: as `lay_out`.
    """
    lay_out(config, taxonomy)
    return tml(margin=config.guides.margin)


Guide = tuple[str, str, bool]  # layout, matrix, with maturity


def guides_of(options: GuideOptions, *, lineages: bool = True) -> list[Guide]:
    """The guides of a run: those asked for, or the paper's eleven; without lineages, those of them that need none."""
    chosen: tuple[str, ...] = options.guide
    kinds: list[tuple[str, bool]] = [(options.matrix, options.maturity)]
    if options.all:
        chosen = (*DRAWN, "circular", "random")
        kinds = [("similarity", False), ("severity", False), *([("similarity", True)] if lineages else [])]
    guides = [(name, *kind) if name in DRAWN else (name, "", False) for name in chosen for kind in kinds]
    return list(dict.fromkeys(guides))


def name_of(guide: Guide) -> str:
    """Of a guide, for folders: ``drl-similarity-maturity``."""
    layout, matrix, maturity = guide
    return "-".join([layout, *([matrix] if layout in DRAWN else []), *(["maturity"] if maturity else [])])


def variants(config: Config, guides: Iterable[str]) -> dict[str, tuple[str, str] | None]:
    """Name of each run -> its guide and loss; the baseline has none.

    Args:
        config: Options.
        guides: Names of the guides, see `name_of`.
    """
    losses = ("umap", "distance") if config.guides.all else dict.fromkeys(config.guides.loss)
    pairs = [(guide, loss) for guide in guides for loss in losses]
    return {BASELINE: None} | {f"{guide}-{loss}": (guide, loss) for guide, loss in pairs}


def lay_out(config: Config, taxonomy: Taxonomy) -> dict[str, np.ndarray]:
    """The place of every class in every guide of the run, Float[C, 2].

    Raises:
        InputError: if there is no matrix for these classes, or a guide needs lineages and there are none.
    """
    options, classes = config.guides, taxonomy.classes
    lineages = [[classes.index(c) for c in line.classes] for line in taxonomy.lineages]
    if options.maturity and not lineages and not options.all:
        raise InputError("--maturity draws the stages of a lineage together, and there is none; name one by --lineages")
    places = {}
    for layout, kind, maturity in guides_of(options, lineages=bool(lineages)):
        edges = np.zeros((len(classes), len(classes)), int)
        if layout in DRAWN:
            edges = adjacency(matrix_of(config, kind, classes), kind=kind, lineages=lineages, maturity=maturity)
        name = name_of((layout, kind, maturity))
        places[name] = GUIDES[layout](edges, jax.random.key(config.train.seed), lineages)
    return places


def matrix_of(config: Config, kind: str, classes: tuple[str, ...]) -> np.ndarray:
    """The matrix that draws guides: ``--matrix-file`` for its own kind, else that of the scores, or of smrjax.

    Raises:
        InputError: if there is none, or the file is not one.
    """
    options = config.guides
    if options.matrix_file and kind == options.matrix:
        return read_matrix(options.matrix_file, classes)
    matrix = find_severity(config.data, classes)[0] if kind == "severity" else find_matrix(kind, classes)
    if matrix is None:
        flag = "--severity-file FILE" if kind == "severity" else f"--matrix {kind} --matrix-file FILE"
        raise InputError(f"smrjax has no {kind} matrix of these classes; give your own: {flag}")
    return matrix


def method_of(options: GuideOptions, places: np.ndarray, loss: str) -> Method:
    """The method that follows a guide, under one of its losses."""
    return guided(
        places,
        loss=loss,
        alpha=options.alpha,
        margin=options.margin,
        kappa=options.kappa,
        inverse=options.inverse,
        samples=options.umap_samples,
        every=options.umap_every,
        grow=options.grow,
        l1=options.l1,
    )


def run_one(
    config: Config,
    prepared: Prepared,
    folder: Path,
    name: str,
    variant: tuple[str, str] | None,
    places: dict[str, np.ndarray],
    should_stop: Callable[[], bool],
) -> dict[str, Any]:
    """One run of the set in a folder of its own, unless it is finished; its summary.

    Raises:
        Interrupted: if ``should_stop`` said so.
    """
    own = folder / name
    if (own / "summary.json").exists():
        found: dict[str, Any] = read_kind(own / "summary.json", SUMMARY)
        return found
    method, title = of_variant(config, variant, places)
    begin_one(folder, name)
    return cross_validate(config, replace(prepared, method=method), own, title=title, should_stop=should_stop)


def of_variant(config: Config, variant: tuple[str, str] | None, places: dict[str, np.ndarray]) -> tuple[Method, str]:
    """Method and title of one of the `variants`."""
    if variant is None:
        return tml(margin=config.guides.margin), "TML"
    guide, loss = variant
    title = f"{title_of(guide)}, {'inverse UMAP' if loss == 'umap' else 'distance'} loss"
    return method_of(config.guides, places[guide], loss), title


def begin_one(folder: Path, name: str) -> Path:
    """The folder of one run of the set, with the set's options."""
    own = folder / name
    own.mkdir(exist_ok=True)
    for file in ("config.json", "run.json"):
        write_json(own / file, read_json(folder / file))
    return own


def default_name(config: Config) -> str:
    """A folder name that says what runs and when."""
    options = config.guides
    what = ["all"] if options.all else [*map(name_of, guides_of(options)), *options.loss]
    return f"{'-'.join(what)}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"


if __name__ == "__main__":
    leave(main)
