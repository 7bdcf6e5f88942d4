"""The one exception for what a person can mend."""


class UserError(ValueError):
    """A mistake in the input, said in one line: the value, what was expected, the fix.

    The command line prints it and exits with code 2.
    """
