"""The agent: a trained model with everything that planning and acting need."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32
from numpy import ndarray

from gac.acting.acts import Acts
from gac.acting.calibration import Calibration, read_calibration
from gac.acting.guidance import Reread, guided
from gac.acting.plans import Plans, equal_weights
from gac.acting.policy import Acting, Policy, remember
from gac.acting.replan import Never, Replan
from gac.acting.replanning import ReplanningPolicy
from gac.compilation import float32_products
from gac.config import Config
from gac.data.blocks import LARGEST, usable
from gac.data.standardise import Standardiser
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_text, write_tree
from gac.inference.elites import elites
from gac.inference.loop import Info
from gac.inference.queries import Exploit, Query, Target
from gac.inference.solve import solve
from gac.inference.trust_region import Logged
from gac.json_fields import read_text
from gac.masks import unmasked
from gac.model.joint import GAC, Phi
from gac.records import DataFacts, no_run, read_facts

MODEL_SCHEMA = "7"


class Plan(NamedTuple):
    """Plans for a batch of first observations, fixed until the next query."""

    plans: Plans
    """A weighted set of base noises for each row: what acts."""
    predicted_returns: Float[ndarray, "batch"]
    """mu_gamma(z_y), raw and undiscounted; of several plans that act by their mean action, the mean."""
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
    """Guidance weight w of each row."""

    @property
    def epsilon(self) -> Float[Array, "batch n_z dim"]:
        """The base noise that was inferred; of several, the best."""
        return self.plans.first


class Agent:
    """Plans by inference queries, then acts.

    Args:
        model: theta, the averaged weights.
        logged: plans q(epsilon | tau) of logged episodes, near the best of which exploit stays.
        standardiser: the units of the training data.
        config: the run's configuration.
        facts: the run's data set.
        acts: what acts where a query does not say; one plan as it is unless given.
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
        acts: Acts | None = None,
        calibration: Calibration | None = None,
        run: Path | None = None,
    ) -> None:
        self.model, self.logged, self.standardiser = model, logged, standardiser
        self.config, self.facts, self.acts = config, facts, acts or Acts()
        self.calibration, self.run = calibration, run

    @property
    def env_id(self) -> str | None:
        """Gymnasium id of the environment that the data came from, where it is known."""
        return self.facts.env_id

    @property
    def environment(self) -> Environment | None:
        """The same with all that it was made with."""
        return Environment.of(self.facts)

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
            UserError: an observation of another size, or one masked, not finite or beyond 1e19; a `Target`
                with another number of returns, or of weights, than observations.
        """
        given = np.asarray(unmasked(observation, "observation"), np.float64)
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
        query = self.resolved(query or Exploit())
        returns, target = self._units_of(query, len(given))
        seeds = ((seed + np.arange(len(given))) % 2**32).astype(np.uint32)
        keys = _keys(jnp.asarray(seeds), jnp.zeros(len(given), jnp.uint32))
        guidance = _for_each("guidance", query.guidance or 0.0, len(given))
        plans, predicted, phi, info = self._infer(
            query, s0, returns, target, keys, guidance if guidance.any() else None
        )
        raw = self.standardiser.raw_return
        trace = raw(np.zeros(0, np.float32) if info is None else info.mean_trace())
        return Plan(plans, raw(np.asarray(predicted)), info, trace, single, phi, query, seeds, guidance)

    def _infer(
        self,
        query: Query,
        s0: Float[Array, "batch obs"],
        returns: Float[ndarray, "episodes"],
        target: Float[ndarray, "batch"],
        keys: Key[Array, "batch"],
        guidance: Float[ndarray, "batch"] | None,
    ) -> tuple[Plans, Float[Array, "batch"], Phi | None, Info | None]:
        """What acts under a query, its predicted return, and the query's q and diagnostics."""
        count = query.plans if isinstance(query, Exploit) else 1
        if count is not None and count > 1:
            return *_several(self.model, s0, self.logged, keys, count), None, None
        epsilon, phi, info = solve(self.model, s0, query, self.logged, returns, target, keys, self.config)
        return *_read_out(self.model, s0, epsilon, guidance), phi, info

    def resolved(self, query: Query) -> Query:
        """The query with what the run decided in place of what it leaves open."""
        if isinstance(query, Exploit):
            guided = (
                self.acts.guidance if query.guidance is None and (query.plans or 1) == 1 else query.guidance
            )
            return Exploit(
                self.config.added.kl_weight if query.kl_weight is None else query.kl_weight,
                guided or 0.0,
                query.plans or (1 if guided else self.acts.plans),
            )
        if query.guidance is None:
            return dataclasses.replace(query, guidance=self.acts.guidance)
        return query

    def policy(self, plan: Plan, replan: Replan | None = None) -> Policy | ReplanningPolicy:
        """The policy p_beta(a_t | context, z_traj) of a plan, with an empty context.

        Args:
            plan: of the episodes' first observations.
            replan: when to infer a new plan within an episode, by the same query at the state then; never
                unless given. Of an exploit query it is taken only if it promises more than the present one.

        Raises:
            UserError: a trigger, and the agent is not calibrated, or not for so low a rate.
        """
        reread = self._reread() if plan.guidance.any() else None
        if replan is None or isinstance(replan, Never):
            acting = Acting(self.model.generator, self.standardiser, plan.plans, reread)
            return Policy(acting, self.config.model.context, plan.single)
        returns, target = self._units_of(plan.query, len(plan.seeds))

        def infer(
            state: Float[Array, "group obs"], rows: Int[ndarray, "group"], number: Int[ndarray, "group"]
        ) -> Plans:
            keys = _keys(jnp.asarray(plan.seeds[rows]), jnp.asarray(number, jnp.uint32))
            # Guided where any row of the batch is, so that all rows have as many base noises.
            guidance = plan.guidance[rows] if plan.guidance.any() else None
            return self._infer(plan.query, state, returns, target[rows], keys, guidance)[0]

        return ReplanningPolicy(
            self.model,
            self.standardiser,
            plan.plans,
            infer,
            replan,
            self.calibration,
            plan.single,
            choosy=isinstance(plan.query, Exploit),
            reread=reread,
        )

    def _reread(self) -> Reread | None:
        """How guided plans are read again within an episode; None where they are not."""
        if not self.acts.rereads:
            return None
        span = self.facts.first_lowest, self.facts.first_highest
        return Reread(self.model.prior, *(self._standardised(each) for each in span))

    def _standardised(self, observation: Any) -> Float[Array, "*batch obs"]:
        """Raw observations as the model takes them."""
        own = self.standardiser
        return jnp.asarray(own.standardise_observation(own.less(observation)))

    def _units_of(
        self, query: Query, count: int
    ) -> tuple[Float[ndarray, "episodes"], Float[ndarray, "count"]]:
        """Returns of the data, and the return that a target query aims at with each plan, standardised."""
        units, exact = self.standardiser.standardise_return, self.standardiser.return_mean.dtype
        y_star = _for_each("y_star", math.nan, count, exact)
        if isinstance(query, Target):
            self.standardiser.check_aim(query.y_star)
            y_star = _for_each("y_star", query.y_star, count, exact)
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
        acts = json.dumps(dataclasses.asdict(self.acts))
        metadata = {"schema_version": MODEL_SCHEMA, "sizes": json.dumps(sizes), "acts": acts}
        write_tree(folder / "model.safetensors", arrays, metadata)
        if self.calibration is not None:
            self.calibration.save(folder)


