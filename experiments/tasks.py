"""What is to be told apart: stages of a lineage, cells and artefacts, or every class of cells (OOTB, section 4)."""

from collections.abc import Sequence
from dataclasses import replace

from smrjax.data import CellSet, select
from smrjax.errors import InputError
from smrjax.taxonomy import Lineage, Taxonomy, default_colours, left_ratios

#: The lineage of "neutrophilic", unless another is named.
NEUTROPHIL = "neutrophil"


def choose(
    cells: CellSet, taxonomy: Taxonomy, task: str, *, lineage: str = "", artefacts: Sequence[str] = ()
) -> tuple[CellSet, Taxonomy]:
    """The cells and classes of a task.

    Args:
        cells: All cells.
        taxonomy: Of all classes.
        task: "neutrophilic": the stages of one lineage; "leukocytes": cells against artefacts; "all": every class but
            artefacts.
        lineage: Of "neutrophilic"; the one called neutrophil, or the only one, if empty.
        artefacts: Codes of the classes that are artefacts; those of the taxonomy if none is named.

    Raises:
        InputError: if the data have no such lineage, no artefacts, or fewer than two classes are left.
    """
    artefacts = tuple(artefacts) or taxonomy.artefacts
    unknown = [code for code in artefacts if code not in cells.classes]
    if unknown:
        raise InputError(f"--artefacts {unknown[0]}: there is no such class; there are {', '.join(cells.classes)}")
    blood = [code for code in cells.classes if code not in artefacts]
    if task == "leukocytes":
        if not artefacts or not blood:
            raise InputError(
                "--task leukocytes tells cells from artefacts, and no class here is known to be "
                f"{'a cell' if artefacts else 'one'}; name the artefacts by --artefacts CODE …"
            )
        names = ("cell", "artefact")
        colours = default_colours(names, ())
        two = Taxonomy(taxonomy.name, names, (), colours, ("Leukocyte", "Artefact"), ("artefact",))
        return select(cells, [blood, artefacts], names), two
    kept = blood if task == "all" else list(_lineage(taxonomy, lineage).classes)
    if len(kept) < 2:
        raise InputError(
            f"--task {task} has the class {', '.join(kept) or '(none)'} alone, and needs two to tell apart"
        )
    return select(cells, [[code] for code in kept], kept), _only(taxonomy, kept)


def _lineage(taxonomy: Taxonomy, name: str) -> Lineage:
    """The lineage of that name, or the one meant where none is named."""
    known = {line.name: line for line in taxonomy.lineages}
    if name in known:
        return known[name]
    if name:
        raise InputError(f"--lineage {name}: there is no such lineage; there are {', '.join(known) or 'none'}")
    if NEUTROPHIL in known or len(known) == 1:
        return known.get(NEUTROPHIL) or taxonomy.lineages[0]
    raise InputError(
        "--task neutrophilic: the stages of which lineage? "
        + (f"Say --lineage {' or '.join(known)}" if known else "Name them by --lineages NAME=YOUNGEST,…,OLDEST")
    )


def _only(taxonomy: Taxonomy, kept: Sequence[str]) -> Taxonomy:
    """The taxonomy of some of its classes, in their order."""
    place = [taxonomy.classes.index(code) for code in kept]
    lines = [Lineage(line.name, tuple(code for code in line.classes if code in kept)) for line in taxonomy.lineages]
    return replace(
        taxonomy,
        classes=tuple(kept),
        lineages=tuple(line for line in lines if line.classes),
        colours=tuple(taxonomy.colours[i] for i in place),
        titles=tuple(taxonomy.titles[i] for i in place),
        artefacts=(),
        ratios=left_ratios(taxonomy.ratios, kept),
    )
