"""Progress as a person sees it: a bar on a terminal, plain lines elsewhere."""

import time

from gac import console


def test_plain_progress_is_a_line_every_15_seconds(capsys):
    now = iter(range(0, 1000, 5))
    with console.training_progress(console.stderr_console(), clock=lambda: float(next(now))) as progress:
        for update in range(13):
            progress({"elbo": -12.34, "kl": 5.0, "trajectories_per_second": 80.2}, update / 12)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert "elbo -12.3  kl 5.0  trajectories/s 80" in lines[0]
    assert lines[-1].startswith("training 100 %")


def test_progress_draws_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.training_progress(console.stderr_console()) as progress:
        progress({"elbo": -1.0, "prior_return_mean": 0.25}, 0.5)
        time.sleep(0.2)
    assert "prior return mean +0.25" in capsys.readouterr().err


def test_remaining_time():
    assert console.remaining(60, 0.25) == "3:00"
    assert console.remaining(5, 0) == "-:--"
    assert console.remaining(5, 1.5) == "0:00"


def test_playing_is_a_line_at_first_and_every_15_seconds(capsys):
    now = iter(range(0, 1000, 5))
    with console.playing("exploit", 8, console.stderr_console(), lambda: float(next(now))) as progress:
        for over in range(8):
            progress(over, 1.25)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "exploit"
    assert lines[1].endswith("over  mean return so far 1.2")
    assert 2 <= len(lines) <= 4


def test_playing_draws_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.playing("exploit", 8, console.stderr_console()) as progress:
        progress(3, 12.5)
        time.sleep(0.2)
    assert "3 over  mean return so far 12.5" in capsys.readouterr().err
