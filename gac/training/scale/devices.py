"""Batches shared out to several devices: each infers and learns from trajectories of its own.

Data and weights are whole on every device, stored posteriors are cut by trajectory (`bank.py`), and the
compiler derives the rest from where the indices of a batch lie: local inference needs nothing from another
device but the word that all have converged, a global step sums the gradients. The devices may belong to
several processes (`gac.training.scale.processes`)."""

import contextlib
import operator
import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gac.compilation import cores, large_products
from gac.data.memory import memory_in_all
from gac.errors import UserError
from gac.training.scale.processes import least

BATCH = "batch"
"""Name of the axis, in the mesh of devices."""
WHOLE, CUT = PartitionSpec(), PartitionSpec(BATCH)  # type: ignore[no-untyped-call]
"""Where an array of a program lies: whole on every device, or cut along its first axis."""
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


def usable(batch_size: int, devices: int, processes: int = 1) -> int:
    """The most devices of each process that a batch can be shared out to evenly; 0 where there are none."""
    return max(
        (count for count in range(1, max(devices, 1) + 1) if batch_size % (count * processes) == 0), default=0
    )


def mesh_for(batch_size: int, copied_bytes: int = 0) -> Mesh | None:
    """JAX's devices, as many as a batch can be shared out to evenly; None where that is one.

    Args:
        batch_size: trajectories of an update.
        copied_bytes: what every device will hold. Those of a CPU share its memory, of which copies take a
            quarter at most.

    Raises:
        UserError: a batch that cannot be shared out to all processes.
    """
    devices, processes = jax.local_devices(), jax.process_count()
    most = len(devices)
    if devices[0].platform == "cpu" and copied_bytes:
        most = min(most, memory_in_all() // (4 * copied_bytes))
    count = usable(batch_size, least(max(most, 1)), processes)
    if not count:
        raise UserError(
            f"a batch of {batch_size} trajectories cannot be shared out to {processes} processes evenly; "
            f"give --batch-size a multiple of {processes}"
        )
    if count * processes == 1:
        return None
    each = [[device for device in jax.devices() if device.process_index == i] for i in range(processes)]
    return Mesh(np.array([own[:count] for own in each]).reshape(-1), (BATCH,))


def share_out(tree: Tree, mesh: Mesh | None) -> Tree:
    """Within a program: give each device its part of arrays that begin with the axis of the batch.

    A number of rows that the devices do not divide stays whole on each.
    """
    if mesh is None:
        return tree
    return jax.tree.map(  # type: ignore[no-any-return]
        lambda leaf: leaf if leaf.shape[0] % mesh.size else _lies(leaf, mesh, CUT), tree
    )


def keep_whole(tree: Tree, mesh: Mesh | None) -> Tree:
    """Within a program: arrays that every device has stay so, though it uses a part of them as well."""
    return tree if mesh is None else _lies(tree, mesh, WHOLE)


def gather(tree: Tree, mesh: Mesh | None) -> Tree:
    """Within a program: arrays of floats that begin with the axis of the batch, whole on every device.

    They travel as one. In every exchange, a device of a CPU holds a thread of XLA's pool until the others
    have come to it, too; of two exchanges that need nothing of each other it may begin both at once. With as
    few threads as two, that leaves none to the others: a deadlock. So in our programs every exchange needs
    what came of the one before it, see tests/training/test_exchanges.py.
    """
    if mesh is None:
        return tree
    _, restore = ravel_pytree(jax.tree.map(operator.itemgetter(0), tree))
    packed = jax.vmap(lambda row: ravel_pytree(row)[0])(tree)
    restored: Tree = jax.vmap(restore)(_lies(packed, mesh, WHOLE))
    return restored


def everywhere(program: Callable[..., Any], mesh: Mesh | None, taken: Any = WHOLE, given: Any = WHOLE) -> Any:
    """`jax.jit` of a program of training.

    Args:
        taken: where its arguments lie: WHOLE, CUT, or a tree of these that its arguments begin with.
        given: where its results will lie.
    """
    if mesh is None:
        return jax.jit(program, compiler_options=large_products())
    return jax.jit(
        program,
        in_shardings=_shardings(mesh, taken),
        out_shardings=_shardings(mesh, given),
        compiler_options=large_products(),
    )


def copied(tree: Tree, mesh: Mesh | None, where: Any = WHOLE) -> Tree:
    """The arrays, whole on every device unless `where`, as in `everywhere`, says otherwise.

    Several processes give the same arrays.
    """
    if mesh is None:
        return tree
    shardings = _shardings(mesh, where)
    if jax.process_count() == 1:
        put: Tree = jax.device_put(tree, shardings)
        return put
    laid: Tree = jax.jit(_same, out_shardings=shardings)(tree)
    return laid


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


def _same(tree: Tree) -> Tree:
    return tree


def _lies(tree: Tree, mesh: Mesh, where: PartitionSpec) -> Tree:
    laid: Tree = jax.lax.with_sharding_constraint(tree, _shardings(mesh, where))  # type: ignore[no-untyped-call]
    return laid


def _shardings(mesh: Mesh, where: Any) -> Any:
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), where, is_leaf=lambda spec: isinstance(spec, PartitionSpec)
    )
