import csv
import subprocess
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gac
from gac.data import Episodes, load_data, read_table
from gac.errors import UserError

LOG = {
    "run": ["a", "a", "b", "b", "b"],
    "time": [0, 1, 0, 2, 5],
    "temperature": [20.5, 21.0, 19.0, 22.0, 23.5],
    "pressure": [1.0, 1.1, 1.2, 1.3, 1.4],
    "valve": [0.1, 0.2, 0.3, 0.4, 0.5],
    "yield": [7.5, 7.5, -2.0, -2.0, -2.0],
    "remark": ["", "ok", "é日", "x", ""],
}
ROLES = {
    "episode": "run",
    "observations": ["temperature", "pressure"],
    "actions": ["valve"],
    "score": "yield",
    "step": "time",
}


def write_csv(path, columns, delimiter=",", encoding="utf-8"):
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_parquet(path, columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def changed(**columns):
    """The log with some columns replaced; None takes one away."""
    return {name: column for name, column in {**LOG, **columns}.items() if column is not None}


def refused(path, **roles):
    with pytest.raises(UserError) as raised:
        read_table(path, **{**ROLES, **roles})
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.fixture(params=["csv", "semicolons", "tabs", "marked", "parquet"])
def log(request, tmp_path):
    """One log in every form that spreadsheets and programs write."""
    kind = request.param
    if kind == "parquet":
        return write_parquet(tmp_path / "log.parquet", LOG)
    name = "log.tsv" if kind == "tabs" else "log.CSV"
    delimiter = {"semicolons": ";", "tabs": "\t"}.get(kind, ",")
    return write_csv(tmp_path / name, LOG, delimiter, "utf-8-sig" if kind == "marked" else "utf-8")


def test_a_log_with_columns_of_its_own_names(log):
    data = read_table(log, **ROLES, env_id="Plant-v0")
    np.testing.assert_array_equal(
        data.observations, np.array([LOG["temperature"], LOG["pressure"]], np.float32).T
    )
    np.testing.assert_array_equal(data.actions, np.array([LOG["valve"]], np.float32).T)
    np.testing.assert_array_equal(data.returns, [7.5, -2.0])
    np.testing.assert_array_equal(data.lengths, [2, 3])
    assert data.rewards is None
    assert data.final_observations is None
    assert data.truncated.all()
    assert not data.terminated.any()
    assert (data.env_id, data.name) == ("Plant-v0", str(log))


def test_the_order_of_the_columns_is_the_callers(log):
    data = read_table(log, **{**ROLES, "observations": ["pressure", "time", "temperature"]})
    np.testing.assert_array_equal(data.observations[3], np.array([1.3, 2.0, 22.0], np.float32))


episodes = st.lists(st.integers(2, 5), min_size=1, max_size=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=episodes, rewards=st.booleans(), parquet=st.booleans(), seed=st.integers(0, 99))
def test_usual_names_need_no_words_and_every_bit_arrives(tmp_path, lengths, rewards, parquet, seed):
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    scale = 10.0 ** rng.integers(-30, 18, (4, steps))
    numbers = (rng.normal(size=(4, steps)) * scale).astype(np.float32).astype(float)
    returns = np.float32(rng.normal(size=len(lengths)))
    ends = np.cumsum(lengths) - 1
    terminated = np.zeros(steps, bool)
    terminated[ends] = rng.random(len(lengths)) < 0.5
    columns = {
        "obs_a": numbers[0].tolist(),
        "action_0": numbers[1].tolist(),
        "observation_1": numbers[2].tolist(),
        "act_1": numbers[3].tolist(),
        "episode": np.repeat(rng.permutation(len(lengths)), lengths).tolist(),
        "step": np.concatenate([np.arange(n) for n in lengths]).tolist(),
        "terminated": terminated.tolist(),
    }
    if rewards:
        columns["reward"] = rng.normal(size=steps).tolist()
    else:
        columns["return"] = np.repeat(returns, lengths).astype(float).tolist()
    path = tmp_path / ("log.parquet" if parquet else "log.csv")
    (write_parquet if parquet else write_csv)(path, columns)
    data = load_data(path)
    np.testing.assert_array_equal(data.observations, np.float32(numbers[[0, 2]].T))
    np.testing.assert_array_equal(data.actions, np.float32(numbers[[1, 3]].T))
    np.testing.assert_array_equal(data.lengths, lengths)
    np.testing.assert_array_equal(data.terminated, terminated[ends])
    np.testing.assert_array_equal(data.truncated, ~terminated[ends])
    if rewards:
        np.testing.assert_array_equal(data.rewards, np.float32(columns["reward"]))
    else:
        np.testing.assert_array_equal(data.returns, returns)


def test_it_can_be_trained_on_from_an_hdf5_file(tmp_path):
    data = read_table(write_csv(tmp_path / "log.csv", LOG), **ROLES)
    gac.data.write_data(data, tmp_path / "log.hdf5")
    again = load_data(tmp_path / "log.hdf5")
    assert isinstance(again, Episodes)
    np.testing.assert_array_equal(again.observations, data.observations)
    np.testing.assert_array_equal(again.returns, data.returns)


# --- scores


def test_scores_from_a_second_file(tmp_path):
    path = write_csv(tmp_path / "log.csv", changed(**{"yield": None}))
    scores = write_parquet(tmp_path / "s.parquet", {"run": ["c", "b", "a"], "yield": [9.0, 2.5, 1.5]})
    np.testing.assert_array_equal(read_table(path, **ROLES, scores=scores).returns, [1.5, 2.5])
    write_parquet(scores, {"run": ["a", "", "b"], "yield": [9.0, 2.5, 1.5]})
    with pytest.raises(UserError, match="row 2: run is empty"):
        read_table(path, **ROLES, scores=scores)
    one = write_csv(tmp_path / "one.csv", {"run": ["a"], "yield": [1.0]})
    assert "no score of episode 'b'" in refused(path, scores=one)
    twice = write_csv(tmp_path / "twice.csv", {"run": ["a", "b", "b"], "yield": [1.0, 2.0, 2.0]})
    assert "episode 'b' more than once" in refused(path, scores=twice)
    assert "no column 'return'" in refused(path, scores=one, score=None)


def test_rewards_make_the_return_and_must_agree_with_a_score(tmp_path):
    path = write_csv(tmp_path / "log.csv", changed(reward=[1.0, 2.0, 3.0, 4.0, 5.0], **{"yield": None}))
    data = read_table(path, **{**ROLES, "score": None})
    np.testing.assert_array_equal(data.returns, [3.0, 12.0])
    both = write_csv(tmp_path / "both.csv", changed(reward=[1.0, 2.0, 3.0, 4.0, 5.0]))
    assert "has return 7.5, but its rewards add up to 3" in refused(both)


# --- mistakes


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"valve": None}, "no column 'valve', expected one of run, time"),
        ({"pressure": [1.0, 1.1, float("nan"), 1.3, 1.4]}, "{2}: pressure is nan"),
        ({"pressure": [1.0, 1.1, 1.2, 1.3, float("-inf")]}, "{4}: pressure is -inf"),
        (
            {"valve": [0.1, 0.2, 1e39, 0.4, 0.5]},
            "{2}: valve is 1e+39, expected a finite float32 of at most 1e+19",
        ),
        ({"yield": [7.5, 7.5, -2.0, -2.0, -2.5]}, "{4}: yield is -2.5 after -2 in the same episode"),
        ({"run": ["a", "b", "b", "b", "a"]}, "{4}: episode 'a' begins again"),
        ({"run": ["a", "a", "", "", "b"]}, "{2}: run is empty, expected the name of an episode"),
        ({"run": ["a", "a", "b", "b", " "]}, "{4}: run is empty, expected the name of an episode"),
        ({"run": [1.0, 1.0, *[float("nan")] * 3]}, "{2}: run is nan, expected the name of an episode"),
        ({"run": ["a", "a", "NA", "NA", "NA"]}, "{2}: run is NA, expected the name of an episode"),
        ({"run": ["None", "None", "b", "b", "b"]}, "{0}: run is None, expected the name of an episode"),
        ({"time": [0, 1, 1700000028, 1700000030, 1700000029]}, "{4}: time is 1700000029 after 1700000030"),
        ({"yield": [7.5, 7.5, 1234567, 1234567, 1234568]}, "{4}: yield is 1234568 after 1234567"),
        ({"done": [0, 0, 0, 1, 1]}, "{3}: done is 1 before the last row of its episode"),
        ({"truncated": [True, True, False, False, True]}, "{0}: truncated is 1 before the last row"),
        ({"time": [0, 1, 0, 2, 2]}, "{4}: time is 2 after 2"),
        ({"run": ["a", "a", "b", "b", "c"]}, "episode 'c' has 1 row"),
        ({"terminated": [0, 1, 1, 0, 1]}, "{2}: terminated is 1 before the last row"),
        ({"terminated": [0, 1, 2, 0, 1]}, "{2}: terminated is '2', expected 0 or 1"),
    ],
)
def test_a_bad_log_is_named_by_its_place(tmp_path, kind, columns, said):
    write = write_csv if kind == "csv" else write_parquet
    places = [f"line {row + 2}" if kind == "csv" else f"row {row + 1}" for row in range(5)]
    assert said.format(*places) in refused(write(tmp_path / f"log.{kind}", changed(**columns)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("run,time,temperature,pressure,valve,yield\n", "no rows"),
        ("run,time,temperature,pressure,valve,yield\na,0,hot,1,2,3\n", "line 2: temperature is 'hot'"),
        ("run,time,temperature,pressure,valve,yield\n\na,0,1,,2,3\n", "line 3: pressure is empty"),
        ("run;time;temperature;pressure;valve;yield\na;0;1,5;1;2;3\n", "with a decimal point"),
        ("run,time,temperature,pressure,valve,yield\na,0,1,1,2,3\na,1,1,1,2\n", "line 3 has 5 cells"),
        ("run,time,temperature,pressure,valve,yield\na,0,1,1,2,3,4\n", "line 2 has 7 cells, expected 6"),
        ("run,time,temperature,pressure,valve,valve,yield\na,0,1,1,2,2,3\n", "two columns named 'valve'"),
        ("\nrun,time,temperature,pressure,valve,yield\na,0,1,1,x,3\n", "line 3: valve is 'x'"),
        ('run,time,temperature,pressure,valve,yield\n"a\nb",0,1,1,x,3\n', "line 3: valve is 'x'"),
        ("run,time,temperature,pressure,valve,yield\na,0,1_0,1,2,3\n", "no plain table"),
    ],
)
def test_bad_text_is_named_by_its_line(tmp_path, text, said):
    path = tmp_path / "log.csv"
    path.write_text(text)
    assert said in refused(path)


