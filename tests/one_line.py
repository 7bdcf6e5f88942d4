"""What tests of the command line share."""

from gac import cli


def refused(capsys, *args):
    """Run a command line that must fail as a user's mistake; returns its one line."""
    assert cli.main([str(arg) for arg in args]) == 2
    *progress, line = capsys.readouterr().err.splitlines()
    assert line.startswith("gac: ")
    assert not any(before.startswith(("gac: ", "Traceback")) for before in progress)
    return line
