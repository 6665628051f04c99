"""Blocks of options that experiments share, and how a command line becomes one of them.

An experiment's configuration is a frozen dataclass whose fields are these blocks; every option of every block is a
flag. ``--preset`` chooses the defaults, flags given beside it win, and `config.json` in the run folder shows them all.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import tyro

from smrjax.encoders import ENCODERS
from smrjax.errors import InputError
from smrjax.files import read_object

if TYPE_CHECKING:
    from builtins import str as EncoderName
else:
    EncoderName = tyro.extras.literal_type_from_choices(list(ENCODERS))

T = TypeVar("T")


@dataclass(frozen=True)
class DataOptions:
    """Which cells, and how they are split."""

    data: str = "synthetic_marrow"
    """synthetic_marrow (rendered); a folder of class folders, or a CSV manifest (path,label[,slide][,fold]); or a
    published set: pbc, marrow21, bloodmnist or pcam (in the folder of that name in $SMRJAX_DATA), or the path of its
    folder or file."""
    count: int = 1200
    """How many cells to render (synthetic_marrow only)."""
    render_seed: int = 0
    """Which cells to render: another number, other slides and cells (synthetic_marrow only)."""
    image_size: int = 64
    """Side of the square images that the network sees, in pixels."""
    lineages: tuple[str, ...] = ()
    """Lineages, youngest stage first: neutrophil=PMY,MY,MMY,BNE,SNE erythroid=… By default the data's own."""
    taxonomy: Path | None = None
    """TOML file with the classes' titles and colours, the lineages, and the ratios that counts are to give; see
    smrjax/taxonomies/. By default the one that comes with smrjax and knows all classes, if there is one."""
    severity_file: Path | None = None
    """CSV file with the severity of every error, 1 to 5, rows true and columns predicted; by default the one that comes
    with smrjax and knows all classes, if there is one."""
    folds: int = 6
    """Parts of the cross-validation: part k is the test of fold k, part k+1 its validation (in baselines and
    strategies, validation is a part of the others). Data that prescribe folds keep theirs; of bloodmnist and pcam, fold
    0 is the official split."""
    only_folds: tuple[int, ...] = ()
    """Train these folds only, counted from 0; all if none is named, but of rendered cells under --preset quick the
    first three."""
    strict_split: bool = False
    """Refuse to train where a cell has a duplicate in another part of its fold, or --init was trained on cells that are
    tested, instead of a warning."""
    cache: Path | None = None
    """Folder for decoded images; by default smrjax in the user's cache folder."""


@dataclass(frozen=True)
class EncoderOptions:
    """The network."""

    encoder: EncoderName = "densenet_small"
    """Architecture."""
    init: str = "random"
    """random; imagenet (fetched or from an installed package); a .safetensors or .pth file of ImageNet weights; or the
    folder of a run, or of one of its folds, whose trained encoder is taken."""
    embedding_dim: int = 256
    """Length of an embedding."""
    dropout: float = 0.05
    """Dropout before the embedding layer."""
    frozen_stages: int = 0
    """Keep this many of the first stages as they were initialised."""
    precompute: bool = False
    """Compute the frozen stages once, for the eight flips and quarter turns of every image, and train the rest on what
    is stored: many times quicker on CPUs. These eight views then replace rotation, crop, zoom and stain jitter."""
    bfloat16: bool = False
    """Compute in bfloat16; parameters and statistics stay float32."""


