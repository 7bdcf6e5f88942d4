"""What in a data set will hurt training, in words: what was seen, why it hurts this method, what to do."""

from collections.abc import Iterator, Sequence

from gac.data.episode_facts import SHORT
from gac.data.inspect import Facts
from gac.data.mazes import seldom_met
from gac.data.problems import SEVERITIES, Finding, about_constant_returns, about_reset_rows, about_too_few
from gac.data.step_facts import JUMP_FACTOR, OUTLIER_Z, Dimension
from gac.errors import told_apart

FEW_STEPS = 10_000
"""Behaviours of the benchmarks are learned from 10^5 to 10^6 steps; a tenth of the least is little."""
SHORT_SHARE = 0.1
"""Share of episodes with fewer steps than `SHORT` that moves what the prior learns."""
SAME_RETURN_SHARE = 0.9
"""With more episodes on one value, fewer than one in ten tells a plan from another."""
LITTLE_SPREAD = 0.01
"""Standard deviation over mean: below, differences of return are likely to be chance."""
LUCKY_GAP = 1.5
"""Standard deviations from the 99th percentile to the best return: a Gaussian sample of 1,000 has 1."""
RARE_BEST_SHARE = 0.02
"""Share of episodes above the middle between median and best; a Gaussian sample of 1,000 has 0.05."""
LENGTH_CORRELATION = 0.95
"""Nine tenths of the variance of the return is that of the length."""
CUT_SHORT_SHARE = 0.05
"""Share of episodes with part of a return, beyond which the mean and the best move."""
CONTINUED_SHARE = 0.5
"""Resets seldom hit the state before: half of them by chance is out of the question."""
SATURATED_SHARE, SATURATED_DIMENSION = 0.1, 0.25
"""Of all action entries, and of one dimension's: a smaller pile hardly moves a Gaussian's mean."""
SQUEEZED = 0.1
"""Standard deviation over half the range: a third of the default sigma_a, which then blurs the rest."""
TINY_STD = 1e-4
"""Standard deviation over mean: float32 resolves a thousandth of it, and standardisation blows that up."""
HEAVY_KURTOSIS = 50.0
"""Excess kurtosis of about one value of 10 standard deviations in 200."""
MOSTLY = 0.5
"""Share of the variance of the returns beyond which most of it is unexplained by what was done."""
LINEAR_R2 = 0.95
"""Share of the variance of held-out returns: the rest is less than a quarter of their spread."""
DUPLICATED_SHARE = 0.01
"""Share of repeated episodes beyond which the held-out ELBO no longer means unseen data."""
_NAMED = 6


