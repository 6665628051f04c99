"""The one exception that means: the user can mend this."""


class InputError(Exception):
    """Something that was given is wrong; the message is one line: what, where, and what to do.

    Command lines print the message without a traceback and leave with exit code 2.
    """
