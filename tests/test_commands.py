"""What the commands say of themselves."""

import shlex
from pathlib import Path

from gac.cli.commands import go_on


def test_the_line_that_goes_on_has_the_flags_that_were_given():
    flags = {"seeds": None, "on_disk": True, "overwrite": False, "process": 0, "data": "two words"}
    line = go_on("train", "my data", Path("a run"), **flags)
    words = ["gac", "train", "my data", "--out", "a run", "--resume"]
    assert shlex.split(line) == [*words, "--on-disk", "--process", "0", "--data", "two words"]
