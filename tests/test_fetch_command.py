"""`gac data fetch` and what it shows: a hash, a bar or lines, one line for a mistake, how to go on."""

import dataclasses
import hashlib

import pytest
from loopback import hdf5, serving

from gac import cli, console
from gac.data import d4rl_catalogue
from gac.data.load import fetched_folder

NAME, FILE = "d4rl/walker2d-expert-v2", "walker2d_expert-v2.hdf5"
BODY = hdf5(600_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(d4rl_catalogue.MIRRORS_VARIABLE, raising=False)
    with serving() as site:
        entry = d4rl_catalogue.CATALOGUE[NAME]
        known = dataclasses.replace(entry, mirrors=(site.url("{file}"),), sha256=None)
        monkeypatch.setitem(d4rl_catalogue.CATALOGUE, NAME, known)
        site.files[FILE] = BODY
        yield site


def fetch(*flags):
    return cli.main(["data", "fetch", NAME, *map(str, flags)])


def refused(capsys, *flags):
    assert fetch(*flags) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("gac: ")
    return line


def test_it_says_where_the_file_is_and_which_hash_it_has(site, capsys, tmp_path):
    assert fetch("--out", tmp_path / "mine.hdf5") == 0
    captured = capsys.readouterr()
    assert captured.out == f"{NAME}: {tmp_path / 'mine.hdf5'}\n"
    assert f"SHA-256 {SHA256}" in captured.err
    assert (tmp_path / "mine.hdf5").read_bytes() == (fetched_folder() / FILE).read_bytes() == BODY
    assert fetch() == 0
    assert capsys.readouterr().out == f"{NAME}: {fetched_folder() / FILE}\n"
    assert len(site.asked) == 1


def test_a_mirror_and_a_hash_can_be_given(site, capsys):
    site.files["mine/copy.hdf5"] = BODY
    assert fetch("--mirror", site.url("mine/copy.hdf5"), "--sha256", SHA256) == 0
    assert site.asked[0][0] == "mine/copy.hdf5"


def test_mistakes_are_one_line(site, capsys, tmp_path):
    (tmp_path / "there.hdf5").write_text("mine")
    assert "exists" in refused(capsys, "--out", tmp_path / "there.hdf5")
    assert "is no URL" in refused(capsys, "--mirror", "mirror.org")
    assert "64 hexadecimal digits" in refused(capsys, "--sha256", "abc")
    assert f"expected {'0' * 64}" in refused(capsys, "--sha256", "0" * 64)
    site.files.clear()
    line = refused(capsys, "--mirror", site.url("mine"))
    assert f"{site.url('mine')}/{FILE}: the server answers 404 Not Found" in line
    assert f"{site.url(FILE)}: the server answers 404 Not Found" in line
    assert cli.main(["data", "fetch", "d4rl/walker2d-export-v2"]) == 2
    assert f"did you mean {NAME}?" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(site, capsys, monkeypatch):
    def stop(self, done, total):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(console.DownloadLines, "progress", stop)
        assert fetch() == 130
    assert f"go on with: gac data fetch {NAME}" in capsys.readouterr().err
    assert (fetched_folder() / f"{FILE}.part").stat().st_size > 0
    assert fetch() == 0
    assert site.ranges_asked[-1] is not None


def test_the_list_names_the_families(capsys):
    assert cli.main(["data", "list"]) == 0
    printed = capsys.readouterr().out
    assert "hopper-medium-replay" in printed
    assert "d4rl/halfcheetah-SET-v2" in printed
    assert "umaze, medium, large" in printed


def test_plain_progress_is_a_line_every_15_seconds(capsys):
    now = iter(range(0, 1000, 5))
    report = console.DownloadLines(clock=lambda: float(next(now)))
    report.begin("http://host/file.hdf5")
    for done in range(1, 11):
        report.progress(done * 10**6, 20 * 10**6)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "fetching http://host/file.hdf5"
    assert 2 <= len(lines) <= 5
    assert lines[0] == "fetched 3.0 MB of 20.0 MB, 15%"
    report.say("[bold]no markup[/bold]")
    assert "[bold]" in capsys.readouterr().err


def test_progress_without_a_length_names_what_came(capsys):
    now = iter(range(0, 1000, 20))
    console.DownloadLines(clock=lambda: float(next(now))).progress(5_000_000, None)
    assert capsys.readouterr().err == "fetched 5.0 MB\n"


def test_progress_draws_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.download_progress() as report:
        report.begin("http://host/file.hdf5")
        report.progress(1_000_000, 4_000_000)
        report.say("something else")
    drawn = capsys.readouterr().err
    assert "1.0/4.0 MB" in drawn
    assert "something else" in drawn
