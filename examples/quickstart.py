"""Make a data set, train for some minutes, play: python examples/quickstart.py [runs/quickstart] [minutes]"""

import sys

import gac


def main(out: str = "runs/quickstart", minutes: str = "4", episodes: int = 20) -> gac.Evaluation:
    data = gac.load_data("hopper-medium-replay")
    agent = gac.train(data, gac.presets.fast(), out=out, minutes=float(minutes), overwrite=True)
    scores = gac.evaluate(agent, "Hopper-v4", query=gac.Exploit(), episodes=episodes)
    predicted = sum(scores.predicted_returns) / episodes
    print(f"achieved {scores.mean:.0f} ± {scores.std:.0f}, predicted {predicted:.0f}")
    return scores


if __name__ == "__main__":
    main(*sys.argv[1:])