@dataclass(frozen=True)
class TrainOptions:
    """Optimisation; learning rate, schedule, batch shape and strength of augmentation are ours: SMR has none."""

    epochs: int = 6
    """Epochs at most."""
    patience: int = 50
    """Stop after this many epochs without a better validation macro-F."""
    learning_rate: float = 1e-3
    """Peak of AdamW's cosine decay."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    classes_per_batch: int = 15
    """P of the P x K batches."""
    per_class: int = 4
    """K of the P x K batches."""
    normalize: bool = True
    """Scale embeddings to length one (no-normalize: the papers' letter)."""
    norm_weight: float = 1e-3
    """Weight of the penalty on the norm of the embedding before that."""
    grid_every: int = 5
    """Epochs between full SVM grids of the validation monitor."""
    rotation: bool = True
    """Rotate training images by any angle."""
    flips: bool = True
    """Mirror training images."""
    crop: float = 0.07
    """Reach of the random crop, as a share of the image's side (reflected beyond its border)."""
    zoom: float = 0.05
    """Reach of the random magnification, as a logarithm; small, since size tells maturity."""
    stain: float = 0.05
    """Strength of the stain jitter; 0 turns it off."""
    embed_batch: int = 128
    """Cells of an embedding pass at a time."""
    seed: int = 0
    """Of splits, weights, batches, augmentation and dropout."""
    devices: int = 0
    """Use this many devices (of each process); 0 for all there are, or as many of them as divide a batch. On CPUs, that
    many are simulated."""


@dataclass(frozen=True)
class RunOptions:
    """Where results go."""

    name: str = ""
    """Name of the run's folder; by default made from the settings and the time."""
    out: Path = Path("runs")
    """Folder of all runs."""
    resume: Annotated[str, tyro.conf.arg(metavar="RUN_FOLDER")] = ""
    """Go on with this run exactly where it stopped; its config.json holds, other options are refused."""
    decision: Literal["likeliest", "severity"] = "likeliest"
    """Predict the likeliest class, or the one of least expected severity."""
    tta: bool = False
    """Average over flips and quarter turns: embeddings, for the SVM's training and its test alike, or a network's
    probabilities."""
    pictures: bool = True
    """Draw the pictures at the end."""
    explain: bool = False
    """Draw where the network looks (Grad-CAM): test cells of the first fold, right and wrong."""
    explain_classes: tuple[str, ...] = ()
    """Codes of the classes whose cells --explain shows, each on a page of its own; by default some of all on one."""
    explain_stage: str = ""
    """The network's stage whose features --explain goes by; by default the last with six places a side or more."""
    compile_cache: bool = True
    """Keep compiled programs in the cache folder, so that the next start is quicker."""


Flat = tyro.conf.OmitArgPrefixes


def parse(kind: type[T], presets: dict[str, T], argv: Sequence[str] | None = None, *, prog: str, text: str) -> T:
    """The configuration that a command line asks for.

    Args:
        kind: A frozen dataclass of option blocks with a field ``preset``.
        presets: Name -> the defaults under that name; the first is the default preset.
        argv: Arguments without the program's name.
        prog: How the program is called, for the help.
        text: What it does, for the help.

    Raises:
        InputError: for an unknown preset.
        SystemExit: for anything else that does not parse, after a message (exit code 2), and after ``--help``.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    default = next(iter(presets))
    name = default
    for i, word in enumerate(argv):
        if word == "--preset" and i + 1 < len(argv):
            name = argv[i + 1]
        elif word.startswith("--preset="):
            name = word.removeprefix("--preset=")
    if name not in presets:
        raise InputError(f"--preset {name}: there is no such preset; choose from {', '.join(presets)}")
    return tyro.cli(kind, default=presets[name], args=argv, prog=prog, description=text, config=(Flat,))


def configure(
    kind: type[T], presets: dict[str, T], resolved: Callable[[T], T], *, prog: str, text: str, anew: str = ""
) -> T:
    """The options of this run: those of the command line, or those that the run to be resumed was begun with.

    Args:
        kind: See `parse`.
        presets: See `parse`.
        resolved: Fills in every default that depends on another option, as config.json is to show it.
        prog: See `parse`.
        text: See `parse`.
        anew: Name of a block that changes no result and is taken from the command line in a resumed run, too.

    Raises:
        InputError: as `parse` and `from_json`, and for options beside ``--resume``.
    """
    config: Any = parse(kind, presets, prog=prog, text=text)
    folder = config.run.resume
    if not folder:
        return resolved(config)
    default: Any = next(iter(presets.values()))
    given = {anew: getattr(config, anew)} if anew else {}
    if config != replace(default, run=RunOptions(resume=folder), **given):
        raise InputError("--resume takes all options from the run's config.json; give no others beside it")
    stored: Any = read_config(kind, Path(folder), given)
    return replace(stored, run=replace(stored.run, resume=folder), **given)


def read_config(kind: type[T], folder: Path, given: Mapping[str, Any]) -> T:
    """The options that a run was begun with.

    Args:
        kind: See `parse`.
        folder: Of the run.
        given: Blocks that are taken from here instead; they need not be stored as this version knows them.

    Raises:
        InputError: as `from_json`, with the file.
    """
    kept = read_object(folder / "config.json")
    try:
        return from_json(kind, kept | {name: to_json(block) for name, block in given.items()})
    except InputError as error:
        raise InputError(f"{folder}/{error}") from None


def few_folds(preset: str, data: DataOptions) -> DataOptions:
    """The quick preset trains three folds of rendered cells, of which there are always more; all folds of others."""
    if preset == "quick" and data.data == "synthetic_marrow" and not data.only_folds:
        return replace(data, only_folds=tuple(range(min(3, data.folds))))
    return data


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON values, block by block."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[T], stored: dict[str, Any]) -> T:
    """The inverse of `to_json`.

    Raises:
        InputError: if an option is unknown to this version, missing, or not what it should be.
    """
    hints = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(stored, dict):
        raise InputError(f"config.json: {str(stored)[:40]!r} is no block of options; the run is of another version")
    unknown = set(stored) - set(hints)
    if unknown:
        raise InputError(f"config.json: unknown option {sorted(unknown)[0]!r}; the run is of another version")
    values = {}
    for name, f in hints.items():
        if name not in stored:
            raise InputError(f"config.json: option {name!r} is missing; the run is of another version")
        if not _fits(f.type, stored[name]):
            raise InputError(f"config.json: option {name!r} cannot be {str(stored[name])[:40]!r}; bring the file back")
        values[name] = _typed(f.type, stored[name])
    return kind(**values)


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value from JSON is one of an option's type."""
    kind, inner = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return True  # looked at block by block
    if kind is Annotated:
        return _fits(inner[0], value)
    if kind in (Union, UnionType):
        return any(_fits(one, value) for one in inner)
    if kind is Literal:
        return isinstance(value, str) and value in inner
    if kind is tuple:
        return isinstance(value, list) and all(_fits(inner[0], one) for one in value)
    if hint in (int, float):
        # Beyond 32 bits, seeds and sizes mean nothing.
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < 2**31
    if hint in (str, Path):
        return isinstance(value, str) and "\0" not in value
    return isinstance(value, type(None) if hint is None else hint)


def _typed(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    if isinstance(value, list):
        return tuple(value)
    if value is not None and (hint is Path or hint == Path | None):
        return Path(value)
    return value


def block(kind: type[T]) -> Any:
    """A field that holds an option block with its defaults."""
    return field(default_factory=kind)