def findings(facts: Facts) -> list[Finding]:
    """What will hurt training, gravest first; empty where nothing was found."""
    parts = _about_size, _about_returns, _about_structure, _about_ends, _about_steps
    found = [finding for part in parts for finding in part(facts)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _about_size(facts: Facts) -> Iterator[Finding]:
    episodes, lengths = facts.episodes, facts.lengths
    if too_few := about_too_few(episodes):
        yield too_few
    if facts.steps < FEW_STEPS:
        yield Finding(
            "warning",
            f"There are only {facts.steps:,} steps.",
            "The generator learns actions and next states from steps; with few it repeats single episodes.",
            "Collect more, or take a smaller --embed-dim and fewer --updates, and watch heldout_elbo.",
        )
    short = lengths.short_share
    if short > SHORT_SHARE:
        yield Finding(
            "warning",
            f"{short:.0%} of the episodes have fewer than {SHORT} steps (the median has "
            f"{lengths.spread.quantiles['0.5']:.0f}).",
            "So few steps hardly tell which plan made them: their posteriors stay near the prior, and their "
            "returns hang on the start alone.",
            "Look at why they end; drop them if the recording broke off.",
        )
    share = facts.duplicated_episodes / episodes
    if share > DUPLICATED_SHARE:
        yield Finding(
            "warning",
            f"{facts.duplicated_episodes:,} episodes ({share:.0%}) repeat an earlier one bit for bit.",
            "The prior gives their plans the weight of several, and the held-out ELBO judges what was seen.",
            "Drop the repeats, with Episodes.select.",
        )


def _about_returns(facts: Facts) -> Iterator[Finding]:
    returns = facts.returns
    spread = returns.spread
    if constant := about_constant_returns(spread):
        yield constant
        return
    if returns.most_common_share > SAME_RETURN_SHARE:
        zero = "0, as with a sparse reward" if returns.most_common == 0 else f"{returns.most_common:g}"
        others = round(facts.episodes * (1 - returns.most_common_share))
        yield Finding(
            "warning",
            f"{returns.most_common_share:.0%} of the episodes have the return {zero}; {others:,} do not.",
            "Returns are standardised by a spread that these few make, and the Gaussian p(y | z) fits "
            "neither group. What tells good from bad is known from these few episodes alone.",
            "Collect more of the few, or give a denser return, such as the negative time to success.",
        )
    else:
        yield from _about_the_best(facts)
    if seldom_met(facts.env_id, facts.ends.one_length, returns.zero_share):
        yield Finding(
            "warning",
            f"{returns.zero_share:.0%} of these windows of a run through a maze never meet the target.",
            "A plan is of the kind of some logged episode, and the few that meet the target leave it again.",
            "Leave the cut out of the data set's name, or give cut=hold: on maze2d-medium exploit then earns "
            "several times as much.",
        )
    if spread.std < LITTLE_SPREAD * abs(spread.mean):
        share, (mean, _) = spread.std / abs(spread.mean), told_apart(spread.mean, spread.mean + spread.std)
        yield Finding(
            "warning",
            f"Returns differ by {f'{share:.1%}' if share >= 5e-4 else f'{100 * share:.1g}%'} only "
            f"({mean} ± {spread.std:g}).",
            "Standardisation blows small differences up: the critic takes chance for skill.",
            "Check that the return measures what you want, and that episodes of unlike quality are there.",
        )
    correlation = returns.length_correlation
    if correlation is not None and abs(correlation) > LENGTH_CORRELATION:
        yield Finding(
            "note",
            f"Return and length are correlated {correlation:+.2f}.",
            "The return says little but how long an episode lasted: plans are ranked by "
            + ("survival." if correlation > 0 else "how soon they end."),
            "Nothing, if that is the task; else check that episodes were not cut off by the recording.",
        )


def _about_structure(facts: Facts) -> Iterator[Finding]:
    chance, linearity = facts.chance, facts.linearity
    if chance is not None and chance.share > MOSTLY:
        yield Finding(
            "note",
            f"Returns look mostly like chance: {chance.share:.0%} of their variance is between episodes in "
            "which nearly the same was done.",
            "Luck decides, or a detail that alike episodes do not share. A plan inferred from the best "
            "returns then promises a luck that it cannot repeat.",
            "Compare predicted with achieved return; judge plans by the mean over like episodes, not by the "
            "best of them.",
        )
    if linearity is not None and linearity.r2 > LINEAR_R2:
        yield Finding(
            "note",
            f"Returns are linear in what was logged: sums of states, actions and their squares explain "
            f"{linearity.r2:.1%} of held-out returns.",
            "A reward for each step can then be learned from the returns alone; only this method's own "
            "promise, to need no rewards, is hardly tested.",
            "Nothing; methods that need a reward per step can be used too: --method gtp --rewards learned.",
        )


def _about_the_best(facts: Facts) -> Iterator[Finding]:
    spread, near = facts.returns.spread, facts.returns.near_best
    gap = (spread.max - spread.quantiles["0.99"]) / spread.std
    if gap <= LUCKY_GAP and near > RARE_BEST_SHARE * facts.episodes:
        return
    best, usual = told_apart(spread.max, spread.quantiles["0.99"])
    yield Finding(
        "warning",
        f"The best return, {best}, is rare: {near:,} of {facts.episodes:,} episodes pass the middle "
        f"between median and best, and 99% stay at or below {usual}.",
        "exploit may promise up to the best return, and that may be luck rather than a plan.",
        "Compare predicted with achieved return; if promises are not kept, raise kl_weight of Exploit or "
        "collect more good episodes.",
    )


def _about_ends(facts: Facts) -> Iterator[Finding]:
    ends, spread = facts.ends, facts.lengths.spread
    if ends.cut_short > CUT_SHORT_SHARE:
        yield Finding(
            "warning",
            f"{ends.cut_short:.0%} of the episodes were truncated before the longest truncated one's length.",
            "Their returns are those of a part: the critic takes a cut recording for a bad plan.",
            "Drop them, or cut all episodes to one horizon.",
        )
    if ends.one_length and ends.terminated > CONTINUED_SHARE:
        yield Finding(
            "note",
            f"All episodes have {spread.max:.0f} steps, yet {ends.terminated:.0%} are marked as terminated.",
            "It looks like a time limit written as a termination. Training here uses neither flag; other "
            "programs would learn that nothing comes after.",
            "Mark them as timeouts where the file is written.",
        )
    yield from _about_continued(facts)
    if not facts.has_final_observations:
        yield Finding(
            "note",
            "The states after the last actions are missing.",
            "The last transition of every episode is left out of the likelihood: how an episode ends, such "
            "as a fall, is never predicted.",
            "Record next_observations, or T + 1 states per episode (in an HDF5 file: a table holds none); "
            "nothing, if how episodes end does not matter.",
        )
    jumps = facts.jumps
    if jumps.first is not None:
        many = (
            "A step jumps in"
            if jumps.count == 1
            else f"{jumps.count:,} steps in {jumps.episodes:,} episodes jump, the first in"
        )
        yield Finding(
            "warning",
            f"{many} episode {jumps.first[0]} after step {jumps.first[1]}.",
            f"A step {JUMP_FACTOR:.0f} times as long as usual, or one back to where episodes start, looks "
            "like a reset without a flag: two episodes then share one plan and one return.",
            "Set terminals or timeouts there; nothing, if it is an angle that wraps or a real teleport.",
        )


def _about_continued(facts: Facts) -> Iterator[Finding]:
    """How the start of an episode follows from the end of another: at most one of three things."""
    ends = facts.ends
    if reset_rows := about_reset_rows(facts.reset_rows, facts.episodes):
        yield reset_rows
    elif ends.continued is None or ends.continued <= CONTINUED_SHARE:
        return
    elif ends.final_jumps:
        yield Finding(
            "warning",
            f"{ends.continued:.0%} of the episodes end by a jump to the state that the next one begins with.",
            "Their final states were recorded after the reset: the model learns a last step that never was.",
            "Record the state before the reset (final_obs in the infos of a vector environment), or leave "
            "next_observations out.",
        )
    else:
        yield Finding(
            "note",
            f"{ends.continued:.0%} of the episodes begin where the one before ends.",
            "They are windows of a longer run, as in Maze2D, and their first states are not those that the "
            "environment resets to.",
            "Nothing, where windows of one length are meant"
            + ("." if ends.one_length else "; where lengths differ, returns do not compare: cut them alike."),
        )


def _about_steps(facts: Facts) -> Iterator[Finding]:
    if facts.sentinels:
        yield Finding(
            "warning",
            f"Far from all else there lie {_list([each.words for each in facts.sentinels], '; ')}.",
            "If they stand for 'not measured', they are no measurements, but set the scale: beside them what "
            "was measured looks alike to the model.",
            "Fill in what is likely (the value before, or the mean), or leave these episodes out; nothing, "
            "if they are real.",
        )
    yield from _about_states(facts)
    yield from _about_actions(facts)
    for kind, columns in (("state", facts.observations), ("action", facts.actions)):
        if columns.duplicated:
            pairs = _list([f"{i} and {j}" for i, j in columns.duplicated])
            yield Finding(
                "note",
                f"These {kind} dimensions say the same, but for scale and sign: {pairs}.",
                "The likelihood charges for each of them: what they show weighs more than the rest.",
                "Leave one of each pair out.",
            )


def _about_states(facts: Facts) -> Iterator[Finding]:
    dimensions = facts.observations.dimensions
    if constant := [each for each in dimensions if each.constant]:
        yield Finding(
            "note",
            f"{_these(constant, 'state')} never var{_ies(constant)}.",
            "They cost nothing in training. But they are not scaled: should they move when the agent acts, "
            "the network reads raw values that it has never seen.",
            "Leave them out, unless they are sure to stand still.",
        )
    tiny = [
        each
        for each in dimensions
        if not each.constant and each.std < TINY_STD * abs(each.mean - each.offset)
    ]
    if tiny:
        yield Finding(
            "warning",
            f"{_these(tiny, 'state')} hardly var{_ies(tiny)} about a large mean.",
            "Standardisation blows rounding errors up to the size of real movement.",
            "Subtract the mean where the data is recorded, or leave them out.",
        )
    told = {each.index for each in facts.sentinels if each.kind == "state"}
    heavy = [
        each
        for each in dimensions
        if each.index not in told and (each.outliers or each.kurtosis > HEAVY_KURTOSIS)
    ]
    if heavy:
        worst = max(heavy, key=lambda each: each.largest_z)
        beyond = sum(each.outliers for each in heavy)
        yield Finding(
            "warning",
            f"{_these(heavy, 'state')} ha{'s' if len(heavy) == 1 else 've'} extreme values: up to "
            f"{worst.largest_z:.0f} standard deviations, in dimension {worst.index}; {beyond:,} beyond "
            f"{OUTLIER_Z:.0f}.",
            "They stretch the scale, so that ordinary movement becomes small beside sigma_s; their squared "
            "errors rule the gradient of the batch, which is then clipped.",
            "Clip the dimension or transform it where the data is recorded; drop broken sensor readings.",
        )


def _about_actions(facts: Facts) -> Iterator[Finding]:
    saturation, dimensions = facts.saturation, facts.actions.dimensions
    if constant := [each for each in dimensions if each.constant]:
        yield Finding(
            "note",
            f"{_these(constant, 'action')} never var{_ies(constant)}.",
            "The agent will only ever do the same there.",
            "Nothing, if the task needs no more; else collect data that moves them.",
        )
    ends = [low + high for low, high in zip(saturation.at_low, saturation.at_high, strict=True)]
    full = [each for each, share in zip(dimensions, ends, strict=True) if share > SATURATED_DIMENSION]
    if full or saturation.share > SATURATED_SHARE:
        where = f"; {_these(full, 'action').lower()}: more than {SATURATED_DIMENSION:.0%}" if full else ""
        whose = "the environment's bounds" if saturation.bounds == "environment" else "the data's extremes"
        yield Finding(
            "warning",
            f"{saturation.share:.0%} of the action entries are at {whose}{where}.",
            "A Gaussian has no mass piled at a bound, and acting takes its mean, which lies inside: the "
            "agent pushes less hard than the data did.",
            "Compare what the prior query achieves with the data's mean return; if it falls short, collect "
            "with a policy that is less extreme.",
        )
    if saturation.beyond:
        yield Finding(
            "warning",
            f"{saturation.beyond:,} action entries are beyond the environment's bounds.",
            "The environment clips or refuses what the agent learns to do; the logged action is then not "
            "what was done.",
            "If the environment clipped them: gac data convert DATA NEW --clip-actions. If they are in other "
            "units: rescale them. A warning of gac data inspect and gac train says which they look like.",
        )
    told = {each.index for each in facts.sentinels if each.kind == "action"}
    squeezed = [
        each
        for each in dimensions
        if not each.constant and each.index not in told and each.std < SQUEEZED * (each.max - each.min) / 2
    ]
    if squeezed:
        yield Finding(
            "warning",
            f"{_these(squeezed, 'action')} use{'s' if len(squeezed) == 1 else ''} little of "
            f"{'its' if len(squeezed) == 1 else 'their'} range: a few extreme actions stretch it.",
            "Actions are scaled by the range of the data, and sigma_a is a share of it: ordinary actions "
            "then all look alike to the likelihood.",
            "Clip the extremes, or lower --sigma-a.",
        )


def _these(dimensions: Sequence[Dimension], kind: str) -> str:
    indices = _list([str(each.index) for each in dimensions])
    return f"{kind.capitalize()} dimension{'' if len(dimensions) == 1 else 's'} {indices}"


def _ies(dimensions: Sequence[Dimension]) -> str:
    return "ies" if len(dimensions) == 1 else "y"


def _list(words: Sequence[str], between: str = ", ") -> str:
    """The words in a row, the first ones where there are many."""
    more = len(words) - _NAMED
    return between.join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")
