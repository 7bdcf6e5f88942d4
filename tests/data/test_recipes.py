import dataclasses
import itertools
import subprocess
import sys

import gymnasium
import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from gac.data import make, read_d4rl, recipes, rollout, write_d4rl
from gac.errors import UserError

FIELDS = (
    "observations",
    "actions",
    "rewards",
    "returns",
    "lengths",
    "terminated",
    "truncated",
    "final_observations",
)


LIKE_D4RL = ("hopper", "halfcheetah")
"""Robots whose snapshots are of D4RL's environments, and expert at the end."""
SETS = [f"{robot}-{name}" for robot in LIKE_D4RL for name in recipes._SETS]


@pytest.fixture
def small(monkeypatch):
    """The recipes, cut down to seconds."""
    for name, recipe in list(recipes.RECIPES.items()):
        if isinstance(recipe, recipes.LotteryRecipe):
            continue
        few = {} if isinstance(recipe, recipes.MazeRecipe) else {"envs": 2}
        monkeypatch.setitem(recipes.RECIPES, name, dataclasses.replace(recipe, steps=600, jobs=2, **few))


def same(one, other):
    return all(getattr(one, field).tobytes() == getattr(other, field).tobytes() for field in FIELDS)


def shares_of(name):
    """The snapshots' shares of the steps that a set's jobs are to play."""
    _, jobs = recipes.rollouts(name)
    shares = dict.fromkeys((job.snapshot for job in jobs), 0.0)
    for job in jobs:
        shares[job.snapshot] += job.min_steps / recipes.RECIPES[name].steps
    return shares


@pytest.mark.parametrize(
    "name",
    [
        "hopper-medium",
        "walker2d-medium-replay",
        "halfcheetah-medium-expert",
        "hopper-expert",
        "noisy-hopper-medium-replay",
        "maze2d-umaze",
        "noisy-maze2d-umaze",
    ],
)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(small, name):
    first, again, other = make(name, 0), make(name, 0), make(name, 1)
    assert first.num_steps >= 590  # The shares' steps are rounded.
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("name", SETS)
def test_every_snapshot_plays_its_share_in_d4rls_environment(name):
    env_id, jobs = recipes.rollouts(name)
    robot = recipes.RECIPES[name].robot
    assert env_id.lower() == f"{robot}-v4"
    _, sets = recipes.read_sets(recipes.bundle_of(robot))
    shares = sets[recipes.RECIPES[name].policies]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares_of(name) == pytest.approx(shares, abs=1e-4)
    assert len({tuple(job.seed) for job in jobs}) == len(jobs) >= recipes.RECIPES[name].jobs
    assert 200_000 <= recipes.RECIPES[name].steps <= 400_000


@pytest.mark.parametrize("robot", LIKE_D4RL)
def test_shares_of_replay_are_smooth_in_training_time(robot):
    shares = shares_of(f"{robot}-medium-replay")
    assert len(shares) >= 8
    assert min(shares) in (5_000, 10_000)
    assert max(shares.values()) < 0.35
    # A log-quadratic function: the third difference of the logarithms vanishes. Tiny shares are rounded.
    logs = np.log([shares[step] for step in sorted(shares)])
    assert np.abs(np.diff(logs, 3)).max() < 0.05


@pytest.mark.parametrize("robot", LIKE_D4RL)
def test_medium_expert_is_half_of_each_by_steps(robot):
    together = shares_of(f"{robot}-medium-expert")
    halves: dict[int, float] = {}
    for name in ("medium", "expert"):
        for step, share in shares_of(f"{robot}-{name}").items():
            halves[step] = halves.get(step, 0.0) + share / 2
    assert together == pytest.approx(halves, abs=1e-4)
    assert max(shares_of(f"{robot}-medium")) < min(shares_of(f"{robot}-expert"))


def test_robots_are_those_of_d4rl_and_no_set_is_made_of_policies_that_are_not_there():
    for name in ("hopper-medium", "walker2d-medium", "halfcheetah-medium"):
        assert recipes.rollouts(name)[0].endswith("-v4")
    # Its training was no expert's.
    assert not {"walker2d-expert", "walker2d-medium-expert"} & set(recipes.RECIPES)


def test_only_the_sets_of_the_bundles_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "_SNAPSHOTS", tmp_path)
    assert recipes.robot_recipes() == {}
    metadata = {"env_id": "Walker2d-v4", "sets": '{"medium": {"5000": 1.0}}'}
    save_file({"5000/mean/bias": np.zeros(6, np.float16)}, tmp_path / "walker2d.safetensors", metadata)
    assert list(recipes.robot_recipes()) == ["walker2d-medium"]
    metadata = {"env_id": "Hopper-v4", "sets": '{"medium-replay": {"5000": 1.0}}'}
    save_file({"5000/mean/bias": np.zeros(3, np.float16)}, tmp_path / "hopper.safetensors", metadata)
    assert list(recipes.robot_recipes()) == [
        "hopper-medium-replay",
        "walker2d-medium",
        "noisy-hopper-medium-replay",
    ]


def stepped(env, state, action):
    """One step from an observed state; the place along x, which is not observed, does not matter."""
    half = env.unwrapped.model.nq - 1
    state = state.astype(np.float64)
    env.reset(seed=0)
    env.unwrapped.set_state(np.concatenate([[0.0], state[:half]]), state[half:])
    return env.step(action)


