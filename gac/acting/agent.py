"""The agent: a trained model with everything that planning and acting need."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt32
from numpy import ndarray

from gac.acting.calibration import Calibration, read_calibration
from gac.acting.guidance import Guide
from gac.acting.plans import Plans
from gac.acting.policy import Policy
from gac.acting.replan import Never, Replan
from gac.acting.replanning import ReplanningPolicy
from gac.compilation import float32_products
from gac.config import Config
from gac.data.blocks import LARGEST, usable
from gac.data.scale import never_varies
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_text, write_tree
from gac.inference.elites import Elites, elites, short_of
from gac.inference.loop import Info
from gac.inference.queries import Exploit, Query, Target
from gac.inference.solve import either, solve
from gac.inference.trust_region import Logged
from gac.json_fields import read_text
from gac.model.generator import PlanMemory
from gac.model.joint import GAC, Phi
from gac.records import DataFacts, read_facts

MODEL_SCHEMA = "6"
GUIDANCE = 1.0
"""Weight of guidance where the data's episodes begin anywhere, all of one length (docs/research.md)."""
GUIDANCE_ON_WAYS = 8.0
"""The same where their lengths differ: the rest of an episode is then one of its own, and a plan its end."""
ANYWHERE = 0.5
"""Spread of the first observations, as a share of that of all, from which on episodes begin anywhere."""


class Plan(NamedTuple):
    """Plans for a batch of first observations, fixed until the next query."""

    memory: list[PlanMemory]
    """z_traj as the generator's layers read it."""
    predicted_returns: Float[ndarray, "batch"]
    """mu_gamma(z_y), raw and undiscounted; the mean of what several plans promise that act together."""
    epsilon: Float[Array, "batch n_z dim"]
    """The base noise that was inferred."""
    info: Info | None
    """Diagnostics of the query; None where nothing was optimised."""
    trace: Float[ndarray, "steps"]
    """Mean predicted return of the plans at each step of the query, raw."""
    single: bool
    """Whether one observation was given rather than a batch."""
    phi: Phi | None
    """q_phi(epsilon), the optimum of the query; None where nothing was optimised."""
    query: Query
    """What was asked; a new plan within the episode asks the same."""
    seeds: UInt32[ndarray, "batch"]
    """Of the draws of this plan and of such new ones, one per row."""
    guidance: Float[ndarray, "batch"]
    """Weight w of the guidance that each is acted out with."""
    together: list[PlanMemory] | None
    """Plans that act by their mean action, leaves `(batch, plans, ...)`; None where the one above acts."""


