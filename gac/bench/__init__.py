"""How fast training and acting are here, beside what the machine could do; begin with `gac.bench.run`."""
