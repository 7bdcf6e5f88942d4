"""The stored posteriors of all episodes, cut by trajectory over the devices of a mesh.

A bank of N episodes has N rows, and on several devices a few empty ones behind them, so that each device
holds as many. What a batch needs of it is looked up where it lies and added up: every row comes from one
device, the others give zeros, so the sum is that row to the bit.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int

from gac.model.joint import Phi
from gac.training.scale.devices import BATCH, CUT, WHOLE, copied


def room(num_episodes: int, mesh: Mesh | None) -> int:
    """Rows of a bank of so many episodes: the devices divide them."""
    return num_episodes if mesh is None else -(-num_episodes // mesh.size) * mesh.size


def filled(bank: Phi, rows: int) -> Phi:
    """The bank with empty rows, at the prior, behind its own: so many in all."""
    more = rows - len(bank.mu)
    if not more:
        return bank
    return Phi(*(jnp.pad(leaf, ((0, more), (0, 0), (0, 0))) for leaf in bank))


def gathered(bank: Phi, rows: int, mesh: Mesh | None) -> Phi:
    """The first rows of a bank in one piece: on the host, where it was cut. All processes take part."""
    if mesh is None:
        return bank

    def joined(leaf: Array) -> np.ndarray:
        if jax.process_count() > 1:  # One may look into the memory of its own devices alone.
            leaf = copied(leaf, mesh)
        return np.asarray(leaf)[:rows]

    return Phi(*(joined(leaf) for leaf in bank))  # type: ignore[arg-type]


def take(bank: Phi, index: Int[Array, "batch"], mesh: Mesh | None) -> Phi:
    """The posteriors at `index`, each where its trajectory of the batch is; within a program.

    Args:
        mesh: the devices that the bank is cut over; None for a bank in one piece.
    """
    if mesh is None:
        return Phi(*(leaf[index] for leaf in bank))
    evenly = index.shape[0] % mesh.size == 0

    def looked_up(part: Phi, index: Int[Array, "batch"]) -> Phi:
        place, own = _own(part, index)
        found = jnp.stack([leaf[jnp.where(own, place, 0)] for leaf in part], axis=1)
        # In one piece, as in `gac.training.scale.devices.gather`.
        summed = add_up(jnp.where(own[:, None, None, None], found, 0.0), BATCH)  # type: ignore[no-untyped-call]
        return Phi(*jnp.moveaxis(summed, 1, 0))

    add_up = functools.partial(jax.lax.psum_scatter, tiled=True) if evenly else jax.lax.psum

    return _on_parts(looked_up, mesh, (CUT, WHOLE), CUT if evenly else WHOLE)(bank, index)


def put(bank: Phi, index: Int[Array, "batch"], rows: Phi, mesh: Mesh | None) -> Phi:
    """The bank with other posteriors at `index`, which names no row twice; within a program."""
    if mesh is None:
        return Phi(*(leaf.at[index].set(new) for leaf, new in zip(bank, rows, strict=True)))

    def written(part: Phi, index: Int[Array, "batch"], rows: Phi) -> Phi:
        place, own = _own(part, index)
        place = jnp.where(own, place, len(part.mu))  # outside: dropped
        pairs = zip(part, rows, strict=True)
        return Phi(*(leaf.at[place].set(new, mode="drop") for leaf, new in pairs))

    return _on_parts(written, mesh, (CUT, WHOLE, WHOLE), CUT)(bank, index, rows)


def _own(part: Phi, index: Int[Array, "batch"]) -> tuple[Int[Array, "batch"], Bool[Array, "batch"]]:
    """Places in this device's part of the bank, and which of them are there."""
    count = len(part.mu)
    place = index - jax.lax.axis_index(BATCH) * count
    return place, (place >= 0) & (place < count)


def _on_parts(program: Callable[..., Phi], mesh: Mesh, taken: Any, given: Any) -> Callable[..., Phi]:
    return jax.shard_map(program, mesh=mesh, in_specs=taken, out_specs=given)
