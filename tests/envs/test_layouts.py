import numpy as np
import pytest

from gac.envs import LAYOUTS, maze_map, target


@pytest.mark.parametrize(
    ("env_id", "shape", "free", "cell"),
    # D4RL's maps: their size, free cells with the target's, and the target.
    [
        ("maze2d-umaze-v1", (5, 5), 7, (1, 1)),
        ("maze2d-medium-v1", (8, 8), 26, (6, 6)),
        ("maze2d-large-v1", (9, 12), 46, (7, 9)),
    ],
)
def test_the_maps_are_d4rls(env_id, shape, free, cell):
    walls = maze_map(env_id)
    assert walls.shape == shape
    assert (walls == 0).sum() == free
    assert tuple(target(env_id)) == cell
    assert walls[cell] == 0


@pytest.mark.parametrize("size", list(LAYOUTS))
def test_a_maze_is_closed_and_in_one_piece(size):
    walls = LAYOUTS[size].walls
    for edge in (walls[0], walls[-1], walls[:, 0], walls[:, -1]):
        assert edge.all()
    reached, free = {tuple(LAYOUTS[size].free_cells[0])}, set(map(tuple, LAYOUTS[size].free_cells))
    while grown := {(i + di, j + dj) for i, j in reached for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0))} & (
        free - reached
    ):
        reached |= grown
    assert reached == free


def test_the_u_is_closed_between_its_legs():
    np.testing.assert_array_equal(maze_map("maze2d-umaze-v1")[2], [1, 1, 1, 0, 1])


@pytest.mark.parametrize(
    "env_id", ["maze2d-umaze-v1", "d4rl/maze2d-umaze-v1", "maze2d-umaze-v0", "maze2d-umaze-dense-v1"]
)
def test_other_names_of_a_maze_have_its_map(env_id):
    np.testing.assert_array_equal(maze_map(env_id), LAYOUTS["umaze"].walls)


@pytest.mark.parametrize("env_id", ["Hopper-v5", "maze2d-umaze", "maze2d-eval-umaze-v1", "", None])
def test_what_is_no_maze_has_no_map_and_no_target(env_id):
    assert maze_map(env_id) is None
    assert target(env_id) is None
