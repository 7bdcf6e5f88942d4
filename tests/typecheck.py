"""The checker behind every signature of gac in tests: beartype, with int good for float as PEP 484 has it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