NEXT = {"next_temperature": [21.0, 8.0, 22.0, 23.5, 9.0], "next_pressure": [1.1, 5.0, 1.3, 1.4, 6.0]}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_next_states_are_compared_with_the_next_rows(tmp_path, kind):
    path, write = tmp_path / f"log.{kind}", write_csv if kind == "csv" else write_parquet
    assert len(read_table(write(path, changed(**NEXT)), **ROLES)) == 2
    holes = "" if kind == "csv" else None
    unknown = {"next_temperature": [21.0, holes, 22.0, 23.5, float("nan")]}
    assert len(read_table(write(path, changed(**{**NEXT, **unknown})), **ROLES)) == 2
    text = {"next_temperature": ["hot"] * 5}  # What it is then is not known.
    assert len(read_table(write(path, changed(**{**NEXT, **text})), **ROLES)) == 2
    assert len(read_table(write(path, changed(next_pressure=[5.0] * 5)), **ROLES)) == 2
    wrong = {"next_pressure": [1.1, 5.0, 1.3, 1.5, 6.0]}
    said = refused(write(path, changed(**{**NEXT, **wrong})))
    place = "line 5" if kind == "csv" else "row 4"
    assert f"{place}: next_pressure is 1.5, but the next row of the same episode has 1.4" in said
    assert "as in 1 of 3 rows (33.3%) inside episodes" in said


