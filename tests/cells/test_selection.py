"""Test the rule of eight trials on simulated PSNR curves, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.cells.selection import FLAT, TRIALS, Half, RateSelection, nice, parse
from petlir.benchmark.method import RATES
from petlir.benchmark.records.stored_forms import TunedCell

LADDER = [float(f"{mantissa}e{exponent}") for exponent in range(-6, 0) for mantissa in (1, 3)] + [1.0]
Curve = Callable[[float], float | None]


def selection(trials: Mapping[float, float | None]) -> RateSelection:
    cell: TunedCell = {"task": "tiny", "label": "lora", "backbone": "ipt-nano", "steps": 40}
    return RateSelection("key", cell, trials, {rate: [] for rate in trials})


def trials(psnr: Curve) -> list[float]:
    """Return the rates in the order in which they are tried."""
    found = selection({})
    while rates := found.open_rates(RATES):
        found = selection({**found.trials, **{rate: psnr(rate) for rate in rates}})
    return list(found.trials)


def peak(at: float) -> Curve:
    """Return a PSNR curve that falls by 1 dB per factor of ten away from the rate `at`."""
    return lambda rate: 30 - abs(math.log10(rate / at))


def below(limit: float, psnr: Curve) -> Curve:
    """Return the curve, except that trials at the rate `limit` and above diverge."""
    return lambda rate: psnr(rate) if rate < limit else None


@pytest.mark.parametrize(
    ("psnr", "further", "chosen"),
    [
        pytest.param(peak(1e-5), [3e-5, 1e-5], 1e-5, id="best at the low edge, twice"),
        pytest.param(peak(3e-5), [3e-5, 1e-5], 3e-5, id="best one step below the grid"),
        pytest.param(peak(1.0), [0.1, 0.3], 0.3, id="best at the high edge, twice"),
        pytest.param(peak(5e-2), [0.1, 0.055], 0.055, id="best between the edge and the next, then between the two"),
        pytest.param(peak(5e-3), [5.5e-3, 4.1e-3], 5.5e-3, id="interior: √(3e-3 · 1e-2), then √(3e-3 · 5.5e-3)"),
        pytest.param(peak(2e-3), [1.7e-3, 2.3e-3], 2.3e-3, id="interior: √(1e-3 · 3e-3), then √(1.7e-3 · 3e-3)"),
        pytest.param(below(1e-2, peak(1.0)), [1.7e-3, 2.3e-3], 3e-3, id="its upper neighbour diverged"),
        pytest.param(below(1e-4, peak(1.0)), [3e-5, 1e-5], 3e-5, id="all of the grid diverged, then one did not"),
        pytest.param(below(0, peak(1.0)), [3e-5, 1e-5], None, id="all diverged"),
        pytest.param(lambda rate: 30.0, [0.1, 0.3], 0.3, id="flat everywhere: the largest"),
        pytest.param(
            lambda rate: 30 - (0.009 if 3e-4 < rate < 4e-3 else 0 if rate < 4e-3 else 1),
            [1.7e-3, 2.3e-3],
            3e-3,
            id="flat up to 3e-3",
        ),
    ],
)
def test_eight_rates_are_tried_in_this_order(psnr, further, chosen):
    tried = trials(psnr)
    assert tried == [*RATES, *further]
    assert selection({rate: psnr(rate) for rate in tried}).rate == chosen


CURVES = st.dictionaries(st.sampled_from(LADDER), st.none() | st.floats(0, 60), min_size=1)


@given(CURVES)
def test_the_choice_is_the_largest_rate_of_the_region_flat_beside_the_best(tried):
    chosen = selection(tried).rate
    finite = {rate: psnr for rate, psnr in tried.items() if psnr is not None}
    if not finite:
        assert chosen is None
        return
    assert chosen is not None
    best = max(finite.values())
    top = max(rate for rate, psnr in finite.items() if psnr == best)
    assert chosen >= top
    region = [tried[rate] for rate in sorted(tried) if top <= rate <= chosen]
    assert all(psnr is not None and psnr >= best - FLAT for psnr in region)
    above = [rate for rate in sorted(tried) if rate > chosen][:1]
    assert all(tried[rate] is None or tried[rate] < best - FLAT for rate in above)


@given(st.lists(st.none() | st.floats(0, 60), min_size=TRIALS, max_size=TRIALS))
def test_whatever_comes_out_eight_different_rates_are_tried(outcomes):
    left = iter(outcomes)
    tried = trials(lambda rate: next(left))
    assert len(tried) == len(set(tried)) == TRIALS
    assert tried[: len(RATES)] == list(RATES)
    assert all(nice(rate) in LADDER and rate == float(f"{rate:.1e}") for rate in tried)


@given(st.floats(1e-6, 1))
def test_a_nice_rate_is_the_nearest_rung(rate):
    rung = nice(rate)
    assert rung in LADDER
    exact = [10 ** (half / 2) for half in range(-12, 1)]
    assert abs(math.log10(exact[LADDER.index(rung)] / rate)) <= 0.25 + 1e-9


def test_only_trials_of_the_rule_count():
    """If an older rule made ten trials, only the first eight can count, and only if the current rule would try them."""
    wide: dict[float, float | None] = {rate: peak(1.0)(rate) for rate in (*RATES, 0.1, 0.3, 1.0, 3.0)}
    assert list(selection(wide).counted(RATES).trials) == [*RATES, 0.1, 0.3]
    low = dict.fromkeys((*RATES, 3e-05, 1e-05), 30.0)
    counted = selection(low).counted(RATES)
    assert list(counted.trials) == list(RATES)
    assert counted.open_rates(RATES) == [0.1]
    assert selection(dict.fromkeys(RATES[:4], 30.0)).counted(RATES).open_rates(RATES) == list(RATES[4:])


def whole(half_psnr: float | None = 29.59) -> RateSelection:
    psnr = peak(3e-3)
    found = selection({rate: psnr(rate) for rate in trials(psnr)})
    return RateSelection(found.key, found.cell, found.trials, found.curves, {3e-3: Half(20, half_psnr, [])})


def test_a_choice_is_complete_with_the_half_trial_of_its_rate():
    tested = whole()
    assert tested.complete
    untested = RateSelection(tested.key, tested.cell, tested.trials, tested.curves, {1e-2: Half(20, 29.0, [])})
    assert not untested.complete
    assert untested.convergence is None
    assert selection(dict.fromkeys(trials(lambda rate: None))).complete, "there is no rate to test"


def test_a_choice_in_words():
    assert str(whole()) == "0.003 (30.00 dB at 40 steps, 29.59 at 20: +0.41, not converged); rates tried: 8"
    assert str(whole(30.05)) == "0.003 (30.00 dB at 40 steps, 30.05 at 20: -0.05, converged); rates tried: 8"
    assert str(whole(None)) == "0.003 (30.00 dB at 40 steps, diverged at 20: not converged); rates tried: 8"
    assert str(selection(dict(whole().trials))) == "0.003 (30.00 dB at 40 steps, not tested); rates tried: 8"
    assert str(selection({1e-3: None})) == "diverged at every rate; rates tried: 1"


def test_a_choice_survives_its_file():
    assert parse(whole().to_dict()) == whole()
    old = whole().to_dict()
    del old["half"]
    assert parse(old).convergence is None


def test_what_another_selection_has_beyond_it_is_joined():
    full = whole()
    first, second = dict(list(full.trials.items())[:6]), dict(list(full.trials.items())[5:])
    one = RateSelection(full.key, full.cell, first, {rate: [] for rate in first})
    two = RateSelection(full.key, full.cell, second, {rate: [] for rate in second}, full.halves)
    assert one.joined(two) == full
