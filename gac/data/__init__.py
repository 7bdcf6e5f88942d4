"""Data: episodes and returns, readers, recipes. `windows`, which needs JAX, is imported by its users."""

from gac.data.d4rl_hdf5 import read_d4rl, unpack_d4rl, write_d4rl
from gac.data.episodes import Episode, Episodes
from gac.data.findings import findings
from gac.data.inspect import Facts, describe
from gac.data.load import list_data, load_data, write_data
from gac.data.minari_sets import read_minari, write_minari
from gac.data.problems import Finding
from gac.data.recipes import RECIPES, make
from gac.data.reset_rows import without_reset_rows
from gac.data.tables import read_table

__all__ = [
    "RECIPES",
    "Episode",
    "Episodes",
    "Facts",
    "Finding",
    "describe",
    "findings",
    "list_data",
    "load_data",
    "make",
    "read_d4rl",
    "read_minari",
    "read_table",
    "unpack_d4rl",
    "without_reset_rows",
    "write_d4rl",
    "write_data",
    "write_minari",
]
