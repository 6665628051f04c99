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
from smrjax.errors import InputError, first_line
from smrjax.evaluate.svm import load_svm
from smrjax.files import read_arrays
from smrjax.predict.checks import check_reader
from smrjax.predict.loading import MODEL, load_model
from smrjax.predict.model import Embed, Member, Model, Variables
from smrjax.predict.reader import Reader, make_reader
from smrjax.predict.run import FinishedRun, choose_folds, judged_cells, open_run
from smrjax.predict.stains import read_stain
from smrjax.taxonomy import Taxonomy
from smrjax.train import parallel
from smrjax.train.fold_arrays import need, read_curves, read_embeddings
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
    shared, own = make_parts(run)
    return Model(
        folder=run.folder,
        title=run.title,
        taxonomy=run.taxonomy,
        image_size=run.image_size,
        severity=run.severity,
        stain=read_stain(run.folder),
        members=tuple(load_member(run, fold) for fold in folds),
        shared=jax.jit(shared),
        own=jax.jit(own),
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
    cells = read_embeddings(folder, len(taxonomy.classes))
    need(folder / "embeddings.npz", cells, "embeddings")
    lines = {line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages}
    stages = {name: len(members) for name, members in lines.items()}
    stored = read_curves(folder, stages, cells["place" if "place" in cells else "embeddings"].shape[1])
    curves = {name: stored[f"control_{name}"] for name in sorted(lines) if f"control_{name}" in stored}
    reducer = {}
    if "place" in cells:
        if not (folder / "reducer.npz").exists():
            raise InputError(f"{folder}: was made before runs kept their reducer; train the run again")
        reducer = read_arrays(folder / "reducer.npz")
    try:
        reader = make_reader(
            load_svm(folder / "svm"),
            len(taxonomy.classes),
            curves=curves,
            reducer=reducer,
            embeddings=cells["embeddings"],
            labels=cells["labels"],
            part=cells["part"],
            lineages={name: np.array(labels) for name, labels in lines.items()},
        )
        check_reader(reader, taxonomy)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(
            f"{folder}: its arrays do not fit together ({first_line(error)}); train the fold again"
        ) from None
    return reader


def make_parts(run: FinishedRun) -> tuple[Embed, Embed]:
    """The encoder of a run as its own folds were embedded, in two parts.

    Args:
        run: Finished.

    Returns:
        ``shared(variables, images)`` from images UInt8[B, S, S, 3] to their views, or to what stages computed
        beforehand give for these, in half precision as in the training: [V, B, …], alike for all folds. And
        ``own(variables, seen)`` from that to embeddings Float32[B, D], averaged over the views and of length one as
        in the training. Variables are those of any `Member`.
    """
    options = run.config["encoder"]
    model = ENCODERS[options["encoder"]](
        embedding_dim=options["embedding_dim"], dtype=jnp.bfloat16 if options["bfloat16"] else jnp.float32
    )
    stored = options["frozen_stages"] if options["precompute"] else 0
    rest = model.clone(first_stage=stored)
    scaled = unit if run.config["train"]["normalize"] else lambda z: z

    def shared(variables: Variables, images: jax.Array) -> jax.Array:
        views = jnp.stack([dihedral(images, k) for k in range(VIEWS if run.config["run"]["tta"] else 1)])
        if not stored:
            return views

        def features(view: jax.Array) -> jax.Array:
            _, stages = model.apply(_nested(variables), view.astype(jnp.float32), train=False)
            return stages[model.stage_names[stored - 1]].astype(jnp.float16)

        # The barrier keeps a compiler that sees both parts from leaving the rounding out.
        return lax.optimization_barrier(_each(features, views))

    def own(variables: Variables, seen: jax.Array) -> jax.Array:
        def one(view: jax.Array) -> jax.Array:
            return scaled(rest.apply(_nested(variables), view.astype(jnp.float32), train=False)[0])

        z = _each(one, seen)
        return z[0] if len(z) == 1 else scaled(z.mean(0))

    return shared, own


def _nested(variables: Variables) -> dict[str, Any]:
    """As a module takes them."""
    return unflatten_dict(dict(variables), sep="/")


def _each(function: Callable[[jax.Array], jax.Array], views: jax.Array) -> jax.Array:
    """Of every view, one after another: eight times as many activations at once would not be quicker."""
    return function(views[0])[None] if len(views) == 1 else lax.map(function, views)


def embedder(model: Model, devices: Sequence[jax.Device]) -> Callable[[np.ndarray], list[jax.Array]]:
    """The networks of a model on the devices, one program for all; what folds share is computed once.

    Args:
        model: Of a run, or exported.
        devices: Batches are split evenly over them.

    Returns:
        A function from images UInt8[B, S, S, 3], always as many and a multiple of the number of devices, to their
        embeddings by every member; they are under way when it returns, and `fetch` waits for them.
    """
    variables = [parallel.replicate(dict(member.variables), devices) for member in model.members]
    shared, own = (parallel.map_embed(part, devices) for part in (model.shared, model.own))

    def embed_all(images: np.ndarray) -> list[jax.Array]:
        seen = shared(variables[0], parallel.share(images, devices))
        return [own(one, seen) for one in variables]

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
