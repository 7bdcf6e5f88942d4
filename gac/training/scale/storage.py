"""What training needs of a place for data and posteriors, in memory or on disk."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gac.training.update import TrainState

Program = Callable[[TrainState, Any], tuple[TrainState, Any]]
"""`(state, data) -> (state, what came of it)`."""


class Storage(NamedTuple):
    """A place for data and posteriors: what is there at first, and what moves it."""

    data: Any
    state: TrainState
    update: Program
    heldout: Callable[[TrainState, Any], Any]
    """`(state, data) -> ` the mean held-out ELBO."""
    placed: Callable[[TrainState], TrainState]
    """A state as it is saved, with a posterior for each episode, where the programs take it."""
    portable: Callable[[TrainState], TrainState]
    """The other way."""
