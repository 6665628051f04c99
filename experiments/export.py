"""A finished run as a model for other programs: ``python -m experiments.export --run runs/smr/NAME --out model``.

The folder answers by itself, in Python by ``smrjax.load_model("model").predict(images)``, without the code that trained
it, and `experiments.predict` takes it for a run, too. What is in it, and how images are to be cut, ``model.json`` says.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.predict_work import digest_of_members
from experiments.provenance import versions
from experiments.runtime import leave
from smrjax.errors import InputError
from smrjax.predict.exporting import write_model
from smrjax.predict.loading import MODEL
from smrjax.predict.members import model_of_run
from smrjax.predict.model import WARNING
from smrjax.predict.run import choose_folds, open_run


@dataclass(frozen=True)
class Config:
    """All options of an export."""

    run: Path
    """Folder of a finished run of experiments.smr, or of one method of a run of experiments.guides."""
    out: Path
    """Folder of the model; a new one."""
    fold: int | None = None
    """Export the network of this fold alone, which is smaller and faster; by default those of all folds."""
    onnx: bool = False
    """Write each fold's network as ONNX, too, checked against the one it is made of: pip install 'smrjax[onnx]'. It
    turns images into embeddings; what follows is in model.json and the arrays."""


def main() -> None:
    """Export."""
    config = tyro.cli(Config, prog="python -m experiments.export", description=__doc__)
    if (config.run / MODEL).exists():
        raise InputError(f"{config.run}: is an exported model already; copy it")
    run = open_run(config.run)
    model = model_of_run(run, choose_folds(run, config.fold))
    about = {
        "run": {"name": run.folder.resolve().name, "digest": digest_of_members(model.members)},
        "encoder": run.config["encoder"] | {"tta": run.config["run"]["tta"]},
        "versions": versions(),
    }
    write_model(config.out, model, about=about, onnx=config.onnx)
    files = [path for path in config.out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    which = ", ".join(str(member.fold) for member in model.members)
    folds = f"fold{'s' * (len(model.members) > 1)} {which}"
    print(f"{config.out}: {model.title}, {folds}, {len(files)} files, {size:.1f} MB, {model.image_size} px")
    print(f'python -c "import smrjax; print(smrjax.load_model({str(config.out)!r}).taxonomy.classes)"')
    print(WARNING)


if __name__ == "__main__":
    leave(main)
