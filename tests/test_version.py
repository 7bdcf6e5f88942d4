"""One version, wherever it is written."""

from pathlib import Path

import gac
from gac import cli


def test_the_version_is_one_and_the_same_everywhere(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"gac {gac.__version__}\n"
    root = Path(__file__).parents[1]
    assert f"\nversion: {gac.__version__}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nVersion {gac.__version__}" in (root / "README.md").read_text(encoding="utf-8")
