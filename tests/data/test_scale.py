"""What counts as one number, and how numbers are written, is a matter of their own size."""

import numpy as np
import pytest

from gac.data.scale import never_varies, number_format
from gac.errors import told_apart


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1.0, 1e9, 1e18])
def test_only_rounding_is_no_variation(size):
    assert never_varies(size, size)
    assert never_varies(size, size * (1 + 2**-23))
    assert not never_varies(size, size * (1 + 1e-5))
    assert not never_varies(-size, size)
    assert not never_varies(size, size * (1 + 2**-23), np.float64)
    assert never_varies(0.0, 0.0)


def test_numbers_that_differ_look_different_and_equal_ones_alike():
    assert told_apart(1.0, 2.0) == ("1", "2")
    assert told_apart(1.7e9 + 1, 1.7e9) == ("1700000001", "1700000000")
    assert told_apart(1e9, 1e9) == ("1e+09", "1e+09")
    for low, high in ((1e-9, 1.1e-9), (0.0, 5e-324), (1.0, np.nextafter(1.0, 2.0))):
        first, second = told_apart(low, high)
        assert first != second


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.0, 3000.0, ("0.0", "3000.0")), (1e-9, 2e-9, ("1e-09", "2e-09")), (1e9, 1e9 + 2, None)],
)
def test_what_lies_between_shows(low, high, words):
    style = number_format(low, high)
    found = f"{low:{style}}", f"{high:{style}}"
    assert words is None or found == words
    assert found[0] != found[1] != f"{(low + high) / 2:{style}}"
