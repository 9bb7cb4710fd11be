"""Hugging Face peft's tuners as methods: peft builds, runs and merges a tuner, and petlir trains it."""

from __future__ import annotations

import importlib.util
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Site
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method, Paper
from petlir.methods.sites import QUERY_VALUE, lacking, not_dense, projections

Projection = nn.Linear | nn.Conv2d
REFUSED = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError)
"""Exceptions that peft raises for settings or layers that a tuner does not accept."""


@dataclass(frozen=True)
class Tuner:
    """A tuner of peft, with the mapping from the method's options to the fields of peft's configuration.

    Attributes:
        kind: peft's name for the type of the tuner.
        idea: one sentence for the method's card.
        paper: the tuner's paper.
        options: for each option of the method, the name of the corresponding field in peft and the default value.
        fixed: values of peft's fields that are not options of the method.
        sites: projections that the tuner adapts by default.
        size: the option that is adjusted to reach a requested number of parameters.
    """

    kind: str
    idea: str
    paper: Paper
    options: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sites: str = QUERY_VALUE
    size: str | None = None


class Tuned(nn.Module):
    """A projection wrapped by a tuner of peft.

    Args:
        layer: peft's wrapper of a linear layer.
        maps: whether the projection was a 1×1 convolution, with N×C×H×W features; otherwise channels are the last axis.
    """

    def __init__(self, layer: nn.Module, *, maps: bool) -> None:
        super().__init__()
        self.layer, self.maps = layer, maps

    def forward(self, features: Tensor) -> Tensor:
        """Return the tuned projection's output in its own layout."""
        # always N×L×C: some tuners take any input with four axes for a feature map
        tokens = features.flatten(2).mT if self.maps else features.flatten(1, -2)
        output: Tensor = self.layer(tokens)
        if self.maps:
            return output.mT.reshape(len(features), -1, *features.shape[2:])
        return output.view(*features.shape[:-1], -1)

    def merged(self) -> nn.Module:
        """Return the projection with the tuner merged into its weight by peft."""
        layer: Any = deepcopy(self.layer)
        layer.merge(safe_merge=True)
        base: nn.Linear = layer.get_base_layer()
        return _as_convolution(base) if self.maps else base


def _as_linear(base: Projection) -> nn.Linear:
    """Return a linear layer that shares the projection's memory; meta tensors become zeros, as peft reads values."""
    outputs, inputs = base.weight.shape[:2]
    linear = nn.Linear(inputs, outputs, device="meta")
    for name, parameter in (("weight", base.weight), ("bias", base.bias)):
        value = None if parameter is None else parameter.detach().flatten(1 if name == "weight" else 0)
        if value is not None and value.is_meta:
            value = torch.zeros(value.shape, device="cpu")
        setattr(linear, name, None if value is None else nn.Parameter(value, requires_grad=False))
    return linear


def _as_convolution(linear: nn.Linear) -> nn.Conv2d:
    convolution = nn.Conv2d(linear.in_features, linear.out_features, 1, device="meta")
    convolution.weight = nn.Parameter(linear.weight.detach()[..., None, None])
    convolution.bias = linear.bias
    return convolution


class PeftMethod(Method):
    """A tuner of Hugging Face peft on the projections named in `sites`.

    peft builds, runs and merges the tuner. A 1×1 convolution is passed to peft as the equivalent linear layer, so
    that every tuner also supports 1×1 convolutions. petlir trains the tuner, but without the additional loss terms or
    the updates between steps that peft defines for some tuners.
    """

    sites: str

    @property
    @abstractmethod
    def tuner(self) -> Tuner:
        """The method's row in the table of tuners."""

    def adapt(self, backbone: Backbone) -> None:
        """Wrap every projection named in `sites` in a tuner of peft."""
        found = projections(backbone, self.sites)
        for site, tuned in zip(found, self._tuned(found), strict=True):
            site.replace(tuned)

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a named site is missing or not dense, or if peft rejects its shape; otherwise None.

        Raises:
            PetlirError: peft is not installed.
        """
        found = projections(backbone, self.sites)
        lack = lacking(backbone, self.sites) or not_dense(backbone, found)
        if lack:
            return lack
        shapes = {cast("Projection", site.module).weight.shape[:2]: site for site in found}
        try:
            with torch.random.fork_rng(devices=[]):
                self._tuned(list(shapes.values()))
        except PetlirError as error:
            if not _installed():
                raise
            return str(error)
        return None

    def _tuned(self, found: Sequence[Site]) -> list[Tuned]:
        """Return the projections at these sites, wrapped by the tuner."""
        if not _installed():
            raise PetlirError(
                f"{self.name} needs Hugging Face peft, which is not installed: pip install 'petlir[peft]'"
            )
        from peft import PeftType, mapping

        bases = {f"{site.name}{index}": cast("Projection", site.module) for index, site in enumerate(found)}
        try:
            with torch.device("cpu"), warnings.catch_warnings(action="ignore"):
                layers = nn.ModuleDict({name: _as_linear(base) for name, base in bases.items()})
                config = mapping.get_peft_config(self._settings() | {"target_modules": list(bases)})
                mapping.PEFT_TYPE_TO_TUNER_MAPPING[PeftType(self.tuner.kind)](layers, config, "default")
        except REFUSED as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise PetlirError(f"{self.name}: {reason}") from error
        return [Tuned(layers[name], maps=isinstance(base, nn.Conv2d)) for name, base in bases.items()]

    def _settings(self) -> dict[str, Any]:
        """Return the fields of peft's configuration; without an alpha the scale is 1 for every rank."""
        chosen = {theirs: getattr(self, ours) for ours, (theirs, _) in self.tuner.options.items()}
        if "alpha" in self.tuner.options and getattr(self, "alpha", None) is None:
            chosen[self.tuner.options["alpha"][0]] = getattr(self, "rank", None)
        return {"peft_type": self.tuner.kind, **self.tuner.fixed, **chosen}


def _installed() -> bool:
    return importlib.util.find_spec("peft") is not None
