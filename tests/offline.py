"""Train, predict, export and report with every word to a network noted: python -m tests.offline FOLDER."""

import contextlib
import io
import sys
from pathlib import Path

#: Events of Python's own audit by which a program reaches for a network, or asks for an address.
EVENTS = {
    *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind"),
    *("socket.gethostbyaddr", "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect"),
}


def main(folder: Path) -> None:
    """Everything that a first user does, on a few rendered cells."""
    noted: list[str] = []

    def note(event: str, arguments: tuple) -> None:
        if event in EVENTS:
            noted.append(f"{event} {arguments[1:]!r}")

    sys.addaudithook(note)
    from PIL import Image

    from experiments import export, predict, report, smr
    from experiments.runtime import leave
    from smrjax.data import load

    run = folder / "smr" / "run"
    few = ["--count", "300", "--folds", "3", "--only-folds", "0", "--epochs", "1", "--per-class", "1"]
    few += ["--image-size", "16", "--encoder", "densenet_tiny", "--out", str(folder), "--name", "run"]
    cells = load("synthetic_marrow", size=16, count=300, progress=False)
    (folder / "images").mkdir(parents=True)
    for name, image in list(zip(cells.names, cells.images, strict=True))[:9]:
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
    for module, words in (
        (smr, few),
        (export, ["--run", str(run), "--out", str(folder / "model")]),
        (predict, ["--run", str(folder / "model"), "--images", str(folder / "images"), "--out", str(folder / "new")]),
        (report, [str(run), "--out", str(folder / "report.html")]),
    ):
        sys.argv = [module.__name__, *words]
        leave(module.main)
    own = len(noted)
    _prove(noted)
    (folder / "noted.txt").write_text("\n".join(noted[:own]) + f"\nproved {len(noted) - own}\n")


def _prove(noted: list[str]) -> None:
    """That a connection would have been noted: one to this very machine, which nobody answers."""
    import socket

    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", 9))


if __name__ == "__main__":
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, errors="backslashreplace")
    main(Path(sys.argv[1]))
