"""Two small stages of fine-tuning that several tests look at, compare with, or repeat."""

ENV_ID = "GacStages-v0"
SETTINGS = {"stages": 2, "episodes": 8, "updates": 3, "eval_episodes": 3, "seed": 5}
BATCH = 4
"""Episodes that are collected together: two batches a stage."""
STAGES = (1, 2)