class Agent:
    """Plans by inference queries, then acts.

    Args:
        model: theta, the averaged weights.
        logged: plans q(epsilon | tau) of logged episodes, near the best of which exploit stays.
        standardiser: the units of the training data.
        config: the run's configuration.
        facts: the run's data set.
        calibration: what held-out episodes showed the trigger of replanning; None until `gac.calibrate`.
        run: the folder that training wrote beside this agent, to go on from; None where there is none.
    """

    def __init__(
        self,
        model: GAC,
        logged: Logged,
        standardiser: Standardiser,
        config: Config,
        facts: DataFacts,
        calibration: Calibration | None = None,
        run: Path | None = None,
    ) -> None:
        self.model, self.logged, self.standardiser = model, logged, standardiser
        self.config, self.facts = config, facts
        self.calibration, self.run = calibration, run

    @property
    def env_id(self) -> str | None:
        """Gymnasium id of the environment that the data came from, where it is known."""
        return self.facts.env_id

    @property
    def observation_dim(self) -> int:
        """Length of an observation."""
        return len(self.standardiser.observation_mean)

    @property
    def action_dim(self) -> int:
        """Length of an action."""
        return len(self.standardiser.action_middle)

    def plan(self, observation: Any, query: Query | None = None, seed: int = 0) -> Plan:
        """Infer plans for one first observation or a batch of them.

        Args:
            observation: `(obs,)` or `(batch, obs)`, raw.
            query: `Exploit()` unless given.
            seed: of the draws of the query; row i has those of `seed + i`, whatever else is in the batch.

        Raises:
            UserError: an observation of another size, or one not finite or beyond 1e19; a `Target` with
                another number of returns, or of weights, than observations.
        """
        given = np.asarray(observation, np.float64)
        single = given.ndim == 1
        given = given[None] if single else given
        if given.ndim != 2 or given.shape[1] != self.observation_dim:
            raise UserError(
                f"observation has shape {np.shape(observation)}, expected (..., {self.observation_dim})"
            )
        if not usable(given).all():
            raise UserError(
                f"observation holds NaN or infinity or more than {LARGEST:g}; expected smaller numbers"
            )
        s0 = self._standardised(given)
        query = query or Exploit()
        returns, target = self._units_of(query, len(given))
        seeds = ((seed + np.arange(len(given))) % 2**32).astype(np.uint32)
        keys = _keys(jnp.asarray(seeds), jnp.zeros(len(given), jnp.uint32))
        epsilon, phi, info = solve(self.model, s0, query, self.logged, returns, target, keys)
        predicted, memory = _read_out(self.model, s0, epsilon)
        weight = self.usual_guidance if query.guidance is None else query.guidance
        guidance = _for_each("guidance", weight, len(given))
        raw = self.standardiser.raw_return
        trace = raw(np.zeros(0, np.float32) if info is None else info.mean_trace())
        promised = raw(np.asarray(predicted))
        plan = Plan(memory, promised, epsilon, info, trace, single, phi, query, seeds, guidance, None)
        most = float(guidance.max(initial=0.0))
        if isinstance(query, Exploit) and (query.plans or self.usual_plans(most)) == "several":
            short = np.asarray(self._short(query, s0, returns))
            if short.any():
                return self.by_several(plan, given, short)
        return plan

    def by_several(
        self, plan: Plan, observation: Float[ndarray, "batch obs"], rows: Bool[ndarray, "batch"]
    ) -> Plan:
        """A plan in some rows of which exploit's several act; in the others the one does, as so many alike.

        Args:
            plan: of these first observations.
            observation: raw.
            rows: where several act.
        """
        s0 = self._standardised(observation)
        keys = _keys(jnp.asarray(plan.seeds), jnp.zeros(len(plan.seeds), jnp.uint32))
        predicted, together = _together(self.model, s0, self.logged, keys, plan.epsilon, jnp.asarray(rows))
        promised = self.standardiser.raw_return(np.asarray(predicted))
        return plan._replace(predicted_returns=promised, together=together)

    def policy(self, plan: Plan, replan: Replan | None = None) -> Policy | ReplanningPolicy:
        """The policy p_beta(a_t | context, z_traj) of a plan, with an empty context.

        Args:
            plan: of the episodes' first observations.
            replan: when to infer a new plan within an episode, by the same query at the state then; never
                unless given. Of an exploit query it is taken only if it promises more than the present one.

        Raises:
            UserError: a trigger, and the agent is not calibrated, or not for so low a rate.
        """
        guide = self._guide(plan.guidance)
        first = Plans(plan.epsilon, plan.memory, plan.together)
        if replan is None or isinstance(replan, Never):
            acting = first.acting(self.model, self.standardiser, guide)
            return Policy(acting, self.config.model.context, plan.single)
        returns, target = self._units_of(plan.query, len(plan.seeds))

        def infer(
            state: Float[Array, "group obs"], rows: Int[ndarray, "group"], number: Int[ndarray, "group"]
        ) -> Plans:
            keys = _keys(jnp.asarray(plan.seeds[rows]), jnp.asarray(number, jnp.uint32))
            epsilon, _, _ = solve(self.model, state, plan.query, self.logged, returns, target[rows], keys)
            together = None
            if plan.together is not None and isinstance(plan.query, Exploit):
                short = self._short(plan.query, state, returns)
                _, together = _together(self.model, state, self.logged, keys, epsilon, short)
            return Plans(epsilon, _read_out(self.model, state, epsilon)[1], together)

        return ReplanningPolicy(
            self.model,
            self.standardiser,
            first,
            infer,
            replan,
            self.calibration,
            plan.single,
            choosy=isinstance(plan.query, Exploit),
            guide=guide,
        )

    @property
    def usual_guidance(self) -> float:
        """Guidance of a query that names none: 0 unless the data's episodes begin anywhere.

        And 0 after fine-tuning: who has learned from guided episodes acts as they do.
        """
        if self.facts.collected:
            return 0.0
        if not self.begins_anywhere:
            return 0.0
        return GUIDANCE_ON_WAYS if self._rests_are_episodes else GUIDANCE

    def usual_plans(self, guidance: float = 0.0) -> str:
        """Plans that an exploit query acts by which names none: several unless episodes begin anywhere.

        What plans tell apart there is where to go, and the mean of two ways is none. One plan is guided. And
        one acts from where a logged plan returns about as much as was logged at best (`short_of`).

        Args:
            guidance: its weight.
        """
        return "one" if guidance > 0.0 or self.begins_anywhere else "several"

    @property
    def begins_anywhere(self) -> bool:
        """Whether each dimension varies over first observations at least half as much as over all."""
        std, first = self.standardiser.observation_std, np.asarray(self.facts.first_std)
        moves = ~never_varies(self.facts.first_lowest, self.facts.first_highest)
        # A dimension that is the same in all the data has 1 for its standard deviation.
        varies = moves | (std != 1.0) if len(first) else np.zeros(0, bool)
        return bool(varies.any() and (first[varies] >= ANYWHERE * std[varies]).all())

    @property
    def _rests_are_episodes(self) -> bool:
        """Whether what is left of an episode may be one of the data's: if all are of one length, none is."""
        return len(set(self.facts.lengths[: self.facts.episodes - self.facts.collected])) > 1

    def acts_by_several(self, observation: Float[ndarray, "batch obs"]) -> Bool[ndarray, "batch"]:
        """From which first observations `exploit` acts by several plans together.

        Args:
            observation: first observations, raw.
        """
        if self.usual_plans(self.usual_guidance) == "one":
            return np.zeros(len(observation), bool)
        s0 = self._standardised(observation)
        query = Exploit()
        return np.asarray(self._short(query, s0, self._units_of(query, len(observation))[0]))

    def _short(
        self, query: Exploit, s0: Float[Array, "batch obs"], returns: Float[ndarray, "episodes"]
    ) -> Bool[Array, "batch"]:
        """From which states several plans act; all, where the query says so."""
        ceiling = jnp.float32(np.inf if query.plans == "several" else returns.max())
        collected = returns[len(returns) - self.facts.collected :]
        played = jnp.float32(np.median(collected) if len(collected) else -np.inf)
        return _short_of(self.model, s0, self.logged, ceiling, played)

    def _guide(self, weight: Float[ndarray, "batch"]) -> Guide | None:
        """What plans are guided by; None where none is guided."""
        if not weight.any():
            return None
        if not self._rests_are_episodes:
            nowhere = jnp.full(self.observation_dim, jnp.inf)
            return Guide.new(weight, self.config.model, nowhere, -nowhere)
        span = (self.facts.first_lowest, self.facts.first_highest)
        return Guide.new(weight, self.config.model, *(self._standardised(each) for each in span))

    def _standardised(self, observation: Any) -> Float[Array, "*batch obs"]:
        """Raw observations as the model takes them."""
        own = self.standardiser
        return jnp.asarray(own.standardise_observation(own.less(observation)))

    def _units_of(
        self, query: Query, count: int
    ) -> tuple[Float[ndarray, "episodes"], Float[ndarray, "count"]]:
        """Returns of the data, and the return that a target query aims at with each plan, standardised."""
        units, exact = self.standardiser.standardise_return, self.standardiser.return_mean.dtype
        y_star = _for_each("y_star", query.y_star if isinstance(query, Target) else math.nan, count, exact)
        return units(np.asarray(self.facts.returns, exact)), units(y_star)

    def save(self, folder: str | Path) -> None:
        """Write config.json, data.json and model.safetensors: enough to act without the data.

        A calibrated agent also writes calibration.json.
        """
        folder = Path(folder)
        write_text(folder / "config.json", self.config.to_json())
        write_text(folder / "data.json", self.facts.to_json())
        sizes = self.standardiser.sizes | {"logged": len(self.logged.residual)}
        arrays = (eqx.filter(self.model, eqx.is_array), self.standardiser, self.logged)
        metadata = {"schema_version": MODEL_SCHEMA, "sizes": json.dumps(sizes)}
        write_tree(folder / "model.safetensors", arrays, metadata)
        if self.calibration is not None:
            self.calibration.save(folder)


