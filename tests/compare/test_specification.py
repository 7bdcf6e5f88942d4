"""Specifications of comparisons: what they mean, and how mistakes are refused."""

import pytest

from gac.compare.specification import read_specification
from gac.errors import UserError

SPEC = """
episodes = 5
minutes = 2
seeds = [0, 1]

[[runs]]
table = "A"
methods = ["gac", "iql"]
data = ["hopper-medium"]

[[runs]]
table = "A"
methods = ["gac"]
data = ["maze2d-umaze"]
seeds = [0]
updates = 10

[[runs]]
table = "B"
rewards = "given"
methods = ["iql"]
data = ["hopper-medium"]
online = 300
"""


def read(tmp_path, text):
    path = tmp_path / "spec.toml"
    path.write_text(text)
    return read_specification(path)


def test_runs_are_methods_by_data_by_seeds(tmp_path):
    specification = read(tmp_path, SPEC)
    first, second = specification.tables["A"], specification.tables["B"]
    asked = [(job.method, job.data, job.seed, job.minutes, job.updates) for job in first]
    assert asked == [
        ("gac", "hopper-medium", 0, 2.0, None),
        ("gac", "hopper-medium", 1, 2.0, None),
        ("iql", "hopper-medium", 0, 2.0, None),
        ("iql", "hopper-medium", 1, 2.0, None),
        ("gac", "maze2d-umaze", 0, None, 10),  # The budget of a group replaces that of the file.
    ]
    assert {(job.rewards, job.online, job.budget) for job in second} == {
        ("given", 300, "2 min, 300 online episodes")
    }
    assert [job.seed for job in specification.runs] == [0, 0, 0, 0, 1, 1, 1]
    assert len({job.name for job in specification.runs}) == 7


def test_a_run_in_two_tables_runs_once(tmp_path):
    runs = '[[runs]]\ntable = "{}"\nmethods = ["gac"]\ndata = ["d"]\nupdates = 1\n'
    specification = read(tmp_path, runs.format("A") + runs.format("B"))
    assert len(specification.runs) == 1
    assert [len(jobs) for jobs in specification.tables.values()] == [1, 1]


def test_without_groups_the_file_is_one(tmp_path):
    specification = read(tmp_path, 'methods = ["gac"]\ndata = ["d"]\nupdates = 3')
    assert [job.updates for job in specification.runs] == [3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods = [", "is not TOML"),
        ('methods = ["gac"]\ndata = ["d"]', "has no budget"),
        ('methods = ["gac"]\nminutes = 1', "has no data"),
        ('data = ["d"]\nminutes = 1', "has no methods"),
        ('methods = "gac"\ndata = ["d"]\nminutes = 1', "has 'gac' as methods"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 1\nseed = 1', "has seed, expected only"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 0', "minutes is 0"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = true', "minutes is True"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 1\nupdates = 1', "both given"),
        ('methods = ["gac"]\ndata = ["d"]\nupdates = 1.5', "updates holds 1.5"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 1\nseeds = []', "seeds is []"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 1\nseeds = [-1]', "seeds holds -1"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 1\nepisodes = 0', "episodes holds 0"),
        ('methods = ["gac"]\ndata = ["d"]\nminutes = 1\nrewards = "none"', "rewards is 'none'"),
        ("runs = 3", "runs is no list of tables"),
        ("rivals = 3\nmethods = ['gac']\ndata = ['d']\nminutes = 1", "rivals is 3"),
        ("jobs = 0\nmethods = ['gac']\ndata = ['d']\nminutes = 1", "jobs holds 0"),
        ("[[runs]]\nmethod = ['gac']", "runs 1 has method"),
    ],
)
def test_a_mistake_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as found:
        read(tmp_path, text)
    assert said in str(found.value)
    assert "\n" not in str(found.value)
