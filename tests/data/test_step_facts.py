import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gac.data import Episodes
from gac.data import blocks as blocks_module
from gac.data.step_facts import columns_of, jumps_of, moments, principal_axes, saturation_of


def table(rows=4_000, width=3):
    return np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(-1e3, 1e3, width=32)
    )
)
def test_moments_in_blocks_are_those_of_the_whole(values):
    whole = values.astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "BLOCK_BYTES", 7 * values.itemsize * values.shape[1])
        found = moments(values)
    np.testing.assert_allclose(found.mean, whole.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.atleast_2d(np.cov(whole.T, bias=True)), atol=1e-6)
    np.testing.assert_allclose(
        found.fourth, ((whole - whole.mean(axis=0)) ** 4).mean(axis=0), rtol=1e-6, atol=1e-3
    )
    np.testing.assert_array_equal([found.low, found.high], [whole.min(axis=0), whole.max(axis=0)])


def test_dimensions_are_those_of_numpy():
    values = table() * np.float32([1, 10, 100]) + np.float32([0, 5, -5])
    columns = columns_of(values)
    for i, each in enumerate(columns.dimensions):
        column = values[:, i].astype(np.float64)
        assert (each.index, each.min, each.max) == (i, column.min(), column.max())
        assert (each.mean, each.std) == pytest.approx((column.mean(), column.std()), rel=1e-9)
        assert each.quantiles["0.95"] == pytest.approx(np.quantile(column, 0.95))
        assert abs(each.kurtosis) < 0.3
        assert (each.constant, each.outliers) == (False, 0)
        assert each.largest_z == pytest.approx(np.abs(column - column.mean()).max() / column.std())


def test_a_constant_dimension_is_named_and_has_no_tails():
    values = table()
    values[:, 1] = 1e4
    columns = columns_of(values)
    assert columns.constant == (1,)
    assert (columns.dimensions[1].kurtosis, columns.dimensions[1].largest_z) == (0.0, 0.0)
    assert columns.duplicated == ()
    assert columns.components == 2


def test_columns_that_say_the_same_are_paired():
    values = table(width=4)
    values[:, 2] = -3 * values[:, 0] + 7
    values[:, 3] = values[:, 1] + 0.1 * values[:, 3]
    assert columns_of(values).duplicated == ((0, 2),)


def test_heavy_tails_and_outliers_show():
    values = table()
    values[7, 0] = 1e3
    found = columns_of(values).dimensions
    assert found[0].outliers == 1
    assert found[0].kurtosis > 1_000
    assert found[1].outliers == 0


def test_coverage_counts_the_directions_that_vary():
    latent = table(width=2)
    values = (latent @ np.float32([[1, 0, 2, 1, 3], [0, 1, 1, -1, 2]])).astype(np.float32)
    columns = columns_of(values)
    assert columns.components == 2
    assert sum(columns.variance_shares) == pytest.approx(1)
    assert columns_of(table(width=5)).components == 5
    assert columns_of(np.ones((5, 2), np.float32)).components == 0


def test_principal_axes_are_orthonormal_and_descend():
    variance, axes = principal_axes(moments(table(width=5)))
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-9)
    assert (np.diff(variance) <= 0).all()
    assert variance.sum() == pytest.approx(5)


def test_saturation_at_the_environments_bounds():
    actions = np.float32([[1.0, 0.3], [0.9999, -0.3], [-1.0, 0.0], [0.0, 0.1]])
    found = saturation_of(actions, (np.full(2, -1.0), np.full(2, 1.0)))
    assert found.bounds == "environment"
    assert (found.at_low, found.at_high) == ((0.25, 0.0), (0.5, 0.0))
    assert found.share == 0.375
    assert found.beyond == 0
    assert saturation_of(actions, (np.full(2, -0.5), np.full(2, 0.5))).beyond == 3


def test_saturation_at_the_datas_extremes():
    actions = np.float32([[-2.0, 5.0], [0.0, 5.0], [2.0, 5.0], [2.0, 5.0]])
    for unknown in (None, (np.full(2, -np.inf), np.full(2, np.inf)), (np.zeros(3), np.ones(3))):
        found = saturation_of(actions, unknown)
        assert found.bounds == "data"
        assert (found.low, found.high) == ((-2.0, 5.0), (2.0, 5.0))
        # An action that never varies is at no end of anything.
        assert (found.at_low, found.at_high) == ((0.25, 0.0), (0.5, 0.0))


def falls(count=60, steps=40, seed=0):
    """Episodes from nearly one state, that wander off in steps not much shorter than the way back."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.1, 1.0, size=(count, steps, 3))
    starts = 0.01 * rng.normal(size=(count, 1, 3))
    return np.concatenate([starts, starts + moves.cumsum(axis=1)], axis=1)[:, :-1].astype(np.float32)


def wander(count=60, steps=200, seed=0):
    """Episodes that begin anywhere, left and right in turn, and move little by little."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-5, 5, size=(count, 1, 2))
    start[:, 0, 0] = np.abs(start[:, 0, 0]) * np.where(np.arange(count) % 2, 1, -1)
    start[:, 0, 0] += np.where(np.arange(count) % 2, 1, -1)
    return (start + 0.02 * rng.normal(size=(count, steps, 2)).cumsum(axis=1)).astype(np.float32)


def jumps(states, joined):
    """The jumps where pairs of the first episodes are joined, as if a flag was forgotten."""
    pairs = [np.concatenate(states[i : i + 2]) for i in range(0, 2 * joined, 2)]
    rows = pairs + list(states[2 * joined :])
    data = Episodes.from_arrays(
        rows, [np.zeros((len(x), 1)) for x in rows], returns=np.arange(len(rows)) * 1.0
    )
    return jumps_of(data, moments(data.observations).std)


@pytest.mark.parametrize("states", [falls(), wander()], ids=["one start", "starts anywhere"])
def test_a_forgotten_reset_is_a_jump(states):
    assert jumps(states, 0).count == 0
    assert jumps(states, 0).first is None
    found = jumps(states, 4)
    assert (found.count, found.episodes, found.first) == (4, 4, (0, states.shape[1] - 1))


def test_a_collision_is_no_jump():
    states = np.concatenate([wander(seed=1), wander(seed=2)], axis=2)
    states[3, 50:, 3] *= -1
    assert jumps(states, 0).count == 0


def test_a_flag_that_flips_is_no_jump():
    states = np.concatenate([wander(), np.zeros((60, 200, 2), np.float32)], axis=2)
    states[5, 100:, 2:] = 1.0
    assert jumps(states, 0).count == 0


def test_jumps_across_blocks_are_found(monkeypatch):
    found = jumps(falls(), 4)
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 40 * falls().shape[-1] * 4)
    assert jumps(falls(), 4) == found
