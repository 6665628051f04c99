"""How a command line runs: devices, compile cache, signals, and errors said in one line."""

import contextlib
import errno
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from experiments.rendezvous import ProcessOptions, join
from smrjax.errors import InputError, one_line
from smrjax.files import read_object
from smrjax.train.loop import Interrupted

#: What a disk says that is full or may not be written, wherever that happens.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def prepare_jax(devices: int, compile_cache: Path | None, together: ProcessOptions | None = None) -> None:
    """Set up JAX; to be called before anything is computed.

    Args:
        devices: On a machine with CPUs alone, simulate this many; 0 or 1 for one.
        compile_cache: Folder for compiled programs, or None.
        together: How the processes of one training meet, where there may be several.

    Raises:
        InputError: if they do not meet.
    """
    import jax

    if devices > 1:
        jax.config.update("jax_num_cpu_devices", devices)
    if compile_cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(compile_cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    if together is not None:
        join(together)


@contextlib.contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a wish that is asked for between steps; the second one ends at once."""
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        # The system's own way: an exception would wait for whatever is computed or written.
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        print("\nstopping as soon as the state is saved; asked again, at once …", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[Callable[[], bool]]:
    """A wish to stop a run, which ends with the command that goes on with it."""
    with stop_flag() as should_stop:
        try:
            yield should_stop
        except Interrupted:
            raise Interrupted(read_object(folder / "run.json", "resume")["resume"]) from None


class _AboveTheBar(logging.Handler):
    """Prints what the library logs without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(one_line(self.format(record)), file=sys.stderr)


def _say(kind: str, words: object) -> None:
    print(f"{kind}: {one_line(str(words))}", file=sys.stderr)


def leave(main: Callable[[], None]) -> None:
    """Run a command and turn its end into an exit code.

    0: done. 2: the input is wrong, or a file cannot be read or written, said in one line. 130: stopped by the user,
    state saved. What a screen cannot show, as names of files that are not UTF-8, is shown by its code with a backslash,
    and stops nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Before there is a state to save, SIGTERM is what Ctrl-C is, and temporary files are taken away.
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    log, handler = logging.getLogger("smrjax"), _AboveTheBar()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    # Some packages give the root logger a handler of its own, which would say everything again.
    log.propagate = False
    # What fails in the background after its caller has failed and said so is no news.
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        with warnings.catch_warnings():
            # One line, without the place in the code that a user cannot mend.
            warnings.showwarning = lambda message, *rest, **more: _say("warning", message)
            main()
    except InputError as error:
        _say("error", error)
        raise SystemExit(2) from None
    except OSError as error:
        # Of a file: permissions, a name that is too long, a full disk. Any other is a fault of ours.
        if error.filename is None and error.errno not in NO_ROOM:
            raise
        what = "a file" if error.filename is None else os.fsdecode(error.filename)
        words = f"{what}: {error.strerror}"
        if error.errno in NO_ROOM:
            words = (
                f"{what}: cannot be written ({error.strerror}); make room, or give another folder; a run that has "
                "begun goes on with --resume"
            )
        _say("error", words)
        raise SystemExit(2) from None
    except Interrupted as stop:
        print(f"stopped; go on with: {stop}", file=sys.stderr)
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, terminate)
        sys.unraisablehook = hook
        log.removeHandler(handler)
        log.propagate = True