def test_states_rewards_and_ends_are_those_of_the_environment(small):
    """Each stored action, played from its stored state, leads to what is stored, the last one's too."""
    env = gymnasium.make(gymnasium.spec("Hopper-v4"))
    data = make("hopper-medium-replay", 0)
    ends = 0
    for episode in itertools.islice(data, 20):
        following = np.concatenate([episode.observations[1:], episode.final_observation[None]])
        for t in {0, 5, len(episode.actions) - 1} & set(range(len(episode.actions))):
            state, reward, terminated, *_ = stepped(env, episode.observations[t], episode.actions[t])
            np.testing.assert_allclose(state, following[t], atol=2e-2)
            assert reward == pytest.approx(episode.rewards[t], abs=1e-2)
            assert terminated == (t == len(episode.actions) - 1 and episode.terminated)
        ends += episode.terminated
    assert ends > 0


def test_an_exported_set_has_every_next_state(small, tmp_path):
    data = make("hopper-medium-expert", 0)
    write_d4rl(data, tmp_path / "set.hdf5")
    with h5py.File(tmp_path / "set.hdf5") as file:
        following, flags = file["next_observations"][:], file["terminals"][:] | file["timeouts"][:]
        assert file.attrs["env_id"] == "Hopper-v4"
        assert file["rewards"].shape == (data.num_steps,)
    np.testing.assert_array_equal(following[flags], data.final_observations)
    inner = np.flatnonzero(~flags)
    np.testing.assert_array_equal(following[inner], data.observations[inner + 1])
    assert same(read_d4rl(tmp_path / "set.hdf5"), data)


def test_every_episode_is_whole(small):
    data = make("hopper-medium-replay", 3)
    assert (data.terminated | (data.lengths == 1000)).all()
    assert (data.truncated == (data.lengths == 1000)).all()
    assert np.abs(data.actions).max() <= 1


def test_the_policy_is_the_tanh_gaussian_that_it_says():
    policy = rollout.Policy(
        hidden=[
            (np.float32([[1.0, -1.0]]), np.float32([0.0, 0.0])),
            (np.eye(2, dtype=np.float32), np.zeros(2)),
        ],
        mean=(np.float32([[1.0], [0.0]]), np.float32([0.5])),
        log_std=(np.float32([[0.0], [100.0]]), np.float32([0.0])),
    )
    observations, noise = np.float32([[2.0], [-1.0]]), np.float32([[0.5], [0.1]])
    # relu(x), relu(-x) are the features; the second log_std is clipped from 100 to 2.
    expected = np.tanh([[2.0 + 0.5 + 0.5], [0.5 + 0.1 * np.exp(2.0)]])
    np.testing.assert_allclose(policy.sample(observations, noise), expected, rtol=1e-6)


def test_a_script_without_a_main_guard_can_make_data(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import dataclasses\n"
        "from gac.data import RECIPES, make\n"
        "recipe = dataclasses.replace(RECIPES['hopper-medium'], steps=100, jobs=2, envs=1)\n"
        "RECIPES['hopper-medium'] = recipe\n"
        "print(make('hopper-medium').num_steps)\n"
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 100


@pytest.mark.parametrize(
    ("name", "seed", "message"), [("hopper", 0, "no recipe"), ("hopper-medium", -1, "seed is -1")]
)
def test_mistakes_are_answered(name, seed, message):
    with pytest.raises(UserError, match=message):
        make(name, seed)


@pytest.mark.parametrize("name", ["maze2d-umaze", "lottery"])
def test_what_is_no_robot_has_no_snapshots_to_roll_out(name):
    with pytest.raises(UserError, match=f"{name} is no robot"):
        recipes.rollouts(name)


def test_the_noisy_robot_has_the_policies_of_the_other_and_an_environment_of_its_own():
    env_id, noisy = recipes.rollouts("noisy-hopper-medium-replay")
    _, calm = recipes.rollouts("hopper-medium-replay")
    assert env_id == "gac/NoisyHopper-v4"
    assert {job.snapshot for job in noisy} == {job.snapshot for job in calm}
    assert {job.env_id for job in noisy} == {env_id}


@pytest.mark.parametrize("policies", ["medium", "medium-replay"])
def test_steps_are_shared_by_the_same_policies(policies):
    _, usual = recipes.rollouts(f"hopper-{policies}")
    for steps in (2_000, 40_000, 1_000_000):
        _, jobs = recipes.rollouts(f"hopper-{policies}:steps={steps}")
        assert [(job.snapshot, job.seed) for job in jobs] == [(job.snapshot, job.seed) for job in usual]
        assert sum(job.min_steps for job in jobs) == pytest.approx(steps, rel=0.01)
        # Each environment finishes an episode of up to 1,000 steps: that is little beside what it plays.
        assert all(job.envs == 1 or job.envs * 10_000 <= job.min_steps for job in jobs)


def test_the_usual_number_of_steps_is_the_usual_data_set():
    assert recipes.fingerprint("hopper-medium:steps=250000") == recipes.fingerprint("hopper-medium")
    assert recipes.fingerprint("hopper-medium:steps=250001") != recipes.fingerprint("hopper-medium")
    assert recipes.fingerprint("maze2d-umaze:cut=horizon") == recipes.fingerprint("maze2d-umaze")
    assert recipes.fingerprint("lottery:p=0.050,steps=4") == recipes.fingerprint("lottery")


def test_a_data_set_of_other_length_is_made():
    data = make("hopper-medium:steps=2e3")
    assert data.name == "hopper-medium:steps=2e3"
    # Each job finishes the episode under way.
    assert 2_000 <= data.num_steps < 2_000 + 1_000 * len(recipes.rollouts("hopper-medium")[1])


def test_the_bundles_and_the_package_are_small():
    assert all(path.stat().st_size < 2_500_000 for path in recipes._SNAPSHOTS.iterdir())
    package = recipes._SNAPSHOTS.parents[1]
    assert sum(path.stat().st_size for path in package.rglob("*") if path.suffix != ".pyc") < 20_000_000
