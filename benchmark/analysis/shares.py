"""`petlir analyse contribution`: what full fine-tuning moved, by layer, kind and place (CoLoRA's Figure 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.analysis.contribution import faig, kinds_of, per_group, places_of
from benchmark.analysis.finished import Analysis, Finished, Looked, Row, images_each, scene
from benchmark.backbone import Backbone
from benchmark.bench import Bench
from benchmark.published import Ordering, orderings
from benchmark.records import ADAPTER

FULL = "full-ft"
GROUPS = {"conv": "weight"}
"""What orderings call a kind of parameter, where it is another word here."""
STEPS = 10
IMAGES = 8
"""Of a task at most: the attribution needs as many passes forth and back as it has steps, for each."""
ATTRIBUTED = 200
"""Images in all, about."""


def shares(found: Sequence[Finished], bench: Bench, device: str) -> Analysis:
    """The mean contribution per parameter of each tensor, kind and place, for each fully fine-tuned cell.

    A contribution is that of `benchmark.analysis.contribution.faig`, from the fine-tuned to the pre-trained weights.
    """
    analysis, tuned = Analysis(), [cell for cell in found if _tunes(cell, bench)]
    for label in sorted({cell.label for cell in found} - {cell.label for cell in tuned}):
        analysis.left_out.append(f"{label}: it does not fine-tune the backbone, so no way leads to what it became")
    if tuned:
        seen = scene(tuned, bench, device, analysis, min(IMAGES, images_each(ATTRIBUTED, len(tuned))))
        for cell in seen.cells:
            try:
                _tell(analysis, cell, seen.network, seen.images, device)
            except (OSError, SafetensorError) as error:
                analysis.left_out.append(f"{cell.name}: its weights are missing or damaged: {error}")
        analysis.sentences.extend([*stated(analysis.rows, orderings()), seen.extent])
    return analysis


def stated(rows: Sequence[Row], known: Iterable[Ordering]) -> Iterator[str]:
    """Of each published ordering of contributions, in how many fully fine-tuned cells it came out.

    Args:
        rows: of `shares`.
        known: orderings; those of other measures are passed over.
    """
    means: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["label"] == FULL and row["level"] != "tensor":
            means.setdefault((row["label"], row["task"]), {})[row["group"]] = row["mean"]
    for ordering in known:
        sides = [[GROUPS.get(name, name) for name in side] for side in (ordering.left, ordering.right)]
        there = {task: m for (_, task), m in means.items() if all(name in m for side in sides for name in side)}
        if ordering.measure == "contribution" and there:
            left, right = sides
            lost = [task for task, m in there.items() if min(m[a] for a in left) <= max(m[b] for b in right)]
            but = f"; not on {', '.join(lost)}" if lost else ""
            yield (
                f"{ordering.statement} ({ordering.paper}): so for {FULL} on {len(there) - len(lost)} of "
                f"{len(there)} tasks, one seed each{but}."
            )


def _tunes(cell: Finished, bench: Bench) -> bool:
    method = bench.plugins.methods.get(str(cell.record["cell"]["method"]))
    return method is not None and method.tunes_backbone


def _tell(analysis: Analysis, cell: Finished, network: Backbone, images: Looked, device: str) -> None:
    found = contributions(cell, network, images, device)
    groups = {"kind": kinds_of(network), "place": places_of(network), "tensor": {name: name for name in found}}
    for level, names in groups.items():
        means = per_group(found, names)
        parameters: dict[str, int] = {}
        for name, values in found.items():
            parameters[names[name]] = parameters.get(names[name], 0) + values.numel()
        analysis.rows.extend(
            {"label": cell.label, "task": cell.task, "level": level, "group": group, "mean": mean,
             "parameters": parameters[group]}
            for group, mean in means.items()
        )  # fmt: skip
    analysis.sentences.append(f"{cell.name}: {_order(per_group(found, groups['kind']))} per parameter; "
                              f"{_order(per_group(found, groups['place']))}.")  # fmt: skip


def contributions(cell: Finished, network: Backbone, images: Looked, device: str) -> Mapping[str, Tensor]:
    """By parameter name, for the middles of test images."""
    target = {name: tensor.to(device) for name, tensor in load_file(cell.folder / ADAPTER).items()}
    own = {name: parameter.detach() for name, parameter in network.named_parameters()}
    target = {name: tensor for name, tensor in target.items() if name in own}
    return faig(network, {name: own[name] for name in target}, target, [images[cell.task]], cell.head, STEPS)


def _order(means: Mapping[str, float]) -> str:
    ranked = sorted(means, key=lambda group: -means[group])
    return " > ".join(f"{group} {means[group]:.2g}" for group in ranked)
