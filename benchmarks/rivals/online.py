"""Learning from new episodes: further training of d3rlpy's methods, and those of sbx, from nothing."""

import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from steps import RETURN

from gac.data.episodes import Episode as GacEpisode
from gac.data.episodes import Episodes
from gac.data.goals import join
from gac.envs.specification import Environment
from gac.errors import UserError

FIRST_SEED = 1_000_000
"""Environment seed of the first new episode; evaluations are far below."""
UNLIMITED = 10**9
"""Steps that the episodes of an online run do not reach."""


class PaidAtTheEnd(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The whole return at an episode's last step, and zero before."""

    def reset(self, **options: Any) -> Any:
        self._paid = 0.0
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        seen, reward, terminated, truncated, facts = super().step(action)
        self._paid += float(reward)
        return seen, self._paid if terminated or truncated else 0.0, terminated, truncated, facts


def environment_of(data: Episodes) -> Any:
    """The environment of the data, with flat observations.

    Raises:
        UserError: the data names none.
    """
    environment = Environment.of(data)
    if environment is None:
        raise UserError(f"{data.name} names no environment; online episodes need one")
    return join(environment.make())


def episode_of(env: Any, act: Any, seed: int) -> GacEpisode:
    """Play one episode; `act` gives the action for a batch of one observation."""
    seen, _ = env.reset(seed=seed)
    states, actions, paid = [np.asarray(seen, np.float32)], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action = np.clip(act(states[-1][None])[0], env.action_space.low, env.action_space.high)
        seen, reward, terminated, truncated, _ = env.step(action.astype(env.action_space.dtype))
        states.append(np.asarray(seen, np.float32))
        actions.append(action.astype(np.float32))
        paid.append(float(reward))
    rewards = np.array(paid)
    return GacEpisode(
        np.stack(states[:-1]),
        np.stack(actions),
        rewards,
        float(rewards.sum()),
        bool(terminated),
        bool(truncated),
        states[-1],
    )


def explore(
    method: str,
    algo: Any,
    offline: Any,
    data: Episodes,
    rewards: str,
    count: int,
    seed: int,
    log: Any,
) -> None:
    """Go on with new episodes: after each, as many updates as it had steps.

    d3rlpy's own online loop forgets the last step of an episode that a clock ended, and with rewards at the
    end alone its return; here episodes enter the buffer whole.

    Raises:
        UserError: a method that draws no actions.
    """
    from learning import held_episode, online_buffer

    if method not in ("iql", "cal-ql"):
        raise UserError(f"{method} learns from no online episodes here; give iql, cal-ql, sac or ppo")
    env = environment_of(data)
    buffer, drawn = online_buffer(method, offline)
    with log.timed():
        for number in range(count):
            episode = episode_of(env, algo.sample_action, FIRST_SEED + 10_000 * seed + number)
            if len(episode.actions) > 1:
                buffer.append_episode(held_episode(episode, rewards))
            for _ in range(len(episode.actions)):
                log.losses = algo.update(drawn.sample_transition_batch(algo.config.batch_size))
            log.update += len(episode.actions)
            log.due()
    env.close()


def from_nothing(
    method: str, data: Episodes, rewards: str, count: int, seed: int, out: Path
) -> tuple[Any, dict[str, Any]]:
    """Train SAC or PPO of sbx on so many episodes of the data's environment, without the data.

    Returns:
        What gives actions, and its settings.
    """
    import sbx
    from stable_baselines3.common.callbacks import StopTrainingOnMaxEpisodes
    from stable_baselines3.common.monitor import Monitor

    env = environment_of(data)
    env = PaidAtTheEnd(env) if rewards == RETURN else env
    kind = {"sac": sbx.SAC, "ppo": sbx.PPO}[method]
    model = kind("MlpPolicy", Monitor(env), seed=seed, device="cpu")
    began = time.perf_counter()
    model.learn(UNLIMITED, callback=StopTrainingOnMaxEpisodes(count))
    seconds = time.perf_counter() - began
    line = f'{{"update": {model._n_updates}, "seconds": {seconds}, "steps": {model.num_timesteps}}}\n'
    (out / "metrics.jsonl").write_text(line, encoding="utf-8")
    settings = {
        name: value for name, value in vars(model).items() if isinstance(value, bool | int | float | str)
    }
    return lambda seen: model.predict(seen, deterministic=True)[0], settings
