"""Comparison of published results with the results of a store, and verdicts on them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from petlir.benchmark.published import UNSTATED, Claim
from petlir.benchmark.records.files import SHIPPED_FILES
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.scoring.registry import LEADING
from petlir.benchmark.weights.official import known

MARGIN = 0.1
"""The margin in dB within which a result reproduces a claim, or two methods count as equally good."""
SIZES = {"K": 1e3, "M": 1e6}


@dataclass(frozen=True)
class ClaimVerdict:
    """A published result compared with the result of a store.

    Attributes:
        claim: the published number.
        verdict: `reproduced`, `not reproduced`, `inconclusive`, `not comparable` or `not run`.
        reasons: why the results are not comparable, or why the verdict is not definite.
        source: backbone and track of the store's result.
        ours: mean over seeds and images in dB; None if no finite score has the claim's set and protocol.
        low: lower end of the 95 % interval over seeds, for fixed images.
        high: upper end of the 95 % interval over seeds, for fixed images.
        seeds: number of seeds.
    """

    claim: Claim
    verdict: str
    reasons: tuple[str, ...] = ()
    source: str = ""
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0


def by_paper(records: Iterable[Record], claims: Iterable[Claim]) -> dict[str, list[ClaimVerdict]]:
    """Return the verdicts on the claims of each paper, sorted by paper; see `verdicts`."""
    found: dict[str, list[ClaimVerdict]] = defaultdict(list)
    for verdict in verdicts(records, claims):
        found[verdict.claim.paper].append(verdict)
    return dict(sorted(found.items()))


def rows(claims: Sequence[Claim], records: Iterable[Record] | None = None) -> Iterator[dict[str, object]]:
    """Yield the claims as dictionaries; if records are given, each dictionary also contains result and verdict."""
    if records is None:
        yield from map(asdict, claims)
        return
    for verdict in verdicts(records, claims):
        plain = asdict(verdict)
        yield plain.pop("claim") | plain


def verdicts(records: Iterable[Record], claims: Iterable[Claim]) -> list[ClaimVerdict]:
    """Return a verdict on each claim, from the records that match its conditions best.

    A claim is *reproduced* if the 95 % interval of the records lies within ± 0.1 dB of the claimed value, *not
    reproduced* if the interval lies entirely outside this range, and *inconclusive* otherwise. A claim is *not
    comparable* if protocol, backbone, weights, data, track or size differ, or if the learning rate was tuned. The
    result of a method that trains nothing is exact: its interval is a point, and its track, which sets the training
    budget, does not matter.
    """
    by_task: dict[str, dict[tuple[object, ...], list[Done]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.state == "done":
            cell = record.cell
            place = (cell.backbone, cell.track, cell.label, cell.regime, cell.budget)
            by_task[cell.task][(*place, record.environment.device)].append(record)
    return [_verdict(claim, by_task[claim.task].values()) for claim in claims]


def _verdict(claim: Claim, candidates: Iterable[list[Done]]) -> ClaimVerdict:
    matching = [cells for cells in candidates if is_method(claim.method, cells[0].cell.label)]
    if not matching:
        return ClaimVerdict(claim, "not run", ("no record of this method on this task",))
    nearest = min(matching, key=lambda cells: (len(list(_differences(claim, cells[0]))), -len(cells)))
    reasons = tuple(_differences(claim, nearest[0]))
    cell = nearest[0].cell
    source = f"{cell.backbone}, {cell.track} track"
    means = _means(claim, nearest)
    if not len(means):
        return ClaimVerdict(claim, "not comparable", reasons or ("no finite score",), source)
    interval = _interval(means, trained=cell.regime != "none")
    low, high = interval or (None, None)
    ours = (source, float(means.mean()), low, high, len(means))
    if reasons:
        return ClaimVerdict(claim, "not comparable", reasons, *ours)
    if interval is None:
        return ClaimVerdict(claim, "inconclusive", ("a single seed has no interval",), *ours)
    return ClaimVerdict(claim, within(*interval, claim.psnr), (), *ours)


def by_reason(found: Iterable[ClaimVerdict]) -> list[tuple[str, list[ClaimVerdict]]]:
    """Return the verdicts by the reason that prevents a comparison; comparable claims come first, with an empty reason.

    The other claims are grouped by kinds of reasons, e.g. `not comparable: protocol, track`, the most frequent first;
    claims that were not run come last.
    """
    groups: dict[str, list[ClaimVerdict]] = {"": []}
    for one in found:
        kinds = dict.fromkeys(reason.partition(":")[0] for reason in one.reasons)
        reason = {"not comparable": f"not comparable: {', '.join(kinds)}", "not run": "not run"}.get(one.verdict, "")
        groups.setdefault(reason, []).append(one)
    order = {"": 0, "not run": 2}
    return sorted(groups.items(), key=lambda pair: (order.get(pair[0], 1), -len(pair[1]), pair[0]))


def within(low: float, high: float, claimed: float) -> str:
    """Return `reproduced`, `not reproduced` or `inconclusive` for an interval and a claim with a margin of ± 0.1 dB."""
    if claimed - MARGIN <= low and high <= claimed + MARGIN:
        return "reproduced"
    return "not reproduced" if high < claimed - MARGIN or low > claimed + MARGIN else "inconclusive"


def is_method(name: str, label: str) -> bool:
    """Return whether a label is a configuration, of any size, of the method that a claim or an ordering names.

    The options that `name` includes must have the same values in the label. All other options of the label, i.e. those
    that differ from their defaults, must be numbers, which set the size of the method.
    """
    wanted, actual = _parsed(name), _parsed(label)
    others = {key: value for key, value in actual[1].items() if key not in wanted[1]}
    return (
        wanted[0] == actual[0]
        and all(actual[1].get(key) == value for key, value in wanted[1].items())
        and all(re.fullmatch(r"[\d.]+", value) for value in others.values())
    )


def _parsed(label: str) -> tuple[str, dict[str, str]]:
    name, _, options = label.removesuffix("]").partition("[")
    pairs = (part.partition("=") for part in options.split(";") if part.strip())
    return name, {key.strip(): value.strip() for key, _, value in pairs}


def _differences(claim: Claim, record: Done) -> Iterator[str]:
    """Yield the conditions in which a record differs from the claim."""
    cell = record.cell
    if claim.protocol == UNSTATED:
        yield "protocol: the paper does not state it"
    elif claim.protocol not in (ours := sorted({_base(name) for name in record.protocols})):
        yield f"protocol: {', '.join(ours)} here, {claim.protocol} in the paper"
    if cell.backbone != claim.backbone:
        yield f"backbone weights: {cell.backbone} here, {claim.backbone} in the paper"
    elif _unofficial(claim.backbone, record.digests.weights):
        yield "backbone weights: not the official ones"
    if cell.track != "paper" and cell.regime != "none":
        yield f"track: {cell.track} here, not paper"
    if cell.regime == "tuned":
        yield "training: the learning rate was tuned here"
    if other := cell.simulated or _other_data(cell.data_label):
        yield f"data: {other}"
    if all(table.set != claim.set for table in record.scores):
        yield f"data: not scored on {claim.set} here"
    size, trainable = _size(claim.params), record.costs.trainable
    if size is not None and trainable and abs(trainable - size) > 0.01 * size:
        yield f"size: {trainable:,} parameters here, {claim.params} in the paper"


def _other_data(label: str) -> str:
    """Return the notes of a data label, except notes on shipped low-resolution files, which papers use as well."""
    return "; ".join(note for note in label.split("; ") if not note.startswith(SHIPPED_FILES))


def _base(protocol: str) -> str:
    return protocol.partition("@")[0]


def _unofficial(backbone: str, sha256: str) -> bool:
    """Return whether the weights cannot be official: all official digests are known, and none matches."""
    digests = [one.digest.partition("…") for one in known() if one.backbone == backbone]
    complete = bool(digests) and all(first for first, _, _ in digests)
    return complete and not any(sha256.startswith(first) and sha256.endswith(last) for first, _, last in digests)


def _size(printed: str) -> float | None:
    match = re.fullmatch(r"([\d.]+)([KM])", printed)
    return float(match[1]) * SIZES[match[2]] if match else None


def _means(claim: Claim, cells: Sequence[Done]) -> np.ndarray:
    """Return each seed's mean PSNR over the images of the claim's set on which the PSNR of every seed is finite."""
    found: dict[str, list[float]] = defaultdict(list)
    for scores in (table for cell in cells for table in cell.tables if table.set == claim.set):
        if scores.protocol == _first(cells[0], claim.protocol):
            for score in scores.rows(LEADING):
                found[score.image].append(score.value)
    table = [values for values in found.values() if len(values) == len(cells) and np.isfinite(values).all()]
    return np.array(table).mean(axis=0) if table else np.array([])


def _first(record: Done, protocol: str) -> str | None:
    """Return the record's first protocol with this base name; the first of several is the headline protocol."""
    return next((name for name in record.protocols if _base(name) == protocol), None)


def _interval(means: np.ndarray, trained: bool) -> tuple[float, float] | None:
    """Return the t interval over seeds: a point if nothing is trained, None if a trained method has a single seed."""
    from scipy import special

    mean = float(means.mean())
    if not trained:
        return mean, mean
    if len(means) < 2:
        return None
    half = -float(special.stdtrit(len(means) - 1, 0.025)) * float(means.std(ddof=1)) / len(means) ** 0.5
    return mean - half, mean + half
