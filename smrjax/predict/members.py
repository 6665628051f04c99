"""The folds of a run as a model: one program for all networks, and each fold's variables and reader."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax

from smrjax.data.augment import dihedral
from smrjax.encoders import ENCODERS
from smrjax.errors import InputError
from smrjax.evaluate.svm import load_svm
from smrjax.files import read_arrays
from smrjax.predict.loading import MODEL, load_model
from smrjax.predict.model import Member, Model, Variables
from smrjax.predict.reader import Reader, make_reader
from smrjax.predict.run import FinishedRun, choose_folds, judged_cells, open_run
from smrjax.predict.stains import read_stain
from smrjax.taxonomy import Taxonomy
from smrjax.train import parallel
from smrjax.train.state import read_best
from smrjax.train.step import unit

#: Flips and quarter turns over which runs with ``--tta`` average.
VIEWS = 8


def open_model(folder: Path, fold: int | None) -> Model:
    """What is asked for predictions: an exported model, or a finished run.

    Args:
        folder: Of either.
        fold: Ask the network of this fold alone; None: all that are finished.

    Raises:
        InputError: if it is neither, that fold is not in it, or a file is missing or damaged.
    """
    if (folder / MODEL).exists():
        return load_model(folder).choose(fold)
    run = open_run(folder)
    return model_of_run(run, choose_folds(run, fold))


def model_of_run(run: FinishedRun, folds: Sequence[int]) -> Model:
    """Folds of a run from its folder.

    Args:
        run: Finished.
        folds: Of it, one or more.

    Raises:
        InputError: if a file is missing or damaged.
    """
    return Model(
        folder=run.folder,
        title=run.title,
        taxonomy=run.taxonomy,
        image_size=run.image_size,
        severity=run.severity,
        stain=read_stain(run.folder),
        members=tuple(load_member(run, fold) for fold in folds),
        embed=jax.jit(make_embed(run)),
    )


def load_member(run: FinishedRun, fold: int) -> Member:
    """A fold from the run's folder.

    Raises:
        InputError: if a file is missing or damaged.
    """
    folder = run.folder / f"fold_{fold}"
    variables = flatten_dict(_variables(run, folder), sep="/")
    return Member(fold, variables, load_reader(folder, run.taxonomy), judged_cells(run, [fold]))


def load_reader(folder: Path, taxonomy: Taxonomy) -> Reader:
    """The reader of a finished fold.

    Args:
        folder: Of the fold.
        taxonomy: Of the run.

    Raises:
        InputError: if a file is missing or damaged.
    """
    cells = read_arrays(folder / "embeddings.npz")
    lines = {line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages}
    curves = {}
    if (folder / "curves.npz").exists():
        stored = read_arrays(folder / "curves.npz")
        curves = {name: stored[f"control_{name}"] for name in sorted(lines) if f"control_{name}" in stored}
    reducer = {}
    if "place" in cells:
        if not (folder / "reducer.npz").exists():
            raise InputError(f"{folder}: was made before runs kept their reducer; train the run again")
        reducer = read_arrays(folder / "reducer.npz")
    try:
        return make_reader(
            load_svm(folder / "svm"),
            len(taxonomy.classes),
            curves=curves,
            reducer=reducer,
            embeddings=cells["embeddings"],
            labels=cells["labels"],
            part=cells["part"],
            lineages={name: np.array(labels) for name, labels in lines.items()},
        )
    except KeyError as error:
        raise InputError(f"{folder}/embeddings.npz: lacks {error}; the run is of another version") from None


def make_embed(run: FinishedRun) -> Callable[[Variables, jax.Array], jax.Array]:
    """The encoder of a run as its own folds were embedded: views, length one and half-precision features likewise.

    Args:
        run: Finished.

    Returns:
        ``embed(variables, images) -> Float32[B, D]`` for the variables of any `Member` and images UInt8[B, S, S, 3], to
        be compiled once for all folds.
    """
    options = run.config["encoder"]
    model = ENCODERS[options["encoder"]](
        embedding_dim=options["embedding_dim"], dtype=jnp.bfloat16 if options["bfloat16"] else jnp.float32
    )
    stored = options["frozen_stages"] if options["precompute"] else 0
    views = VIEWS if run.config["run"]["tta"] else 1
    scaled = unit if run.config["train"]["normalize"] else lambda z: z

    def raw(variables: Any, pixels: jax.Array) -> jax.Array:
        z, stages = model.apply(variables, pixels, train=False)
        if not stored:
            return z
        # What frozen stages gave was kept in half precision, and the rest was trained on that. The barrier keeps a
        # compiler from leaving the rounding out.
        kept = lax.optimization_barrier(stages[model.stage_names[stored - 1]].astype(jnp.float16))
        return model.clone(first_stage=stored).apply(variables, kept.astype(jnp.float32), train=False)[0]

    def embed(variables: Variables, images: jax.Array) -> jax.Array:
        several = jnp.concatenate([dihedral(images, k) for k in range(views)])
        z = scaled(raw(unflatten_dict(dict(variables), sep="/"), several.astype(jnp.float32)))
        return z if views == 1 else scaled(z.reshape(views, images.shape[0], -1).mean(0))

    return embed


def embedder(model: Model, devices: Sequence[jax.Device]) -> Callable[[np.ndarray], list[jax.Array]]:
    """The networks of a model on the devices, one program for all.

    Args:
        model: Of a run, or exported.
        devices: Batches are split evenly over them.

    Returns:
        A function from images UInt8[B, S, S, 3], always as many and a multiple of the number of devices, to their
        embeddings by every member; they are under way when it returns, and `fetch` waits for them.
    """
    variables = [parallel.replicate(dict(member.variables), devices) for member in model.members]
    embed = parallel.map_embed(model.embed, devices)

    def embed_all(images: np.ndarray) -> list[jax.Array]:
        shared = parallel.share(images, devices)
        return [embed(one, shared) for one in variables]

    return embed_all


def fetch(embeddings: Sequence[jax.Array], rows: int) -> list[np.ndarray]:
    """Embeddings of the first so many cells of a batch by every member, Float[rows, D] each; waits for them."""
    return [np.asarray(z).reshape(-1, z.shape[-1])[:rows] for z in embeddings]


def _variables(run: FinishedRun, folder: Path) -> dict[str, Any]:
    """Of the whole encoder: what was trained, and what the run kept beside."""
    options, kept = run.config["encoder"], run.folder / "untrained.npz"
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    if options["precompute"] or not run.config["train"]["epochs"]:
        if not kept.exists():
            raise InputError(
                f"{run.folder}: was made before runs kept what they do not train; --resume it, and it is there"
            )
        variables |= read_arrays(kept)
    if run.config["train"]["epochs"]:
        best = read_best(folder / "checkpoints")
        variables["params"] = {**variables["params"], **best["params"]["encoder"]}
        variables["batch_stats"] = {**variables["batch_stats"], **best["batch_stats"]}
    return variables
