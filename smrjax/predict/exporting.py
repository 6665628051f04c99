"""Write a run as a model: a folder that answers without the code that trained it."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import InputError
from smrjax.evaluate import load_estimator
from smrjax.evaluate.scores import confusion
from smrjax.files import beside, read_flat, write_arrays, write_json
from smrjax.predict.loading import FORMAT, MODEL, digest_of_file
from smrjax.predict.model import WARNING, Member, Model
from smrjax.predict.onnx import write_onnx
from smrjax.predict.program import OWN, PLATFORMS, SHARED, write_programs
from smrjax.predict.reader import NEIGHBOURS
from smrjax.taxonomy.stored import to_json


def write_model(out: Path, model: Model, *, about: Mapping[str, Any], onnx: bool = False) -> None:
    """Write a model's folder, whole or not at all.

    Args:
        out: The folder; not there yet.
        model: Of a run; see `members.model_of_run`.
        about: Whatever else model.json is to say.
        onnx: Write each fold's network as ``encoder.onnx``, too; see `smrjax.predict.onnx`.

    Raises:
        InputError: if there is something already, it cannot be written, the run's skops files hold what is not trusted,
            or ONNX cannot be written.
    """
    with _whole(out) as folder:
        write_programs(folder, model.shared, model.own, model.members[0].variables, size=model.image_size)
        for member in model.members:
            _write_member(folder / f"fold_{member.fold}", member, model.folder / f"fold_{member.fold}")
            if onnx:
                write_onnx(folder / f"fold_{member.fold}" / "encoder.onnx", model, member)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        said = describe(model) | {"files": {name: digest_of_file(folder / name) for name in names}} | dict(about)
        write_json(folder / MODEL, said)


def describe(model: Model) -> dict[str, Any]:
    """What model.json says of a model: all that another program needs beside the arrays, in words and in numbers."""
    size, dimensions = model.image_size, model.members[0].reader.training.shape[1]
    tested = model.tested()
    return {
        "format": FORMAT,
        "warning": WARNING,
        "title": model.title,
        "folds": [member.fold for member in model.members],
        "images": {
            "size": size,
            "channels": "RGB",
            "type": "uint8",
            "shape": ["batch", size, size, 3],
            "cut": "the largest square in the middle",
            "scaled": "Lanczos, as wide as the reduction asks for (antialiased); as it is where its side is the size",
            "other kinds": "grey is repeated, transparency laid on white, of 16 bits the upper eight are taken",
            "made by": f"smrjax.data.decode.decode(bytes, {size})",
        },
        "network": {
            "kind": "jax.export.Exported, serialized; the arrays of fold_K/variables.npz by their names come first",
            SHARED: "(variables of any fold, images) -> seen, alike for all folds",
            OWN: f"(variables of a fold, seen) -> embeddings float32[batch, {dimensions}]",
            "platforms": list(PLATFORMS),
            "encoder.onnx": "of a fold, where there is one: images -> embeddings, as ONNX",
        },
        "answers": {
            "classes": "an RBF support vector machine for each pair of classes (svm.npz; svm.skops for scikit-learn)",
            "probabilities": "a sigmoid of each pair's decision (slope, offset), coupled over classes (Wu, Lin and "
            "Weng 2004); where another class has the most votes, the two exchange theirs; averaged over folds",
            "maturity": "nearest point of the Bezier curve of the class's lineage (curves.npz), which goes on along "
            "its end tangents, in the space of the embeddings or, where there is a reducer.npz, in its plane",
            "off_curve": "distance to that curve divided by its limit, averaged over folds, above 1",
            "unfamiliar": "distance to a near embedding of training.npz divided by its limit, likewise",
            "near": NEIGHBOURS,
        },
        "decision": "likeliest" if model.severity is None else "least expected severity",
        "severity": None if model.severity is None else model.severity.tolist(),
        "stain": None if model.stain is None else asdict(model.stain),
        "taxonomy": to_json(model.taxonomy),
        # Rows are true classes; each cell as the one network judged it that had not seen it.
        "confusion": confusion(tested.labels, tested.predicted, n_classes=len(model.taxonomy.classes)).tolist(),
    }


def _write_member(folder: Path, member: Member, source: Path) -> None:
    """Arrays of a fold, and its machine as scikit-learn knows it."""
    reader = member.reader
    folder.mkdir()
    write_arrays(folder / "variables.npz", dict(member.variables))
    np.savez(folder / "svm.npz", allow_pickle=False, **vars(reader.svm))
    write_arrays(folder / "training.npz", {"embeddings": reader.training, "limit": reader.unfamiliar})
    curves: dict[str, Any] = {f"control_{name}": control for name, control in reader.curves.items()}
    curves |= {f"limit_{name}": limit for name, limit in reader.off_curve.items()}
    if curves:
        stored = read_flat(source / "curves.npz")
        curves |= {name: stored[name] for one in reader.curves if (name := f"targets_{one}") in stored}
    write_arrays(folder / "curves.npz", curves)
    if reader.reducer:
        write_arrays(folder / "reducer.npz", reader.reducer)
    write_arrays(folder / "tested.npz", vars(member.tested))
    if (source / "svm.skops").exists():
        load_estimator(source / "svm.skops")
        shutil.copyfile(source / "svm.skops", folder / "svm.skops")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place at the end, whole or not at all."""
    if out.exists() or out.is_symlink():
        raise InputError(f"{out}: there is something there already; choose another --out, or take it away")
    temporary = beside(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                with open(path, "rb") as written:
                    os.fsync(written.fileno())
        os.rename(temporary, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); nothing is left of it") from None
    except InputError as error:
        # By the name that the user gave, for the other one is gone.
        raise InputError(str(error).replace(str(temporary), str(out))) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
