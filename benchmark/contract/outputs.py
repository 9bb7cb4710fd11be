"""Contract points on outputs: initial values, mixed precision, repeatability, and the absence of side effects."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.containment import LIMIT, CappedOutput
from petlir.benchmark.contract.global_state import Attributes, defined_by, functions, replaced, spelled
from petlir.benchmark.contract.other_processes import (
    Fingerprint,
    digest_of,
    disturb,
    fingerprint,
    fingerprints,
    rebuilt,
)
from petlir.benchmark.contract.settings import global_state
from petlir.benchmark.contract.toy_model import ROUNDING, ToyTrial, apart, outermost, restored
from petlir.benchmark.method import Method


def identity(trial: ToyTrial) -> str | None:
    """Check that the initial outputs equal those of the frozen network, if the method declares `identity`."""
    if not trial.method.identity:
        return None
    distance = apart(trial.output(trial.adapted().backbone), trial.output(trial.network()))
    return None if distance <= 1e-6 else f"before training, the frozen network's output changes by {distance:.1e}"


def mixed_precision(trial: ToyTrial) -> str | None:
    """Check that the method trains under autocast to bfloat16 with finite parameters and output."""
    adapted = trial.adapted()
    trial.train(adapted, mixed=True)
    lost = [name for name, parameter in adapted.trainable().items() if not parameter.isfinite().all()]
    if lost:
        return f"parameters that are not finite after training in bfloat16: {', '.join(lost[:4])}"
    with torch.autocast("cpu", torch.bfloat16):
        finite = trial.output(adapted.backbone).isfinite().all()
    return None if finite else "the output in bfloat16 is not finite"


def repeats(trial: ToyTrial) -> str | None:
    """Check that equal seeds give equal weights and outputs, in this process and in other processes."""
    again = trial.adapted(method=rebuilt(trial.method))
    if not _equal(again.state(), trial.adapted().state()):
        return "two networks with the same seed start with different weights"
    trial.train(again)
    if not _equal(again.state(), trial.trained[0].state()):
        return "two runs with the same seed end with different weights"
    steady = trial.evaluation.repeats
    if steady and not trial.output(again.backbone).equal(trial.output(trial.trained[0].backbone)):
        return "two networks with the same weights differ in output; some state is not a parameter or a buffer"
    here = fingerprint(trial)
    for other in fingerprints(trial):
        if isinstance(other, str):
            return f"in another process: {other}"
        if fault := _differs(here, other, steady=steady):
            return f"{fault} in another process, where hash(), the order of sets, folders and the time differ"
    return None


def _differs(here: Fingerprint, other: Fingerprint, *, steady: bool) -> str | None:
    if here.start != other.start:
        return "it starts with different weights"
    distance = apart(other.outputs, here.outputs) if steady else 0.0
    return None if distance <= ROUNDING else f"the output differs by {distance:.1e}"


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def leaves_no_trace(trial: ToyTrial) -> str | None:
    """Check that adapting, training and evaluation leave global random states, settings and functions unchanged."""
    known, printed = functions(), CappedOutput(sys.stderr)
    if patched := defined_by(type(trial.method).__module__, known):
        return f"it replaces {', '.join(patched[:4])}"
    networks = [trial.network() for _ in range(3)]  # building a network may draw random numbers
    with redirect_stdout(printed), redirect_stderr(printed):
        fault = _trace(trial, known, *networks)
    return f"it prints more than {LIMIT} characters" if printed.full else fault


def _trace(trial: ToyTrial, known: Attributes, network: Backbone, one: Backbone, other: Backbone) -> str | None:
    before, contents = global_state(), _contents(network)
    trial.method.supports(network)
    if _contents(network) != contents:
        return "supports() changes the network, which it must leave unchanged"
    if type(trial.method).adapt_from is Method.adapt_from and _numbers(trial, one, 1).equal(_numbers(trial, other, 2)):
        return "adapt() sets the seed of torch's global random numbers, so that all seeds give the same numbers"
    changed = _changed(before, known)
    adapted = trial.put_on(network)
    trial.output(network)
    changed = changed or _changed(before, known)
    trial.train(adapted)
    changed = changed or _changed(before, known)
    return f"it changes {', '.join(changed[:4])}" if changed else None


def _numbers(trial: ToyTrial, network: Backbone, seed: int) -> Tensor:
    """Seed torch's global random generator, call `adapt`, and return the state of the generator afterwards."""
    network.requires_grad_(False)
    network.head_in_use = trial.head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trial.method.adapt(network)
        return torch.get_rng_state()


def _contents(network: nn.Module) -> tuple[list[nn.Module], list[tuple[str, bool]], str]:
    """Return a network's modules, the names and `requires_grad` of its parameters, and the values of its tensors."""
    trainable = [(name, parameter.requires_grad) for name, parameter in network.named_parameters()]
    return list(network.modules()), trainable, digest_of(network.state_dict())


def _changed(before: dict[str, object], known: Attributes) -> list[str]:
    """Return the names of the settings and functions that have changed."""
    settings = [name for name, now in global_state().items() if now != before[name]]
    return settings + [spelled(place) for place in replaced(known)]


def inputs_stay(trial: ToyTrial) -> str | None:
    """Check that images, and features that modules read, are not changed in place, except by the frozen network."""
    network = trial.network()
    usual = {module for _, module in _overwriting(trial, network, list(network.named_modules()))}
    adapted = trial.put_on(network)
    disturb(adapted)
    inside = {part for _, module in outermost(adapted) for part in module.modules() if part is not module}
    watched = [(name, module) for name, module in network.named_modules() if module not in usual | inside]
    changed = _overwriting(trial, network, watched)
    if "" in dict(changed):
        return "the images are changed in place"
    found = [name for name, _ in changed]
    return f"the inputs of modules are changed in place: {', '.join(found[:4])}" if found else None


@torch.no_grad()
def _overwriting(
    trial: ToyTrial, network: Backbone, modules: list[tuple[str, nn.Module]]
) -> list[tuple[str, nn.Module]]:
    """Return the modules, with their names, whose inputs are changed in place during a forward pass."""
    changed: list[tuple[str, nn.Module]] = []
    copies: list[list[tuple[Tensor, int, Tensor]]] = []

    def before(module: nn.Module, inputs: tuple[object, ...]) -> None:
        copies.append([(one, one._version, one.clone()) for one in inputs if isinstance(one, Tensor)])

    def after(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if any(one._version != version or not one.equal(copy) for one, version, copy in copies.pop()):
            changed.append((name, module))

    hooks = []
    for name, module in modules:
        hooks += [module.register_forward_pre_hook(before, prepend=True)]
        hooks += [module.register_forward_hook(partial(after, name))]
    try:
        with restored(network):
            network(trial.images, trial.head)
    finally:
        for hook in hooks:
            hook.remove()
    return changed
