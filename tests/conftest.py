"""What holds for every test: shapes are checked, dtypes and ranks never mix silently."""

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

# Shapes and types of gac's signatures are checked in tests only; the hook must come before gac is imported.
install_import_hook("gac", "typecheck.check")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A slow machine is no defect; what fails here fails again with the same examples.
hypothesis.settings.register_profile("gac", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gac")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the data sets that a person has cached."""
    monkeypatch.setenv("GAC_CACHE", str(tmp_path_factory.getbasetemp() / "gac-cache"))