def _for_each(
    name: str, value: float | tuple[float, ...], count: int, dtype: Any = np.float32
) -> Float[ndarray, "count"]:
    """One value for each first observation of a batch."""
    values = np.asarray(value, dtype)
    if values.shape not in ((), (count,)):
        raise UserError(f"{name} has {len(values)} values, expected one, or one for each of {count}")
    return np.broadcast_to(values, count)


def load(folder: str | Path) -> Agent:
    """Read what `Agent.save` or a training run wrote.

    Raises:
        UserError: no run there, a newer schema, a truncated or foreign file.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no run (no config.json); give the folder that gac train --out wrote")
    config = Config.from_json(read_text(folder / "config.json"), str(folder / "config.json"))
    path = folder / "model.safetensors"
    metadata = read_metadata(path)
    if metadata.get("schema_version") != MODEL_SCHEMA or "sizes" not in metadata:
        raise UserError(
            f"{path} has schema {metadata.get('schema_version')}, this gac reads {MODEL_SCHEMA}; train again"
        )
    sizes = json.loads(metadata["sizes"])
    logged = sizes.pop("logged")
    units = Standardiser.empty(**sizes)
    like = eqx.filter_eval_shape(_skeleton, config, sizes["observation_dim"], sizes["action_dim"], logged)
    static = eqx.filter(like[0], lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True)
    weights, standardiser, logged = read_tree(path, (like[0], units, like[1]))
    model, facts = eqx.combine(weights, static), read_facts(folder / "data.json")
    return Agent(model, logged, standardiser, config, facts, read_calibration(folder, model), run=folder)


def _skeleton(config: Config, observation_dim: int, action_dim: int, logged: int) -> tuple[GAC, Logged]:
    """The weights and plans of a model file of these sizes."""
    model = GAC(config.model, observation_dim, action_dim, jax.random.key(0))
    return model, Logged.unknown(logged, config.model)


@eqx.filter_jit
def _read_out(
    model: GAC, s0: Float[Array, "batch obs"], epsilon: Float[Array, "batch n_z dim"]
) -> tuple[Float[Array, "batch"], list[PlanMemory]]:
    """Predicted returns, and the plans as the generator reads them."""
    with float32_products():
        z_y, z_traj = model.prior(s0, epsilon)
        return model.critic.mean(z_y), model.generator.remember(z_traj)


_short_of = eqx.filter_jit(short_of)


@eqx.filter_jit
def _together(
    model: GAC,
    s0: Float[Array, "batch obs"],
    logged: Logged,
    keys: Key[Array, "batch"],
    epsilon: Float[Array, "batch n_z dim"],
    several: Bool[Array, "batch"],
) -> tuple[Float[Array, "batch"], list[PlanMemory]]:
    """What several plans promise in the mean, and these as the generator reads them.

    Rows that are not for several have the one plan of `epsilon` so many times.
    """
    with float32_products():
        found = elites(model, s0, logged, keys)
        batch, plans = found.promise.shape
        own = Elites(
            jnp.broadcast_to(epsilon[:, None], found.epsilon.shape),
            jnp.broadcast_to(model.predicted_return(s0, epsilon)[:, None], found.promise.shape),
        )
        epsilon, promise = either(several, found, own)
        _, z_traj = model.prior(jnp.repeat(s0, plans, axis=0), epsilon.reshape(-1, *epsilon.shape[2:]))
        memory = model.generator.remember(z_traj)
        return jnp.mean(promise, axis=1), jax.tree.map(
            lambda leaf: leaf.reshape(batch, plans, *leaf.shape[1:]), memory
        )


@jax.jit
def _keys(seeds: UInt32[Array, "group"], number: UInt32[Array, "group"]) -> Key[Array, "group"]:
    """The key of each row's n-th plan, the first being that of the first observation."""
    return jax.vmap(lambda seed, n: jax.random.fold_in(jax.random.fold_in(jax.random.key(0), seed), n))(
        seeds, number
    )
