"""Data: episodes and returns, readers, recipes. `windows`, which needs JAX, is imported by its users."""

from gac.data.d4rl_hdf5 import read_d4rl, write_d4rl
from gac.data.episodes import Episode, Episodes
from gac.data.inspect import describe, format_description
from gac.data.load import list_data, load_data
from gac.data.recipes import RECIPES, make

__all__ = [
    "RECIPES",
    "Episode",
    "Episodes",
    "describe",
    "format_description",
    "list_data",
    "load_data",
    "make",
    "read_d4rl",
    "write_d4rl",
]
