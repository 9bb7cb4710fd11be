"""`petlir analyse contribution`: contributions in full fine-tuning by tensor, kind and place, and CoLoRA's ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from petlir.benchmark.analysis.contribution import faig, kinds_of, per_group, places_of
from petlir.benchmark.analysis.finished import Analysis, Finished, Looked, Row, frozen, images_each, scene
from petlir.benchmark.analysis.ranks import of_ranks
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.context import Context
from petlir.benchmark.published import Ordering, orderings
from petlir.benchmark.records.files import ADAPTER

FULL = "full-ft"
GROUPS = {"conv": "weight"}
"""Kinds of parameters by their names in published orderings, where these differ from the names used here."""
STEPS = 10
IMAGES = 8
"""The maximum number of images per task; each image needs a forward and a backward pass per attribution step."""
ATTRIBUTED = 200
"""The approximate total number of images for which contributions are computed, over all cells."""


def shares(found: Sequence[Finished], context: Context, device: str) -> Analysis:
    """Compute mean contributions by tensor, kind and place for each fully fine-tuned cell, and collect adapters' ranks.

    Contributions are means per parameter, from `petlir.benchmark.analysis.contribution.faig` along the path from the
    fine-tuned to the pre-trained weights; compare CoLoRA, Figure 3. The ranks are those of low-rank updates; see
    `petlir.benchmark.analysis.ranks`.
    """
    analysis, tuned = Analysis(), [cell for cell in found if _tunes(cell, context)]
    if tuned:
        seen = scene(tuned, context, device, analysis, min(IMAGES, images_each(ATTRIBUTED, len(tuned))))
        for cell in seen.cells:
            try:
                _tell(analysis, cell, seen.network, seen.images, device)
            except (OSError, SafetensorError) as error:
                analysis.left_out.append(f"{cell.name}: its weights are missing or damaged: {error}")
        analysis.sentences.extend([*stated(analysis.rows, orderings()), seen.extent])
    ranked = of_ranks(analysis, found, frozen(context, found[0].group[0], device))
    for label in sorted({cell.label for cell in found} - {cell.label for cell in tuned} - ranked):
        analysis.left_out.append(f"{label}: it neither fine-tunes the backbone nor adds low-rank updates")
    return analysis


def stated(rows: Sequence[Row], known: Iterable[Ordering]) -> Iterator[str]:
    """Yield a sentence for each published ordering of contributions: on how many tasks full fine-tuning reproduces it.

    Args:
        rows: the rows that `shares` computes.
        known: published orderings; orderings of measures other than contributions are skipped.
    """
    means: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["label"] == FULL and row["level"] in ("kind", "place"):
            means.setdefault((row["label"], row["task"]), {})[row["group"]] = row["mean"]
    for ordering in known:
        sides = [[GROUPS.get(name, name) for name in side] for side in (ordering.left, ordering.right)]
        there = {task: m for (_, task), m in means.items() if all(name in m for side in sides for name in side)}
        if ordering.measure == "contribution" and there:
            left, right = sides
            lost = [task for task, m in there.items() if min(m[a] for a in left) <= max(m[b] for b in right)]
            but = f"; not on {', '.join(lost)}" if lost else ""
            yield (
                f"{ordering.statement} ({ordering.paper}): tasks on which this holds for {FULL}: "
                f"{len(there) - len(lost)} of {len(there)}, one seed each{but}."
            )


def _tunes(cell: Finished, context: Context) -> bool:
    method = context.plugins.methods.get(cell.record.cell.method)
    return method is not None and method.tunes_backbone


def _tell(analysis: Analysis, cell: Finished, network: Backbone, images: Looked, device: str) -> None:
    found = contributions(cell, network, images, device)
    groups = {"kind": kinds_of(network), "place": places_of(network)}
    sizes = {name: values.numel() for name, values in found.items()}
    for name, values in found.items():
        _add(analysis, cell, "tensor", name, float(values.double().mean()), sizes[name],
             **{level: names[name] for level, names in groups.items()})  # fmt: skip
    for level, names in groups.items():
        for group, mean in per_group(found, names).items():
            _add(analysis, cell, level, group, mean, sum(size for name, size in sizes.items() if names[name] == group))
    analysis.sentences.append(f"{cell.name}: {_order(per_group(found, groups['kind']))} per parameter; "
                              f"{_order(per_group(found, groups['place']))}.")  # fmt: skip


def _add(analysis: Analysis, cell: Finished, level: str, group: str, mean: float, parameters: int, **more: str) -> None:
    row = {"label": cell.label, "task": cell.task, "level": level, "group": group, "mean": mean}
    analysis.rows.append({**row, "parameters": parameters, **more})


def contributions(cell: Finished, network: Backbone, images: Looked, device: str) -> Mapping[str, Tensor]:
    """Return contributions by parameter name, in order of computation; the images are centre crops of test images."""
    stored = load_file(cell.folder / ADAPTER)
    own = {name: parameter.detach() for name, parameter in in_order(network)}
    target = {name: stored[name].to(device) for name in own if name in stored}
    return faig(network, {name: own[name] for name in target}, target, [images[cell.task]], cell.head, STEPS)


def in_order(backbone: Backbone) -> list[tuple[str, nn.Parameter]]:
    """Return all parameters by name: parameters in blocks, in order of computation, then parameters outside blocks."""
    blocks = list(backbone.blocks())
    turns = {parameter: turn for turn, block in enumerate(blocks) for parameter in block.site.module.parameters()}
    return sorted(backbone.named_parameters(), key=lambda named: turns.get(named[1], len(blocks)))


def _order(means: Mapping[str, float]) -> str:
    ranked = sorted(means, key=lambda group: -means[group])
    return " > ".join(f"{group} {means[group]:.2g}" for group in ranked)
