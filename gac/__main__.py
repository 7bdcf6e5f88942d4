"""`python -m gac`: the command line."""

from gac.cli import entry

if __name__ == "__main__":  # spawned processes import this file too
    entry()