def _for_each(
    name: str, value: float | tuple[float, ...], count: int, dtype: Any = np.float32
) -> Float[ndarray, "count"]:
    """One value for each first observation of a batch."""
    values = np.asarray(unmasked(value, name), dtype)
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
        raise no_run(folder)
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
    acts = Acts(**json.loads(metadata["acts"]))
    return Agent(
        model, logged, standardiser, config, facts, acts, read_calibration(folder, model), run=folder
    )


def _skeleton(config: Config, observation_dim: int, action_dim: int, logged: int) -> tuple[GAC, Logged]:
    """The weights and plans of a model file of these sizes."""
    model = GAC(config.model, config.added, observation_dim, action_dim, jax.random.key(0))
    return model, Logged.unknown(logged, config.model)


@eqx.filter_jit
def _read_out(
    model: GAC,
    s0: Float[Array, "batch obs"],
    epsilon: Float[Array, "batch n_z dim"],
    guidance: Float[ndarray | Array, "batch"] | None,
) -> tuple[Plans, Float[Array, "batch"]]:
    """One plan for each row, guided where a weight is given, and its predicted return."""
    with float32_products():
        noises, weight = epsilon[:, None], jnp.ones((len(epsilon), 1))
        if guidance is not None:
            noises, weight = guided(epsilon, guidance)
        z_y, memory = remember(model.prior, model.generator, s0, noises)
        return Plans(noises, weight, memory), model.critic.mean(z_y[:, 0])


@eqx.filter_jit
def _several(
    model: GAC, s0: Float[Array, "batch obs"], logged: Logged, keys: Key[Array, "batch"], count: int
) -> tuple[Plans, Float[Array, "batch"]]:
    """So many plans for each row, of equal weight, and the mean of their predicted returns."""
    with float32_products():
        found = elites(model, s0, logged, keys, count)
        memory = remember(model.prior, model.generator, s0, found.epsilon)[1]
        plans = Plans(found.epsilon, equal_weights(found.epsilon), memory)
        return plans, jnp.mean(found.promise, axis=1)


@jax.jit
def _keys(seeds: UInt32[Array, "group"], number: UInt32[Array, "group"]) -> Key[Array, "group"]:
    """The key of each row's n-th plan, the first being that of the first observation."""
    return jax.vmap(lambda seed, n: jax.random.fold_in(jax.random.fold_in(jax.random.key(0), seed), n))(
        seeds, number
    )
