"""New cells by a finished run: ``python -m experiments.predict --run runs/smr/NAME --images slides``."""

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import tyro
from tqdm import tqdm

from experiments.checks import check_least
from experiments.predict_report import report
from experiments.predict_work import Job, done_parts, go_on, open_out, part_path, stains_path
from experiments.prepare import devices_for
from experiments.runtime import leave, prepare_jax, stop_flag
from smrjax.data.cache import cache_root
from smrjax.data.listing import Picture, list_pictures
from smrjax.errors import InputError
from smrjax.predict import answer
from smrjax.predict.answers import BORDERLINE
from smrjax.predict.members import embedder, open_model
from smrjax.predict.model import Model
from smrjax.predict.stains import group_stains, recolour, samples
from smrjax.predict.stream import predict_files
from smrjax.predict.table import join_parts, to_table, write_part
from smrjax.taxonomy import load_taxonomy
from smrjax.train.folder import locked
from smrjax.train.loop import Interrupted

#: Images after which answers are on the disk, or as many fewer as make whole batches.
PORTION = 1024


@dataclass(frozen=True)
class Config:
    """All options of a prediction."""

    run: Path
    """Folder of a finished run of experiments.smr, of one method of a run of experiments.guides, or of a model from
    experiments.export."""
    images: tuple[str, ...]
    """Folders (searched with the folders in them), CSV manifests (path[,slide][,label]), image files, or patterns such
    as 'slides/*/*.jpg': JPEG, PNG, TIFF, BMP, WebP."""
    out: Path | None = None
    """Folder of the results; by default a new one in RUN/predictions. One that was stopped is gone on with."""
    fold: int | None = None
    """Ask the network of this fold alone; by default those of all folds, as an ensemble."""
    labels: str = ""
    """Taxonomy of labels that images come with: run for the run's own, marrow15, marrow21, pbc or a TOML file. Folders
    called like its classes then tell the class of the images in them; a manifest's labels are read by it in any case,
    by default by the run's own."""
    borderline: float = BORDERLINE
    """Flag cells whose two likeliest classes are adjacent stages with probabilities closer than this."""
    stain: Literal["none", "reinhard"] = "none"
    """reinhard: bring the colours of each slide (or folder: it must hold cells of all kinds) to those of the run's."""
    within: float = 0.02
    """How many cells must be counted is told for intervals no wider than this to either side."""
    batch: int = 128
    """Images at a time."""
    devices: int = 0
    """Use this many devices; 0 for all there are. On CPUs, that many are simulated."""
    cache: Path | None = None
    """Folder for compiled programs; by default smrjax in the user's cache folder."""


def main() -> None:
    """Predict, or go on with a prediction that was stopped."""
    config = tyro.cli(Config, prog="python -m experiments.predict", description=__doc__)
    check(config)
    prepare_jax(config.devices, cache_root(config.cache) / "xla")
    model = open_model(config.run, config.fold)
    devices = devices_for(config.devices, config.batch)
    known = model.taxonomy if config.labels in ("", "run") else load_taxonomy(config.labels)
    pictures = list_pictures(config.images, classes=known.classes if config.labels else ())
    if config.stain == "reinhard" and model.stain is None:
        raise InputError(
            f"{config.run}: was made before runs kept their cells' colours; --resume it, and they are there"
        )
    options = {"batch": config.batch, "borderline": config.borderline, "stain": config.stain}
    job = Job.of(model, pictures, rows=rows_of(config), **options)
    folder = open_out(config.out, config.run, config.images[0], job)
    with locked(folder):
        rate = predict(config, model, pictures, devices, folder)
        lines = report(folder, model, job, known=known, within=config.within, rate=rate, command=command(config))
    print("\n".join(["", *lines]))


def check(config: Config) -> None:
    """Numbers and words that no prediction could work with.

    Raises:
        InputError: for the first one.
    """
    check_least({"--batch": (config.batch, 1), "--devices": (config.devices, 0)})
    if not 0 <= config.borderline <= 1:
        raise InputError(f"--borderline {config.borderline}: give a number from 0 to 1")
    if not 0 < config.within < 1:
        raise InputError(f"--within {config.within}: give a share between 0 and 1, as in 0.02 for two points")
    if not config.images:
        raise InputError("--images: name a folder, a manifest, or images")


def predict(
    config: Config, model: Model, pictures: list[Picture], devices: list[jax.Device], folder: Path
) -> float | None:
    """Write ``predictions.csv`` and ``predictions.parquet``, from where an earlier call was stopped.

    Args:
        config: Options.
        model: That is asked.
        pictures: All images.
        devices: On which they are embedded.
        folder: Of the prediction.

    Returns:
        Images a second, of those that were left to do, from files to tables; None where there were none.

    Raises:
        Interrupted: with the command that goes on, if the user stopped it; whole parts are on the disk.
    """
    rows = rows_of(config)
    done = done_parts(folder)
    left = pictures[done * rows :]
    start = time.perf_counter()
    with stop_flag() as should_stop:
        on_images = partial(_count, should_stop, go_on(command(config), config.out, folder))
        if left:
            prepare = {}
            if config.stain == "reinhard" and model.stain is not None:
                with _bar(sum(map(len, samples(pictures).values())), desc="colours") as bar:
                    stains = group_stains(
                        pictures,
                        size=model.image_size,
                        batch=config.batch,
                        kept=stains_path(folder),
                        on_images=partial(on_images, bar),
                    )
                prepare["prepare"] = recolour(left, stains, model.stain)
            with _bar(len(pictures), initial=len(pictures) - len(left)) as bar:
                portions = predict_files(
                    [picture.path for picture in left],
                    embedder(model, devices),
                    [member.reader for member in model.members],
                    partial(answer, taxonomy=model.taxonomy, severity=model.severity, borderline=config.borderline),
                    size=model.image_size,
                    batch=config.batch,
                    portion=rows // config.batch,
                    on_images=partial(on_images, bar),
                    **prepare,
                )
                for number, (reasons, answers) in enumerate(portions, start=done):
                    some = pictures[number * rows : number * rows + len(reasons)]
                    write_part(part_path(folder, number), to_table(some, reasons, answers, model.taxonomy))
        parts = [part_path(folder, number) for number in range(done_parts(folder))]
        images = [len(pictures[number * rows :][:rows]) for number in range(len(parts))]
        join_parts(parts, folder / "predictions", images=images)
    return len(left) / (time.perf_counter() - start) if left else None


def _bar(total: int, *, desc: str | None = None, initial: int = 0) -> tqdm:
    return tqdm(total=total, desc=desc, initial=initial, unit=" images", dynamic_ncols=True)


def _count(should_stop: Callable[[], bool], more: str, bar: tqdm, count: int) -> None:
    """Move a bar on; or stop, where the user wishes it, with the command that goes on."""
    bar.update(count)
    if should_stop():
        raise Interrupted(more)


def rows_of(config: Config) -> int:
    """Images in a part of the table: whole batches, `PORTION` or as many fewer."""
    return max(PORTION // config.batch, 1) * config.batch


def command(config: Config) -> str:
    """As it was called."""
    return shlex.join(["python", "-m", "experiments.predict", *sys.argv[1:]])


if __name__ == "__main__":
    leave(main)
