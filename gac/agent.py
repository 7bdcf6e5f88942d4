"""The agent: a trained model with everything that planning and acting need."""

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

from gac.acting.calibration import Calibration, read_calibration
from gac.acting.plans import Plans, read
from gac.acting.policy import Acting, Policy
from gac.acting.replan import Never, Replan
from gac.acting.replanning import ReplanningPolicy
from gac.compilation import float32_products
from gac.config import Config
from gac.data.blocks import LARGEST, usable
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_text, write_tree
from gac.inference.added.logged import LoggedPlans, unknown
from gac.inference.loop import Info
from gac.inference.queries import Exploit, Query, Target
from gac.inference.solve import solve
from gac.json_fields import read_text
from gac.masks import unmasked
from gac.model.added.critics import Critics, has_critics
from gac.model.joint import GAC, Phi
from gac.records import DataFacts, no_run, read_facts
from gac.trained import Trained

MODEL_SCHEMA = "9"


class Plan(NamedTuple):
    """Plans for a batch of first observations, fixed until the next query."""

    plans: Plans
    """What acts in each row."""
    predicted_returns: Float[ndarray, "batch"]
    """Expected return of each plan, raw and undiscounted."""
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

    @property
    def epsilon(self) -> Float[Array, "batch n_z dim"]:
        """The base noise that was inferred."""
        return self.plans.epsilon


class Agent(Trained):
    """Plans by inference queries, then acts.

    Args:
        model: theta, the averaged weights.
        logged: logged plans, which exploit chooses among; none where it does not.
        standardiser: the units of the training data.
        config: the run's configuration.
        facts: the run's data set.
        calibration: what held-out episodes showed the trigger of replanning; None until `gac.calibrate`.
        run: the folder that training wrote beside this agent, to go on from; None where there is none.
    """

    def __init__(
        self,
        model: GAC,
        logged: LoggedPlans,
        standardiser: Standardiser,
        config: Config,
        facts: DataFacts,
        calibration: Calibration | None = None,
        run: Path | None = None,
    ) -> None:
        self.model, self.logged, self.standardiser = model, logged, standardiser
        self.config, self.facts = config, facts
        self.calibration, self.run = calibration, run

    def plan(self, observation: Any, query: Query | None = None, seed: int = 0) -> Plan:
        """Infer plans for one first observation or a batch of them.

        Args:
            observation: `(obs,)` or `(batch, obs)`, raw.
            query: `Exploit()` unless given.
            seed: of the draws of the query; row i has those of `seed + i`, whatever else is in the batch.

        Raises:
            UserError: an observation of another size, or one masked, not finite or beyond 1e19; a `Target`
                with another number of returns than observations.
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
        query = query or Exploit()
        returns, target = self._units_of(query, len(given))
        seeds = ((seed + np.arange(len(given))) % 2**32).astype(np.uint32)
        keys = _keys(jnp.asarray(seeds), jnp.zeros(len(given), jnp.uint32))
        found = solve(self.model, s0, query, self.logged, returns, target, keys, self.config)
        plans, predicted = _read(self.model, s0, found.epsilon)
        predicted = predicted if found.value is None else found.value
        raw = self.standardiser.raw_return
        trace = raw(np.zeros(0, np.float32) if found.info is None else found.info.mean_trace())
        return Plan(plans, raw(np.asarray(predicted)), found.info, trace, single, found.phi, query, seeds)

    def policy(self, plan: Plan, replan: Replan | None = None) -> Policy | ReplanningPolicy:
        """The policy p_beta(a_t | context, z_traj) of a plan, with an empty context.

        Args:
            plan: of the episodes' first observations.
            replan: when to infer a new plan within an episode, by the same query at the state then; never
                unless given. Of an exploit query it is taken only if it promises more than the present one.

        Raises:
            UserError: a trigger, and the agent is not calibrated, or not for so low a rate.
        """
        if replan is None or isinstance(replan, Never):
            acting = Acting(self.model.generator, self.standardiser, plan.plans)
            return Policy(acting, self.config.model.context, plan.single)
        returns, target = self._units_of(plan.query, len(plan.seeds))

        def infer(
            state: Float[Array, "group obs"], rows: Int[ndarray, "group"], number: Int[ndarray, "group"]
        ) -> Plans:
            keys = _keys(jnp.asarray(plan.seeds[rows]), jnp.asarray(number, jnp.uint32))
            found = solve(
                self.model, state, plan.query, self.logged, returns, target[rows], keys, self.config
            )
            return _read(self.model, state, found.epsilon)[0]

        return ReplanningPolicy(
            self.model,
            self.standardiser,
            plan.plans,
            infer,
            replan,
            self.calibration,
            plan.single,
            choosy=isinstance(plan.query, Exploit),
        )

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
        sizes = self.standardiser.sizes | {"logged": len(self.logged)}
        arrays = (eqx.filter(self.model, eqx.is_array), self.standardiser, self.logged)
        metadata = {"schema_version": MODEL_SCHEMA, "sizes": json.dumps(sizes)}
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
    return Agent(model, logged, standardiser, config, facts, read_calibration(folder, model), run=folder)


def _skeleton(config: Config, observation_dim: int, action_dim: int, logged: int) -> tuple[GAC, LoggedPlans]:
    """The weights and plans of a model file of these sizes."""
    model = GAC(config.model, config.added, observation_dim, action_dim, jax.random.key(0))
    if has_critics(config.added):
        model = model.judged_by(Critics(config, jax.random.key(0)))
    return model, unknown(logged, config.model)


@eqx.filter_jit
def _read(
    model: GAC, s0: Float[Array, "batch obs"], epsilon: Float[Array, "batch n_z dim"]
) -> tuple[Plans, Float[Array, "batch"]]:
    with float32_products():
        return read(model, s0, epsilon)


@jax.jit
def _keys(seeds: UInt32[Array, "group"], number: UInt32[Array, "group"]) -> Key[Array, "group"]:
    """The key of each row's n-th plan, the first being that of the first observation."""
    return jax.vmap(lambda seed, n: jax.random.fold_in(jax.random.fold_in(jax.random.key(0), seed), n))(
        seeds, number
    )
