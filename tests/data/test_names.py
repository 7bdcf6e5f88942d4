import pytest

from gac.data.names import CUT, STEPS, Parameter, join, split, values
from gac.errors import UserError

SHARE = Parameter(float, "a number from 0 to 1", lambda share: 0 <= share <= 1)


@pytest.mark.parametrize(
    ("text", "name", "given"),
    [
        ("hopper-medium", "hopper-medium", {}),
        ("lottery:kind=seen,p=0.1", "lottery", {"kind": "seen", "p": "0.1"}),
        ("lottery:seen", "lottery", {"seen": ""}),
        ("lottery:", "lottery", {"": ""}),
        ("a:b=c:d=e", "a:b=c", {"d": "e"}),
        ("folder/file.hdf5:cut=hold", "folder/file.hdf5", {"cut": "hold"}),
        ("C:/folder/file.hdf5", "C:/folder/file.hdf5", {}),
        ("run:3.hdf5", "run:3.hdf5", {}),
        ("", "", {}),
        (":cut=hold", ":cut=hold", {}),
    ],
)
def test_a_name_is_taken_apart_and_put_together(text, name, given):
    assert split(text) == (name, given)
    if "" not in given.values():
        assert join(name, given) == text


def test_a_file_that_is_called_so_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:steps=9").write_text("")
    assert split("a:steps=9") == ("a:steps=9", {})


def test_values_are_read():
    given = {"steps": "1e6", "cut": "hold", "share": "0.5"}
    assert values("x", given, {"steps": STEPS, "cut": CUT, "share": SHARE}) == {
        "steps": 1_000_000,
        "cut": "hold",
        "share": 0.5,
    }
    assert type(values("x", {"steps": "1e6"}, {"steps": STEPS})["steps"]) is int


@pytest.mark.parametrize(
    "text", ["", "many", "nan", "inf", "-inf", "1999", "2000.5", "1e300", "2000 5", "0x9000"]
)
def test_a_bad_value_is_named_with_what_is_expected(text):
    with pytest.raises(
        UserError, match=r"^'x:y': steps is '.*', expected a whole number from 2,000 to "
    ) as raised:
        values("x:y", {"steps": text}, {"steps": STEPS, "share": SHARE})
    assert repr(text) in str(raised.value)


def test_an_unknown_key_is_answered_with_all_that_are_known():
    with pytest.raises(
        UserError, match=r"'shar' is no parameter here, expected share \(a number from 0 to 1\), cut"
    ):
        values("x:shar=1", {"shar": "1"}, {"share": SHARE, "cut": CUT})


def test_a_key_may_be_there_once():
    with pytest.raises(UserError, match="'lottery:p=1,p=1' gives 'p' twice"):
        split("lottery:p=1,p=1")
