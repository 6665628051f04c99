"""The one exception that means: the user can mend this."""

import zipfile
import zlib

#: What reading an archive of arrays may raise when bytes of it have changed: it may claim to be encrypted, packed in
#: a way unheard of, or larger than any memory.
DAMAGED = (
    *(ValueError, TypeError, AttributeError, KeyError, EOFError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError, OverflowError),
)


def one_line(text: str) -> str:
    r"""Words of strangers for a terminal: line breaks, control characters and what turns writing round become escapes.

    Of more than 1,500 characters, the beginning and the end are kept.

    >>> print(one_line("a\nb\x1b[2J"))
    a\nb\x1b[2J
    """
    if len(text) > 1500:
        text = f"{text[:1000]} … {text[-400:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def first_line(error: BaseException) -> str:
    r"""What an error of another library says, short enough to stand in a line of ours; its kind if it says nothing.

    >>> first_line(ValueError("shapes differ\nin many ways")), first_line(KeyError())
    ('shapes differ', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


class InputError(Exception):
    """Something that was given is wrong; the message is one line: what, where, and what to do.

    Command lines print the message without a traceback and leave with exit code 2.
    """
