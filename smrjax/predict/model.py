"""What has been learnt, ready to be asked: the networks of some folds, what reads their embeddings, and their answers.

A `Model` comes from a run's folder (`members.model_of_run`) or from one that was exported (`loading.load_model`), and
answers alike. Nothing here needs what trains.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smrjax.data.stain import StainStatistics
from smrjax.errors import InputError
from smrjax.predict.answers import BORDERLINE, Answers, answer
from smrjax.predict.reader import Reader, read
from smrjax.taxonomy import Taxonomy

#: Of whatever is said of cells.
WARNING = "For research use only; not a medical device."
#: Of a network: ``params/STAGE/...`` or ``batch_stats/STAGE/...`` -> array.
Variables = Mapping[str, np.ndarray]
#: A part of a network: (variables, array) -> array.
Embed = Callable[[Any, Any], jax.Array]


@dataclass(frozen=True)
class Judged:
    """Cells of known class and what was said of them, C classes.

    Attributes:
        labels: Int[n].
        predicted: Int[n].
        probabilities: Float64[n, C].
    """

    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Member:
    """One fold.

    Attributes:
        fold: Its number.
        variables: Of the whole network.
        reader: Of its embeddings.
        tested: The fold's test cells, as this network judged them that had not seen them.
    """

    fold: int
    variables: Variables
    reader: Reader
    tested: Judged


@dataclass(frozen=True)
class Model:
    """The networks of some folds of one run, which are asked as an ensemble or one of them.

    Attributes:
        folder: Of the run, or of the exported model.
        title: Of the method.
        taxonomy: Of the classes.
        image_size: S, pixels a side.
        severity: Decide for the class of least expected severity under this matrix; None: for the likeliest.
        stain: Colours of the run's own cells; None where an older run did not keep them.
        members: At least one, folds ascending.
        shared: (variables of any member, images UInt8[B, S, S, 3]) -> their views, or what stages computed beforehand
            give for these: [V, B, ...], alike for all members.
        own: (variables of a member, that) -> embeddings Float32[B, D], as training made them.
    """

    folder: Path
    title: str
    taxonomy: Taxonomy
    image_size: int
    severity: np.ndarray | None
    stain: StainStatistics | None
    members: tuple[Member, ...]
    shared: Embed
    own: Embed

    def predict(
        self, images: np.ndarray, *, fold: int | None = None, batch: int = 128, borderline: float = BORDERLINE
    ) -> Answers:
        """What is said of some cells; for research use only.

        The first call compiles the network and the curves, which takes seconds, and one for a new size of batch the
        network again. With a folder named by $JAX_COMPILATION_CACHE_DIR, later processes find them compiled.

        Args:
            images: UInt8[n, S, S, 3], RGB, cut and scaled as by `smrjax.data.decode.decode`.
            fold: Ask the network of this fold alone; None: all, whose probabilities and places are averaged.
            batch: At most so many images at a time.
            borderline: Flag cells whose two likeliest classes are adjacent stages with probabilities closer than this.

        Raises:
            InputError: for images of another size or kind, or a fold that is not in the model.
        """
        members = self.choose(fold).members
        images, size = np.asarray(images), self.image_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise InputError(
                f"images {images.dtype}{list(images.shape)}: give uint8[n, {size}, {size}, 3], RGB; "
                f"smrjax.data.decode.decode(bytes, {size}) makes one of a file's bytes as training does"
            )
        if batch < 1:
            raise InputError(f"batch {batch}: give 1 or more")
        # A set of any size below a batch would be a program to compile, so there are powers of two alone.
        rows = min(batch, 1 << max(len(images) - 1, 0).bit_length())
        embeddings = _embed(self, members, images, rows)
        readings = [read(member.reader, z) for member, z in zip(members, embeddings, strict=True)]
        return answer(readings, self.taxonomy, severity=self.severity, borderline=borderline)

    def choose(self, fold: int | None) -> "Model":
        """The model of one fold alone, or of all.

        Raises:
            InputError: if that fold is not in it.
        """
        if fold is None:
            return self
        members = tuple(member for member in self.members if member.fold == fold)
        if not members:
            here = ", ".join(str(member.fold) for member in self.members)
            raise InputError(f"fold {fold}: is not in {self.folder}, which has {here}")
        return replace(self, members=members)

    def tested(self) -> Judged:
        """The test cells of all folds."""
        parts = [vars(member.tested) for member in self.members]
        return Judged(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _embed(model: Model, members: Sequence[Member], images: np.ndarray, rows: int) -> list[np.ndarray]:
    """Embeddings of all images by every member, Float32[n, D] each, so many rows at a time."""
    variables = [jax.device_put(dict(member.variables)) for member in members]
    parts = [[np.zeros((0, member.reader.training.shape[1]), np.float32)] for member in members]
    for start in range(0, len(images), rows):
        some = images[start : start + rows]
        filled = np.concatenate([some, np.zeros((rows - len(some), *some.shape[1:]), np.uint8)])
        seen = model.shared(variables[0], filled)
        for one, found in zip(variables, parts, strict=True):
            found.append(np.asarray(model.own(one, seen))[: len(some)])
    return [np.concatenate(found) for found in parts]
