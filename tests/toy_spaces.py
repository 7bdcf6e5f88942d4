"""An environment that Gymnasium finds by the name of this module."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict


class Toy(gymnasium.Env):
    """Spaces alone: it is made and described, never stepped."""

    def __init__(self, goals=False, width=4):
        own = Box(-1.0, 1.0, (width,), np.float64)
        goal = Box(-9.0, 9.0, (1,), np.float64)
        self.observation_space = (
            Dict({"observation": own, "achieved_goal": goal, "desired_goal": goal}) if goals else own
        )
        self.action_space = Box(-0.5, 0.5, (2,), np.float32)