def test_flags_of_ends_that_are_none_are_left_alone(tmp_path):
    for other in (["no", "yes", "no", "yes", "no"], [1] * 5, ["", 1, "", "", 1]):
        path = write_csv(tmp_path / "log.csv", changed(done=other))
        assert len(read_table(path, **ROLES)) == 2


def test_a_step_that_goes_on_into_the_next_episode_is_named(tmp_path):
    columns = {
        "episode": np.repeat(np.arange(4), 2).tolist(),
        "step": [0, 1, 0, 1, 2, 3, 0, 1],
        "obs_0": list(range(8)),
        "act_0": [0] * 8,
        "return": [1] * 8,
    }
    with pytest.warns(UserWarning, match=r"line 6: an episode begins there, but step goes on .* 1 of 3 ends"):
        assert len(read_table(write_csv(tmp_path / "log.csv", columns))) == 4
    read_table(write_csv(tmp_path / "log.csv", {**columns, "step": list(range(8))}))


@pytest.mark.parametrize(
    "text", ["0.5 1.0 0.0 0.0\n", "0.5,1.0,0.0,0.0\n", "0.5,1.0,0.25,0.75\n", "a,1,0.25,0.75\n"]
)
def test_a_missing_header_is_named(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text * 3)
    with pytest.raises(UserError, match="looks like data: write a header above it"):
        read_table(path)
    assert "looks like data: write a header above it" in refused(path)


