"""The data sets as TFDS builders; TensorFlow is not needed, neither to write nor to read.

Records are ``array_record`` files with the original bytes of every image. They can be read without this
library::

    tfds.builder_from_directory(folder).as_data_source("train")[0]   # {"image": bytes, "label": int, ...}

``tfds.features.Image`` would need TensorFlow, hence bytes.
"""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from smrjax.data.folder import Record, read_bytes
from smrjax.data.pbc import CLASSES as PBC_CLASSES
from smrjax.data.pbc import WHERE, find_pbc
from smrjax.data.rendering import render_all
from smrjax.data.synthetic import CLASSES, VERSION

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations within TFDS and what it imports
    import tensorflow_datasets as tfds

Examples = Iterator[tuple[int, dict[str, Any]]]


# TFDS looks for files of checksums beside the code of a builder. There are none, and looking for them takes
# a package that TFDS does not require: so builders say that they have no code_path.


def _nothing() -> None:
    pass


class CellFolder(tfds.core.GeneratorBasedBuilder):
    """Anyone's images, a folder of class folders or a manifest (see `smrjax.data.folder.read_folder`)."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None

    def __init__(
        self,
        records: Sequence[Record],
        classes: Sequence[str],
        *,
        on_example: Callable[[], None] = _nothing,
        **kwargs: Any,
    ) -> None:
        self._records, self._classes, self._on_example = records, classes, on_example
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, self._classes, "Images of cells from a folder.")

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        return {"train": _of_records(self._records, self._classes, self._on_example)}

    def _generate_examples(self) -> Examples:  # asked for by TFDS; the split has its own
        raise NotImplementedError


class Pbc(tfds.core.GeneratorBasedBuilder):
    """Peripheral blood cells of ten kinds, five of them stages of the neutrophil lineage; no copies.

    Args:
        source: Folder or archive, see `smrjax.data.pbc.find_pbc`; the ``manual_dir`` of TFDS if None.
        on_example: Called at each record.
        **kwargs: Of TFDS, ``data_dir`` above all.
    """

    VERSION = tfds.core.Version("1.0.0")
    code_path = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = WHERE

    def __init__(self, source: Path | None = None, *, on_example: Callable[[], None] = _nothing, **kwargs: Any) -> None:
        self._source, self._on_example = source, on_example
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        citation = (
            "Acevedo A, Merino A, Alférez S, Molina Á, Boldú L, Rodellar J: A dataset of microscopic "
            "peripheral blood cell images for development of automatic recognition systems. "
            "Data in Brief 30 (2020) 105474"
        )
        return _info(self, PBC_CLASSES, "Normal peripheral blood cells.", citation=citation)

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        records = find_pbc(self._source or Path(dl_manager.manual_dir))
        return {"train": _of_records(records, PBC_CLASSES, self._on_example, copies=False)}

    def _generate_examples(self) -> Examples:
        raise NotImplementedError


class SyntheticMarrow(tfds.core.GeneratorBasedBuilder):
    """Drawn bone marrow cells of fifteen kinds, whose maturity is known."""

    VERSION = tfds.core.Version(VERSION)
    code_path = None

    def __init__(
        self,
        *,
        count: int,
        size: int,
        seed: int = 0,
        on_example: Callable[[], None] = _nothing,
        **kwargs: Any,
    ) -> None:
        self._count, self._size, self._seed, self._on_example = count, size, seed, on_example
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, CLASSES, "Drawn bone marrow cells with known maturity.")

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Examples:
        from PIL import Image

        for index, cell in enumerate(render_all(self._count, size=self._size, seed=self._seed)):
            file = io.BytesIO()
            Image.fromarray(cell.image).save(file, "png", compress_level=1)
            yield (
                index,
                _example(file.getvalue(), cell.label, f"{index:06d}", group=str(cell.slide), maturity=cell.maturity),
            )
            self._on_example()


def prepare(builder: Any) -> Path:
    """Write a builder's records, if they are not there yet, without TFDS's own messages and bars.

    Args:
        builder: One of the above.

    Returns:
        The folder of the records.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            builder.download_and_prepare()
    return Path(builder.data_dir)


def read_records(folder: Path) -> tuple[Any, tuple[str, ...]]:
    """Records as a sequence of examples with random access, and the classes.

    Args:
        folder: As `prepare` returned it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder = tfds.builder_from_directory(folder)
        return builder.as_data_source("train"), tuple(builder.info.features["label"].names)


def _info(builder: Any, classes: Sequence[str], description: str, citation: str | None = None) -> tfds.core.DatasetInfo:
    import numpy as np

    features = {
        "image": tfds.features.Text(doc="bytes of the image file"),
        "label": tfds.features.ClassLabel(names=list(classes)),
        "name": tfds.features.Text(doc="path below the folder, or number"),
        "group": tfds.features.Text(doc="slide or patient; empty where unknown"),
        "fold": tfds.features.Scalar(np.int64, doc="prescribed fold; -1 where none"),
        "maturity": tfds.features.Scalar(np.float32, doc="true maturity, 0 to 1; NaN where unknown"),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("image", "label"),
        citation=citation,
        disable_shuffling=True,  # records keep the order of the folder
    )


def _of_records(
    records: Sequence[Record], classes: Sequence[str], on_example: Callable[[], None], *, copies: bool = True
) -> Examples:
    label_of = {code: i for i, code in enumerate(classes)}
    seen: set[bytes] = set()
    for index, (record, data) in enumerate(zip(records, read_bytes(records), strict=True)):
        on_example()
        digest = hashlib.sha256(data).digest()
        if copies or digest not in seen:
            seen.add(digest)
            yield (
                index,
                _example(data, label_of[record.label], record.name, group=record.group, fold=record.fold),
            )


def _example(
    data: bytes, label: int, name: str, *, group: str, fold: int = -1, maturity: float = float("nan")
) -> dict[str, Any]:
    return {"image": data, "label": label, "name": name, "group": group, "fold": fold, "maturity": maturity}
