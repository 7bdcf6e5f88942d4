"""What the tests of comparisons share."""

import numpy as np
import pytest

import gac


@pytest.fixture
def tiny_set(tmp_path):
    """A data set of two short episodes."""
    path = tmp_path / "tiny.hdf5"
    rng = np.random.default_rng(0)
    episodes = gac.Episodes.from_arrays(
        [rng.normal(size=(4, 11)) for _ in range(2)],
        [rng.uniform(-1, 1, (3, 3)) for _ in range(2)],
        rewards=[[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]],
        env_id="Hopper-v4",
    )
    from gac.data import write_data

    write_data(episodes, str(path))
    return path
