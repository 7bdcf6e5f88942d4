"""Targets are looked at before the work, and a result that cannot be written is not lost."""

import os
import subprocess
import sys

import pytest

from gac import writing
from gac.errors import UserError
from gac.writing import check_room, check_target, write_or_print


def refused(path, **options):
    with pytest.raises(UserError) as raised:
        check_target(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_target_that_can_be_written_is_left_as_it_is(tmp_path):
    there = tmp_path / "there.json"
    there.write_text("old")
    for path in (there, tmp_path / "new.json", tmp_path / "some" / "folder" / "new.json"):
        check_target(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["there.json"]
    assert there.read_text() == "old"


def test_a_target_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is no file that can be replaced" in refused(tmp_path)
    assert "is no file that can be replaced" in refused(type(tmp_path)("/dev/null"))
    assert "Not a directory" in refused(tmp_path / "file" / "x.json")
    assert "File name too long" in refused(tmp_path / ("x" * 300))
    assert "give a file in a folder that exists" in refused(tmp_path / "no" / "x.hdf5", make_folder=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_shows_before_the_work(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    assert "No space left on device" in refused(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_a_result_that_cannot_be_written_is_printed(tmp_path, monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.json"
    path.write_text("old")
    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(UserError, match=r"x\.json cannot be written .No space left .* printed instead"):
        write_or_print(path, '{"mean": 7}')
    assert capsys.readouterr().out == '{"mean": 7}\n'
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


LIMITED = """
import resource, sys
from pathlib import Path
from gac.writing import check_room

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
check_room(Path(sys.argv[1]), 9_000)
try:
    check_room(Path(sys.argv[1]), 11_000)
except OSError as error:
    print(error.strerror)
"""


def test_room_is_taken_for_a_moment_only(tmp_path):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    check_room(tmp_path, 1_000_000)
    with pytest.raises(OSError, match=r"No space left|too large"):
        check_room(tmp_path, 2 * free + 2**40)
    words = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert not list(tmp_path.iterdir())
