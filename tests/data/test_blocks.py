"""A pass in blocks says what a pass over the whole array says, whatever the size of a block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac.data import blocks as module
from gac.data.blocks import (
    blocks,
    extremes,
    first_unusable,
    joined,
    moments,
    release,
    row_blocks,
    sums_of_runs,
)

ROWS = st.integers(1, 40)
BLOCK_ROWS = st.integers(1, 50)


def noise(rows, width=3, seed=0):
    return np.random.default_rng(seed).normal(5.0, 2.0, size=(rows, width)).astype(np.float32)


def in_blocks(monkeypatch, array, rows):
    monkeypatch.setattr(module, "BLOCK_BYTES", rows * array[:1].nbytes)


@given(rows=st.integers(0, 40), row_bytes=st.integers(0, 9), block=st.integers(1, 50))
def test_slices_cover_every_row_once(rows, row_bytes, block):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "BLOCK_BYTES", block)
        found = list(row_blocks(rows, row_bytes))
    assert [i for part in found for i in range(part.start, part.stop)] == list(range(rows))
    assert all((part.stop - part.start) * row_bytes <= max(block, row_bytes) for part in found)


@given(rows=ROWS, block=BLOCK_ROWS, seed=st.integers(0, 99))
def test_moments_and_extremes_are_numpys(rows, block, seed):
    array = noise(rows, seed=seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        in_blocks(monkeypatch, array, block)
        mean, std = moments(array)
        low, high = extremes(array)
    np.testing.assert_allclose(mean, array.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, array.std(axis=0, dtype=np.float64), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal([low, high], [array.min(axis=0), array.max(axis=0)])
    assert low.dtype == np.float32


def test_a_spread_far_below_the_mean_is_not_lost(monkeypatch):
    array = np.float32(1e6) + noise(1000)
    in_blocks(monkeypatch, array, 7)
    np.testing.assert_allclose(moments(array)[1], array.std(axis=0, dtype=np.float64), rtol=1e-6)


def test_moments_of_one_block_are_numpys_to_the_bit():
    array = noise(1000)
    mean, std = moments(array)
    np.testing.assert_array_equal(mean, array.mean(axis=0, dtype=np.float64))
    np.testing.assert_array_equal(std, array.std(axis=0, dtype=np.float64))


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=9), rest=st.integers(-5, 5), block=BLOCK_ROWS)
def test_every_run_is_summed_by_itself(lengths, rest, block):
    values = noise(max(0, sum(lengths) + rest), 1)[:, 0]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "BLOCK_BYTES", block * values.itemsize)
        found = sums_of_runs(values, np.asarray(lengths, np.int32), np.negative)
    starts = np.cumsum(lengths) - lengths
    alone = [-values[i : i + n].sum(dtype=np.float64) for i, n in zip(starts, lengths, strict=True)]
    np.testing.assert_allclose(found, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("block", [1, 2, 5, 100])
def test_what_is_wrong_with_one_run_stays_there(monkeypatch, bad, block):
    values, lengths = noise(30, 1)[:, 0], np.asarray([7, 0, 3, 20], np.int32)
    in_blocks(monkeypatch, values, block)
    before = sums_of_runs(values, lengths, np.asarray)
    values[8] = bad
    after = sums_of_runs(values, lengths, np.asarray)
    np.testing.assert_array_equal(after[[0, 1, 3]], before[[0, 1, 3]])
    assert after[2] > 1e20 or not np.isfinite(after[2])


@given(rows=ROWS, block=BLOCK_ROWS, data=st.data())
def test_the_first_value_that_is_not_finite_or_too_large_is_found(rows, block, data):
    array = noise(rows)
    with pytest.MonkeyPatch.context() as monkeypatch:
        in_blocks(monkeypatch, array, block)
        assert first_unusable(array) is None
        places = data.draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, 2)), min_size=1))
        for place in places:
            array[place] = data.draw(st.sampled_from([np.nan, np.inf, -1.1e19]))
        assert first_unusable(array) == min(places)


def test_a_mapped_array_is_the_same_after_its_pages_are_given_back(tmp_path):
    array = noise(5000)
    array.tofile(tmp_path / "array")
    mapped = np.memmap(tmp_path / "array", np.float32, "r").reshape(array.shape)[10:]
    np.testing.assert_array_equal(np.concatenate(list(blocks(mapped))), array[10:])
    release(mapped)
    np.testing.assert_array_equal(mapped, array[10:])
    release(array)


def test_runs_of_rows_are_joined_in_the_order_given(tmp_path):
    whole = noise(200)
    whole.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=whole.shape)
    starts = np.arange(190, -1, -5)
    ends = starts + np.arange(len(starts)) % 7 + 1
    expected = np.concatenate([whole[a:b] for a, b in zip(starts, ends, strict=True)])
    assert len(starts) > 2 * module.RUNS_AT_ONCE
    for array in (whole, mapped, mapped[:]):
        np.testing.assert_array_equal(joined(array, starts, ends), expected)
