"""Layers point one way: data -> model <- inference -> training; model and inference -> acting."""

import ast
from pathlib import Path

import pytest

import gac

ROOT = Path(gac.__file__).parent
ABOVE = ("online", "cli", "gtp", "rivals", "compare", "report", "bench", "methods")
NEVER = {
    "data": ("agent", "identity", "model", "inference", "training", "acting", *ABOVE),
    "envs": ("agent", "identity", "model", "inference", "training", "acting", *ABOVE),
    "model": ("agent", "identity", "inference", "training", "acting", *ABOVE),
    "inference": ("agent", "identity", "training", "acting", *ABOVE),
    "training": ("acting", *ABOVE),
    "acting": ("training", *ABOVE),
    "credit": ("agent", "identity", "model", "inference", "training", "acting", *ABOVE),
    "online": ABOVE[1:],
}
"""What no module of a folder imports."""


def imported(module: Path) -> set[str]:
    """All modules that one imports, also those inside functions, in full."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("folder", NEVER)
def test_a_folder_imports_no_layer_above_it(folder):
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    wrong = {
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules
        for name in imported(module)
        for layer in NEVER[folder]
        if name == f"gac.{layer}" or name.startswith(f"gac.{layer}.")
    }
    assert not wrong


def test_every_import_is_seen(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("import gac.cli\ndef f():\n    from gac.acting import policy\n")
    assert imported(module) >= {"gac.cli", "gac.acting", "gac.acting.policy"}