def test_a_refusal_names_few_of_many_columns(tmp_path):
    path = write_csv(tmp_path / "log.csv", {f"column_{i}": [1, 2] for i in range(500)})
    said = refused(path)
    assert "and 492 more" in said
    assert len(said) < 400


def test_lists_in_cells_are_told_from_other_types(tmp_path):
    path = tmp_path / "log.parquet"
    write_parquet(path, changed(pressure=[[1.0, 2.0]] * 5))
    assert "pressure has type 'list<element: double>', a list of values" in refused(path)
    assert "split it into a column each, such as obs_0" in refused(path)
    times = pyarrow.array([1, 2, 1, 2, 3], pyarrow.timestamp("ms"))
    write_parquet(path, changed(time=times))
    assert "time has type timestamp[ms], expected numbers; give it in seconds" in refused(path)
    text = write_csv(tmp_path / "log.csv", changed(pressure=["[1.0, 2.0]"] * 5))
    assert "line 2: pressure is '[1.0, 2.0]', a list of values in one cell" in refused(text)
    long = write_csv(tmp_path / "log.csv", changed(pressure=["x" * 5000] * 5))
    assert len(refused(long)) < 300


def test_other_encodings_are_named(tmp_path):
    latin = changed(remark=["é"] * 5)
    for encoding in ("latin-1", "utf-16"):
        assert "UTF-8" in refused(write_csv(tmp_path / "log.csv", latin, encoding=encoding))


def test_columns_without_a_name_are_left_alone(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("episode,obs_0,act_0,return,,\n1,2,3,4,,\n1,5,6,4,,x\n")
    assert read_table(path).observations.tolist() == [[2.0], [5.0]]


def test_bad_parquet_is_named(tmp_path):
    path = tmp_path / "log.parquet"
    write_parquet(path, changed(valve=["1", "2", "3", "4", "5"]))
    assert "valve has type string" in refused(path)
    write_parquet(path, changed(valve=[1.0, 2.0, None, 4.0, 5.0]))
    assert "row 3: valve is empty" in refused(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    assert "no Parquet file" in refused(path)
    path.write_bytes(whole[:4] + bytes(400) + whole[404:])
    assert "damaged" in refused(path)


@pytest.mark.parametrize("text", [b"pressure", b"first run"])
def test_parquet_whose_text_was_damaged_is_named(tmp_path, text):
    table = pyarrow.table(changed(run=["first run"] * 5, time=None))
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet", compression="none")
    whole = (tmp_path / "log.parquet").read_bytes()
    assert text in whole
    (tmp_path / "log.parquet").write_bytes(whole.replace(text, b"\xff" + text[1:]))
    assert "damaged" in refused(tmp_path / "log.parquet", step=None)


def test_a_wrong_choice_of_columns_is_named(tmp_path):
    path = write_csv(tmp_path / "log.csv", LOG)
    assert "no columns observation_… or obs_…" in refused(path, observations=None)
    assert "no columns action_… or act_…" in refused(path, actions=None)
    assert "no score: give score=NAME (--score NAME)" in refused(path, score=None)
    assert "'valve' is given two meanings" in refused(path, observations=["temperature", "valve"])
    assert "'yield' is given two meanings" in refused(path, observations=["yield"])
    assert "'run' is given two meanings" in refused(path, actions=["run"])
    assert "give ['valve']" in refused(path, actions="valve")
    assert "no column 'no'" in refused(path, step="no")
    assert "does not exist" in refused(tmp_path / "none.csv")
    assert "is not a file" in refused(tmp_path)
    path.rename(tmp_path / "log.txt")
    assert "rename it" in refused(tmp_path / "log.txt")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "log.parquet", LOG)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'generative-actor-critic[parquet]'" in refused(path)


def test_csv_needs_no_pyarrow(tmp_path):
    path = write_csv(
        tmp_path / "log.csv", {"episode": [1, 1], "obs_0": [1, 2], "act_0": [1, 2], "return": [3, 3]}
    )
    code = f"import sys, gac; gac.read_table({str(path)!r}); print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
