"""The data sets as TFDS builders; TensorFlow is not needed, neither to write nor to read.

Records are ``array_record`` files with the original bytes of every image; of sets that are published as arrays,
PNG files without loss. They can be read without this library::

    tfds.builder_from_directory(folder).as_data_source("train")[0]   # {"image": bytes, "label": int, ...}

``tfds.features.Image`` would need TensorFlow, hence bytes.
"""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from smrjax.data import bloodmnist, marrow21, pbc, pcam
from smrjax.data.folder import Record, read_bytes
from smrjax.data.rendering import render_all
from smrjax.data.synthetic import CLASSES, VERSION

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations within TFDS and what it imports
    import tensorflow_datasets as tfds

Examples = Iterator[dict[str, Any]]

_PER_FILE = 16384
#: Bytes of images, or so many examples: what is in memory before it is written.
_PORTION = 2**26, 256


def _nothing() -> None:
    pass


class Streamed(tfds.core.GeneratorBasedBuilder):
    """A builder that writes each record as it comes; builders below say which.

    TFDS itself collects what a generator yields in memory, and needs TensorFlow beyond a gigabyte of it.

    Args:
        on_example: Called at each record.
        **kwargs: Of TFDS, ``data_dir`` above all.
    """

    VERSION = tfds.core.Version("1.0.0")
    # TFDS looks for files of checksums beside the code of a builder; looking for them takes a package that it
    # does not require.
    code_path = None

    def __init__(self, *, on_example: Callable[[], None] = _nothing, **kwargs: Any) -> None:
        self._on_example = on_example
        super().__init__(file_format="array_record", **kwargs)

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        return {"train": self._generate_examples(dl_manager)}

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        info = self._info()  # made anew, it knows the folder of now: a temporary one, until all is written
        writer = tfds.core.SequentialWriter(info, _PER_FILE, file_format="array_record")
        try:
            for split, examples in self._split_generators(dl_manager).items():
                writer.initialize_splits([split])
                # Each call writes the description of the set anew, too.
                while some := _portion(examples):
                    writer.add_examples({split: some})
        finally:
            writer.close_all()
        self.info.set_splits(info.splits)


class CellFolder(Streamed):
    """Anyone's images, a folder of class folders or a manifest (see `smrjax.data.folder.read_folder`)."""

    def __init__(self, records: Sequence[Record], classes: Sequence[str], **kwargs: Any) -> None:
        self._records, self._classes = records, classes
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # TFDS keeps one name a line, without spaces around it.
        plain = all(code.isprintable() and code.strip() == code for code in self._classes)
        return _info(
            self, self._classes if plain else list(map(quote, self._classes)), "Images of cells from a folder."
        )

    def _generate_examples(self, dl_manager: Any) -> Examples:
        return _of_records(self._records, self._classes, self._on_example)


class Published(Streamed):
    """A set that somebody else published.

    Args:
        source: Folder or archive; the ``manual_dir`` of TFDS if None.
        **kwargs: See `Streamed`.
    """

    def __init__(self, source: Path | None = None, **kwargs: Any) -> None:
        self._source = source
        super().__init__(**kwargs)

    def _place(self, dl_manager: Any) -> Path:
        return self._source or Path(dl_manager.manual_dir)


class Pbc(Published):
    """Peripheral blood cells of ten kinds, five of them stages of the neutrophil lineage; no copies."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = pbc.WHERE

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, pbc.CLASSES, "Normal peripheral blood cells.", pbc.CITATION)

    def _generate_examples(self, dl_manager: Any) -> Examples:
        return _of_records(pbc.find_pbc(self._place(dl_manager)), pbc.CLASSES, self._on_example, copies=False)


class Marrow21(Published):
    """Bone marrow cells of 21 kinds, six and two of them stages of a lineage."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = marrow21.WHERE

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, marrow21.CLASSES, "Bone marrow cells in hematologic diseases.", marrow21.CITATION)

    def _generate_examples(self, dl_manager: Any) -> Examples:
        return _of_records(marrow21.find_marrow21(self._place(dl_manager)), marrow21.CLASSES, self._on_example)


class BloodMnist(Published):
    """Peripheral blood cells of eight kinds, cut and reduced; ``fold`` tells the official parts."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = bloodmnist.WHERE

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, bloodmnist.CLASSES, "Normal peripheral blood cells, reduced.", bloodmnist.CITATION)

    def _generate_examples(self, dl_manager: Any) -> Examples:
        return _of_arrays(bloodmnist.read_bloodmnist(self._place(dl_manager)), self._on_example)


class Pcam(Published):
    """Patches of lymph node sections with and without metastases; ``fold`` tells the official parts."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = pcam.WHERE

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, pcam.CLASSES, "Patches of lymph node sections.", pcam.CITATION)

    def _generate_examples(self, dl_manager: Any) -> Examples:
        return _of_arrays(pcam.read_pcam(self._place(dl_manager), Path(self.data_dir)), self._on_example)


class SyntheticMarrow(Streamed):
    """Drawn bone marrow cells of fifteen kinds, whose maturity is known."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, *, count: int, size: int, seed: int = 0, **kwargs: Any) -> None:
        self._count, self._size, self._seed = count, size, seed
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, CLASSES, "Drawn bone marrow cells with known maturity.")

    def _generate_examples(self, dl_manager: Any) -> Examples:
        for index, cell in enumerate(render_all(self._count, size=self._size, seed=self._seed)):
            slide = str(cell.slide)
            yield _example(_png(cell.image), cell.label, f"{index:06d}", group=slide, maturity=cell.maturity)
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
    for record, data in zip(records, read_bytes(records), strict=True):
        on_example()
        digest = hashlib.sha256(data).digest()
        if copies or digest not in seen:
            seen.add(digest)
            yield _example(data, label_of[record.label], record.name, group=record.group, fold=record.fold)


def _of_arrays(images: Iterable[tuple[str, np.ndarray, int, int]], on_example: Callable[[], None]) -> Examples:
    for name, image, label, fold in images:
        on_example()
        yield _example(_png(image), label, name, fold=fold)


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "png", compress_level=1)
    return file.getvalue()


def _portion(examples: Examples) -> list[dict[str, Any]]:
    """The next examples, none at the end."""
    some: list[dict[str, Any]] = []
    size = 0
    for example in examples:
        some.append(example)
        size += len(example["image"])
        if size >= _PORTION[0] or len(some) == _PORTION[1]:
            break
    return some


def _example(
    data: bytes, label: int, name: str, *, group: str = "", fold: int = -1, maturity: float = float("nan")
) -> dict[str, Any]:
    return {"image": data, "label": label, "name": name, "group": group, "fold": fold, "maturity": maturity}
