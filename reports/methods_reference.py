"""The reference page of the methods, in Markdown: idea, formula, options, paper and parameters of each method."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method, spelled
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.training.adaptation import adapt
from petlir.reports import markdown

FORMULAS = Path(__file__).with_name("formulas.toml")
NETWORKS = ("ipt-nano", "nafnet-nano")
"""Networks for which the trained parameters are listed: a transformer and a convolutional network."""
FAMILY = ":"
"""The separator between a family of methods and a method, as in `peft:dora`."""


def formulas() -> dict[str, str]:
    """Return the formula of each built-in method."""
    return tomllib.loads(FORMULAS.read_text(encoding="utf-8"))


def page(plugins: Plugins | None = None) -> str:
    """Return the page of all built-in methods; for peft tuners, it lists only the names and ideas."""
    found = plugins or find()
    single = {name: method for name, method in sorted(found.methods.items()) if FAMILY not in name}
    family = {name: method for name, method in sorted(found.methods.items()) if FAMILY in name}
    parts = [
        "# Methods",
        "A block of a network maps features x to x + f(n(x)), with a norm layer n and a branch f (attention or "
        "feed-forward). Each formula shows how a method changes the branch or a projection W; s is a constant scale.",
        *(section(name, method, found) for name, method in single.items()),
        "## Tuners of Hugging Face peft",
        markdown.table(["method", "idea"], [[f"`{name}`", method.idea] for name, method in family.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def section(name: str, method: type[Method], plugins: Plugins) -> str:
    """Return the section on a method."""
    parts = [f"## {name}", method.idea, f"    {formulas()[name]}"]
    if options := [f"`{one.name}={spelled(one.default)}`" for one in fields(method)]:
        parts.append(f"Options and their defaults: {', '.join(options)}.")
    if method.paper is not None:
        parts.append(f"Source: {method.paper.authors}, *{method.paper.title}*, {method.paper.venue}.")
    found = ((network, *row) for network in NETWORKS for row in sites(method, network, plugins))
    rows = [[network, f"`{site}`", f"{count:,}"] for network, site, count in found]
    if rows:
        parts.append(markdown.table(["network", "trained parameters", "number"], rows))
    return "\n\n".join(parts)


def sites(method: type[Method], backbone: str, plugins: Plugins) -> Iterator[tuple[str, int]]:
    """Yield the name of each group of trained parameters, with `*` for layer numbers, and its number of parameters."""
    with without_memory():
        network = plugins.build(backbone)
        if method().supports(network) is not None:
            return
        try:
            adapted = adapt(network, method(), list(network.heads)[-1], 0)
        except PetlirError:
            return
    counts: Counter[str] = Counter()
    for name, parameter in adapted.trainable().items():
        counts[re.sub(r"(?<=\.)\d+(?=\.)", "*", name)] += parameter.numel()
    yield from counts.items()
