"""Batches shared out to several devices: each infers and learns from trajectories of its own.

Data, posteriors and weights are whole on every device, and the compiler derives the rest from where the
indices of a batch lie: local inference needs nothing from another device but the word that all have
converged, a global step sums the gradients.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gac.compilation import cores, large_products
from gac.data.memory import memory_in_all

BATCH = "batch"
"""Name of the axis, in the mesh of devices."""
MOST_ON_CPU = 4
"""Devices that a CPU is seen as. A batch of 100 on more would leave each little beside what a step costs."""

Tree = TypeVar("Tree")


def one_device_per_core() -> None:
    """Have JAX see a CPU as one device per core, up to MOST_ON_CPU.

    XLA runs the small operations of a step on one core; on two devices two such steps run side by side. For
    programs, not for libraries: it sets an option of JAX. A number that is set already stays
    (`jax_num_cpu_devices`, or XLA's own flag), and so do the devices of a process in which JAX has started.
    """
    given = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if given or jax.config.jax_num_cpu_devices != -1:  # type: ignore[attr-defined]
        return
    # JAX refuses once it has started.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(cores(), MOST_ON_CPU))  # type: ignore[no-untyped-call]


def usable(batch_size: int, devices: int) -> int:
    """The most devices that a batch can be shared out to evenly."""
    return max(count for count in range(1, max(devices, 1) + 1) if batch_size % count == 0)


def mesh_for(batch_size: int, copied_bytes: int = 0) -> Mesh | None:
    """JAX's devices, as many as a batch can be shared out to evenly; None where that is one.

    Args:
        batch_size: trajectories of an update.
        copied_bytes: what every device will hold. Those of a CPU share its memory, of which copies take a
            quarter at most.
    """
    devices = jax.local_devices()
    most = len(devices)
    if devices[0].platform == "cpu" and copied_bytes:
        most = min(most, memory_in_all() // (4 * copied_bytes))
    count = usable(batch_size, most)
    return Mesh(np.array(devices[:count]), (BATCH,)) if count > 1 else None


def share_out(tree: Tree, mesh: Mesh | None) -> Tree:
    """Within a program: give each device its part of arrays that begin with the axis of the batch.

    A number of rows that the devices do not divide stays whole on each.
    """
    if mesh is None:
        return tree

    def shared(leaf: jax.Array) -> jax.Array:
        if leaf.shape[0] % mesh.size:
            return leaf
        part: jax.Array = jax.lax.with_sharding_constraint(  # type: ignore[no-untyped-call]
            leaf, _sharding(mesh, BATCH)
        )
        return part

    return jax.tree.map(shared, tree)  # type: ignore[no-any-return]


def everywhere(program: Callable[..., Any], mesh: Mesh | None) -> Any:
    """`jax.jit` of a program of training whose arguments and results are whole on every device."""
    if mesh is None:
        return jax.jit(program, compiler_options=large_products())
    whole = _sharding(mesh)
    return jax.jit(program, in_shardings=whole, out_shardings=whole, compiler_options=large_products())


def copied(tree: Tree, mesh: Mesh | None) -> Tree:
    """The arrays, whole on every device."""
    return tree if mesh is None else jax.device_put(tree, _sharding(mesh))


def on_first(tree: Tree) -> Tree:
    """The arrays, which are whole on every device, on the first alone."""

    def first(leaf: jax.Array) -> jax.Array:
        own: jax.Array
        if leaf.is_fully_replicated:
            own = leaf.addressable_data(0)
        else:
            own = jax.device_put(leaf, jax.local_devices()[0])
        return own

    return jax.tree.map(first, tree)  # type: ignore[no-any-return]


def _sharding(mesh: Mesh, *axes: str) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*axes))  # type: ignore[no-untyped-call]
