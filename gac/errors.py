"""The one exception for what a person can mend."""


class UserError(ValueError):
    """A mistake in the input, said in one line: the value, what was expected, the fix.

    The command line prints it and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
