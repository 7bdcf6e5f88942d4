"""Critics that left an episode out know nothing of its luck, and say how far they err."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.config import Config, CriticsConfig, ModelConfig
from gac.training.added.critics import fit_critics

EPISODES, P, WIN = 600, 0.05, 10.0
CONFIG = Config(
    model=ModelConfig(embed_dim=2, latent_tokens=2, heads=1),
    critics=CriticsConfig(critic_hidden=16, critic_steps=400, critic_batch=256, critic_lr=1e-2),
    added=dataclasses.replace(tiny.CONFIG.added, members=8),
)
fit = eqx.filter_jit(lambda critics, z: critics.each(z))


def plans(rng, centre, count):
    """Plans of the shape that the configuration asks for, around a centre."""
    return (centre + 0.2 * rng.normal(size=(count, 2, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def lottery():
    """Half of the plans return exactly 1, the other half 10 with probability 0.05, else 0; standardised."""
    rng = np.random.default_rng(0)
    z = np.concatenate([plans(rng, -1.0, EPISODES // 2), plans(rng, 1.0, EPISODES // 2)])
    y = np.concatenate([np.ones(EPISODES // 2), WIN * (rng.random(EPISODES // 2) < P)])
    unit = y.mean(), y.std()
    y = ((y - unit[0]) / unit[1]).astype(np.float32)
    critics = fit_critics(jnp.asarray(z), jnp.asarray(y), CONFIG, jax.random.key(0))
    return critics, np.asarray(fit(critics, jnp.asarray(z))), z, y, unit


def test_the_mean_is_right_in_each_cluster(lottery):
    _, each, _, y, unit = lottery
    mean = each.mean(axis=0)
    safe, gamble = mean[: EPISODES // 2], mean[EPISODES // 2 :]
    assert abs(safe.mean() * unit[1] + unit[0] - 1.0) < 0.1
    drawn = y[EPISODES // 2 :]
    noise = drawn.std() / np.sqrt(len(drawn))
    assert abs(gamble.mean() - drawn.mean()) < 2.0 * noise
    # No luck is learned by heart: what won is worth no more than what lost.
    won = drawn > 0.0
    assert 5 <= won.sum() <= 30
    assert abs(gamble[won].mean() - gamble[~won].mean()) < 0.1 * (drawn[won].mean() - drawn[~won].mean())


def test_critics_disagree_on_a_lottery(lottery):
    _, each, _, _, _ = lottery
    disagreement = each.std(axis=0)
    assert disagreement[EPISODES // 2 :].mean() > 2.0 * disagreement[: EPISODES // 2].mean()


def test_a_critic_that_did_not_draw_an_episode_learns_nothing_of_its_return():
    """About exp(-1) of all critics, as (1 - 1/N)^N is."""
    rng = np.random.default_rng(1)
    z, y = jnp.asarray(plans(rng, 0.0, 40)), jnp.asarray(rng.normal(size=40), jnp.float32)
    config = dataclasses.replace(CONFIG, critics=CriticsConfig(critic_hidden=4, critic_steps=25))
    critics = fit_critics(z, y, config, jax.random.key(2))
    shares = []
    for i in np.argsort(y)[10:20]:  # None of the extremes, which all critics count as the next ones.
        other = fit_critics(z, y.at[i].add(0.5), config, jax.random.key(2))
        shares.append(np.asarray(critics.members.w1 == other.members.w1).all(axis=(1, 2)).mean())
    assert 0.2 < np.mean(shares) < 0.55


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.95, 1.0])
def test_one_return_ten_times_too_large_moves_no_expected_return_far(quantile):
    rng = np.random.default_rng(6)
    z = rng.normal(size=(EPISODES, 2, 2)).astype(np.float32)
    y = (1.0 + np.tanh(z[:, 0, 0]) + 0.3 * rng.normal(size=EPISODES)).astype(np.float32)
    wrong = y.copy()
    wrong[np.argsort(y)[int(quantile * (EPISODES - 1))]] *= 10.0
    before, after = (
        np.asarray(
            fit(fit_critics(jnp.asarray(z), jnp.asarray(each), CONFIG, jax.random.key(7)), jnp.asarray(z))
        ).mean(axis=0)
        for each in (y, wrong)
    )
    assert np.abs(after - before).max() < 0.25 * y.std()
    assert np.quantile(np.abs(after - before), 0.95) < 0.1 * y.std()


def test_critics_stop_before_they_learn_luck_by_heart():
    """Returns that no plan tells: whoever fits them to the end errs by far more than their spread."""
    rng = np.random.default_rng(4)
    z, y = plans(rng, 0.0, 60), rng.normal(size=60).astype(np.float32)
    settings = CriticsConfig(critic_hidden=64, critic_steps=1000, critic_lr=1e-2)
    critics = fit_critics(
        jnp.asarray(z), jnp.asarray(y), dataclasses.replace(CONFIG, critics=settings), jax.random.key(5)
    )
    assert float(critics.sigma_y()[0]) < 1.2 * y.std()


def test_the_same_key_gives_the_same_critics(lottery):
    critics, _, z, y, _ = lottery
    again, other = (
        fit_critics(jnp.asarray(z), jnp.asarray(y), CONFIG, jax.random.key(seed)) for seed in (0, 1)
    )
    assert tiny.same(eqx.filter(critics, eqx.is_array), eqx.filter(again, eqx.is_array))
    assert not tiny.same(eqx.filter(critics, eqx.is_array), eqx.filter(other, eqx.is_array))


@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_the_spread_is_that_of_new_returns_and_nine_of_ten_lie_in_the_interval(noise):
    rng = np.random.default_rng(2)

    def drawn(count):
        z = plans(rng, 0.0, count)
        error = rng.normal(size=count) if noise == "normal" else rng.exponential(size=count) - 1.0
        return jnp.asarray(z), (3.0 * z[:, 0, 0] + 0.5 * error).astype(np.float32)

    z, y = drawn(EPISODES)
    critics = fit_critics(z, jnp.asarray(y), CONFIG, jax.random.key(3))
    assert float(critics.sigma_y()[0]) == pytest.approx(0.5, rel=0.2)
    z, y = drawn(2000)
    error = y - np.asarray(critics.mean(z[:, 0], z))
    assert np.sqrt(np.mean(error**2)) == pytest.approx(float(critics.sigma_y()[0]), rel=0.2)
    low, high = np.asarray(critics.interval(z)).T
    assert np.mean((low <= y) & (y <= high)) == pytest.approx(0.9, abs=0.03)
    assert np.mean(y < low) == pytest.approx(0.05, abs=0.03)
