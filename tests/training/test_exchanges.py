"""In every program for several devices, each exchange needs what came of the one before.

Of two that need nothing of each other, a device may begin both at once, each on a thread of XLA's pool that
it then holds: with two threads in all, the other device never comes to either.
"""

import itertools
import re

import pytest
import tiny
from many_devices import CONFIG, start

from gac.data import write_d4rl

EXCHANGE = re.compile(r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?$")
COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^  (?:ROOT )?%?([\w.\-]+) = (?:\(.*?\)|\S+) ([\w\-]+)\((.*)$")
NAME = re.compile(r"%([\w.\-]+)")


def computations(text):
    """`{computation: {instruction: (what it does, all names in its line)}}` of a compiled module's text."""
    found, current = {}, {}
    for line in text.splitlines():
        if opening := COMPUTATION.match(line):
            current = found.setdefault(opening[1], {})
        elif instruction := INSTRUCTION.match(line):
            current[instruction[1]] = instruction[2], NAME.findall(instruction[3])
    return found


def independent_exchanges(text):
    """Exchanges that follow each other in a computation, where the second does not need the first."""
    every = computations(text)

    def exchanges(computation):
        return [
            name
            for name, (operation, named) in every[computation].items()
            if EXCHANGE.match(operation) or any(exchanges(called) for called in named if called in every)
        ]

    pairs = []
    for computation, instructions in every.items():
        needs = {}
        for name, (_, named) in instructions.items():
            direct = {other for other in named if other in needs}
            needs[name] = direct.union(*(needs[other] for other in direct))
        met = exchanges(computation)
        pairs += [(one, two) for one, two in itertools.pairwise(met) if one not in needs[two]]
    return pairs


PROGRAM = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%branch (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  ROOT %inner = f32[4]{0} all-reduce(%x), channel_id=2, to_apply=%add
}

%other (z: f32[4]) -> f32[4] {
  ROOT %z = f32[4]{0} parameter(0)
}

ENTRY %main (p: pred[], y: f32[4]) -> (f32[4], f32[4]) {
  %p = pred[] parameter(0)
  %y = f32[4]{0} parameter(1)
  %first = f32[4]{0} all-reduce(%y), channel_id=1, to_apply=%add
  %then = f32[4]{0} conditional(%p, %INPUT, %INPUT), branch_computations={%branch, %other}
  ROOT %both = (f32[4]{0}, f32[4]{0}) tuple(%first, %then)
}
"""


def test_an_exchange_that_needs_nothing_of_another_is_found():
    assert independent_exchanges(PROGRAM.replace("%INPUT", "%y")) == [("first", "then")]
    assert independent_exchanges(PROGRAM.replace("%INPUT", "%first")) == []


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_exchange_of_training_needs_the_one_before(tmp_path, on_disk):
    write_d4rl(tiny.make_episodes(60), tmp_path / "tiny.hdf5", contiguous=True)
    more = [tmp_path / "tiny.hdf5"] if on_disk else []
    environment = {
        "XLA_FLAGS": f"--xla_dump_to={tmp_path / 'hlo'} --xla_dump_hlo_as_text",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # what is compiled already is not dumped
    }
    assert start(tmp_path / "run", 2, CONFIG.added.refit_every, *more, **environment).wait() == 0
    shared = {}
    for path in (tmp_path / "hlo").glob("*cpu_after_optimizations.txt"):
        text = path.read_text()
        if "num_partitions=2" in text:
            shared[path.name] = independent_exchanges(text), len(re.findall(r"channel_id=", text))
    # An update has several exchanges, the held-out ELBO at least one.
    assert any(count >= 2 for _, count in shared.values())
    assert sum(count >= 1 for _, count in shared.values()) >= 2
    assert {name: pairs for name, (pairs, _) in shared.items() if pairs} == {}
