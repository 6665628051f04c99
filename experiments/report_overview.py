"""The first words of the report: what was run on which cells, and how it was run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.duplicates import in_words
from experiments.report_cells import Images
from experiments.report_runs import Run
from experiments.report_words import enumerated, plus_minus
from smrjax.report import contact_sheet
from smrjax.report.page import Html, Section, code, facts, figure, subtitle, table, words

NOTICE = "For research use only. Not a medical device: nothing in this report may guide the care of a patient."


def overview(runs: Sequence[Run], baseline: Run, images: Mapping[str, Images], out: Path) -> Section:
    """What the report is about: a paragraph, a table of the runs, and a sheet of the cells."""
    parts = [words(_in_words(runs), "lead")]
    unfinished = [run for run in runs if not run.finished]
    for run in unfinished:
        done = ", ".join(str(fold.number) for fold in run.folds)
        parts.append(words(f"{run.title} is not finished: shown are its finished folds, so far {done}.", "notice"))
    heads = ["Run", "Method", "Data", "Classes", "Folds", "Cells tested", "Macro-F"]
    rows = [
        [
            run.title + (" (baseline)" if run is baseline and len(runs) > 1 else ""),
            run.method,
            Path(run.data).name,
            str(len(run.taxonomy.classes)),
            ", ".join(str(fold.number) for fold in run.folds),
            f"{sum(len(fold.names) for fold in run.folds):,}",
            plus_minus(run.values("macro_f1")),
        ]
        for run in runs
    ]
    if all(run.title == run.method for run in runs):  # then runs have the names of their methods
        heads, rows = [heads[0], *heads[2:]], [[row[0], *row[2:]] for row in rows]
    caption = "Macro-F: mean over the folds ± half of its 95 % interval (Student's t over folds)."
    parts.append(table(heads, rows, caption=caption, numbers=len(heads) - 4))
    parts += _sheets(runs, images, out)
    return Section("Overview", parts)


def on_data(runs: Sequence[Run]) -> str:
    """The data sets of some runs, in words."""
    return enumerated(list(dict.fromkeys(Path(run.data).name for run in runs)))


def _in_words(runs: Sequence[Run]) -> str:
    first = runs[0]
    methods = f"{len(runs)} runs" if len(runs) > 1 else first.title
    text = f"This report shows {methods} on {on_data(runs)}. "
    if len({(run.data, run.taxonomy.classes) for run in runs}) == 1:
        taxonomy = first.taxonomy
        text += f"The cells belong to {len(taxonomy.classes)} classes"
        lines = [f"{line.name} ({len(line.classes)} stages)" for line in taxonomy.lineages if len(line.classes) > 1]
        text += f", among them the stages of {enumerated(lines)}. " if lines else ". "
    return f"{text}{_tested(runs)}: every prediction is of a cell that its model had not been trained with."


def _tested(runs: Sequence[Run]) -> str:
    """On what the runs were tested: folds, or the one split that their data prescribe."""
    official, n = [run for run in runs if run.official], len(runs[0].folds)
    under = "under cross-validation" if len(runs) > 1 else f"in {n} fold{'s' * (n != 1)} of a cross-validation"
    each = "Each" if len(runs) > 1 else "It"
    if not official:
        return f"{each} was trained and tested {under}"
    if len(official) == len(runs):
        return f"{each} was trained and tested on the official parts of {on_data(runs)}"
    were = f"{enumerated([run.title for run in official])} {'was' if len(official) == 1 else 'were'}"
    return f"{were} trained and tested on the official parts of {on_data(official)}, the others {under}"


def _sheets(runs: Sequence[Run], images: Mapping[str, Images], out: Path) -> list[Html]:
    """Example cells of each data set, or why there are none."""
    parts: list[Html] = []
    seen: list[int] = []
    for run in (run for run in runs if run.title in images):
        own = images[run.title]
        if id(own) in seen:
            continue
        seen.append(id(own))
        name = Path(run.data).name
        if own.cells is None:
            parts.append(words(f"No cells of {name} are pictured: {own.reason}", "note"))
            continue
        slides = "" if own.cells.groups is None else f" from {len(set(own.cells.groups.tolist()))} slides or patients"
        path = contact_sheet(
            out / f"cells-{len(seen)}.png",
            images=own.cells.images,
            labels=own.cells.labels,
            title=f"{len(own.cells):,} cells of {name}",
            svg=True,
            **run.look,
        )
        alt = f"Ten example cells of every class of {name}, classes by lineage and maturity."
        parts.append(figure(path, alt=alt, caption=f"Cells of {name}{slides}, up to ten of each class."))
    return parts


def provenance(runs: Sequence[Run]) -> Section:
    """How the runs were made: folder, command, versions, settings."""
    # The runs of a set were made by one command.
    alike: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        alike.setdefault(tuple(_made(run)), []).append(run)
    parts: list[Html] = []
    for pairs, of in alike.items():
        folders = Html(", ".join(code(str(run.folder)) for run in of))
        parts += [subtitle(", ".join(run.title for run in of)), facts([("Folder", folders), *pairs])]
    return Section("How the runs were made", parts)


def _made(run: Run) -> list[tuple[str, str]]:
    """What is known of how a run was made, by name."""
    data, train, encoder = (run.config.get(name, {}) for name in ("data", "train", "encoder"))
    pairs: list[tuple[str, str]] = [
        ("Command", code(str(run.about.get("command", "unknown")))),
        ("Data", f"{run.data}, {data.get('image_size', '?')} px"),
        ("Cells, by hash", code(str(run.about.get("cells", "unknown"))[:16])),
    ]
    if run.about.get("duplicates"):
        pairs.append(("Duplicates among the cells", in_words(run.about["duplicates"])))
    if "encoder" in encoder:
        pairs.append(("Network", f"{encoder['encoder']}, weights at first: {encoder.get('init', '?')}"))
    if "epochs" in train:
        pairs.append(("Training", f"{train['epochs']} epochs at most, seed {train.get('seed', '?')}"))
    settings = {
        f"{name} {value}"
        for block, options in run.config.items()
        if isinstance(options, dict) and block not in ("data", "encoder", "train", "run", "together")
        for name, value in options.items()
    }
    if settings:
        pairs.append(("Settings", ", ".join(sorted(settings))))
    if run.summary.get("versions"):
        pairs.append(("Versions", ", ".join(f"{name} {v}" for name, v in sorted(run.summary["versions"].items()))))
    device, git = run.summary.get("device"), run.summary.get("git")
    if device:
        count = f"{device['count']} × " if device["count"] > 1 else ""
        among = f", {device['processes']} processes" if device["processes"] > 1 else ""
        pairs.append(("Device", f"{count}{device['kind']}{among}"))
    if git:
        pairs.append(("Code, by commit", code(git["commit"][:12] + " and changes since" * git["changed"])))
    return pairs
