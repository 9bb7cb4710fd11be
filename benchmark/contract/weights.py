"""Contract points on weights: training, freezing, sharing, storing and merging."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from petlir.benchmark.contract.evaluation import in_training
from petlir.benchmark.contract.toy_model import CLOSE, ROUNDING, STEPS, ToyTrial, apart, restored
from petlir.benchmark.method import Mergeable
from petlir.benchmark.training.adaptation import merge

SPARE = 0.05
"""The maximum size of needlessly stored tensors, as a fraction of the size of the trainable parameters."""
SHIFT = 0.1
"""The change by which parameters without a gradient are tested for their effect on the output."""


def trains(trial: ToyTrial) -> str | None:
    """Check that a method has trainable parameters, before and after training, if and only if it declares `trains`."""
    fresh = trial.adapted()
    names, dtype = set(fresh.trainable()), next(trial.network().parameters()).dtype
    if lazy := [name for name, one in fresh.trainable().items() if is_lazy(one)]:
        return f"parameters get their shape only in the first forward pass: {', '.join(lazy[:4])}"
    if odd := [f"{name} in {one.dtype}" for name, one in fresh.trainable().items() if one.dtype != dtype]:
        return f"trainable parameters have a dtype other than the network's {dtype}: {', '.join(odd[:4])}"
    if trial.method.trains != bool(names):
        if names:
            shown = ", ".join(sorted(names)[:4])
            return f"the method declares that it does not train, but has trainable tensors: {shown}"
        return "the method declares that it trains, but nothing is trainable"
    trained = trial.trained[0]
    trial.output(trained.backbone)
    changed = sorted(names ^ set(trained.trainable()))
    return f"parameters become trainable or frozen during training: {', '.join(changed[:4])}" if changed else None


@dataclass(frozen=True)
class TensorCopy:
    """A tensor of a module, its attribute name, and a copy of its value."""

    module: nn.Module
    attribute: str
    name: str
    tensor: Tensor
    value: Tensor

    def stays(self, network: nn.Module) -> bool:
        """Return whether the tensor (or its replacement, if `network` no longer contains it) has the copied value."""
        kept = any(tensor is self.tensor for tensor in network.parameters())
        now: Tensor = self.tensor if kept else getattr(self.module, self.attribute)
        return torch.equal(now, self.value)


def frozen_stays(trial: ToyTrial) -> str | None:
    """Check that adapting, training and evaluating leave every frozen weight and buffer bitwise unchanged."""
    network = trial.network()
    held = [*_hold(network, "parameters"), *_hold(network, "buffers")]
    adapted = trial.put_on(network)
    held += [tensor for tensor in _hold(network, "parameters") if tensor.module in adapted.inserted]
    trainable = {id(parameter) for parameter in adapted.trainable().values()}
    frozen = [one for one in held if id(one.tensor) not in trainable]
    passes: dict[str, Callable[[], object]] = {
        "adapting": lambda: None,
        "training": lambda: trial.train(adapted),
        "evaluation": lambda: trial.output(network),
    }
    for when, make in passes.items():
        make()
        if moved := [one.name for one in frozen if not one.stays(network)]:
            return f"tensors that are not trainable are changed by {when}: {', '.join(moved[:4])}"
    return None


def _hold(network: nn.Module, kind: str) -> Iterator[TensorCopy]:
    for prefix, module in network.named_modules():
        for name, tensor in getattr(module, f"named_{kind}")(recurse=False):
            yield TensorCopy(module, name, f"{prefix}.{name}", tensor, tensor.detach().clone())


def unfreezes(trial: ToyTrial) -> str | None:
    """Check that the method trains tensors of the backbone if and only if it declares that it unfreezes them."""
    says, tuned = trial.method.unfreezes or trial.method.tunes_backbone, trial.adapted().backbone.tuned
    if says and not tuned:
        return "the method declares that it unfreezes the backbone, but none of the backbone's tensors is trainable"
    if tuned and not says:
        return f"tensors of the backbone are trainable, but unfreezes is not declared: {', '.join(sorted(tuned)[:4])}"
    return None


def shares(trial: ToyTrial) -> str | None:
    """Check that a trainable tensor is used in several places only if it is one parameter and `shared` is declared.

    Also check that two adapted networks have no trainable tensor in common.
    """
    network, other = trial.adapted().backbone, trial.adapted().backbone
    if common := [name for address, name in _trained(network).items() if address in _trained(other)]:
        return f"two networks share trainable tensors; create new ones in each adapt: {', '.join(common[:4])}"
    places = defaultdict(list)
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and parameter.numel():
            places[id(parameter)].append(name)
    several = [names for names in places.values() if len(names) > 1]
    if several and not trial.method.shared:
        return f"one tensor is used in several places, but shared is not declared: {', '.join(several[0][:4])}"
    both = _overlapping(network)
    return f"two tensors use the same memory: {', '.join(both)}; share one parameter instead" if both else None


def _trained(network: nn.Module) -> dict[int, str]:
    """Return the names of the trainable parameters, by the address of their memory."""
    trained = [(name, one) for name, one in network.named_parameters() if one.requires_grad and one.numel()]
    return {one.untyped_storage().data_ptr(): name for name, one in trained}


def _overlapping(network: nn.Module) -> tuple[str, str] | None:
    """Return the names of a trainable parameter and another tensor that share an element in memory, or None."""
    storages = defaultdict(list)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        storages[tensor.untyped_storage().data_ptr()].append((name, tensor))
    for tensors in storages.values():
        for (one, first), (other, second) in combinations(tensors, 2):
            if (first.requires_grad or second.requires_grad) and _elements(first) & _elements(second):
                return one, other
    return None


def _elements(tensor: Tensor) -> set[int]:
    """Return the offsets of a tensor's elements in its storage, in bytes."""
    places = torch.tensor([tensor.storage_offset()])
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = (places[:, None] + stride * torch.arange(size)).flatten()
    return set((places * tensor.element_size()).tolist())


def gradients(trial: ToyTrial) -> str | None:
    """Check that every trainable parameter receives a gradient, except the parameters in `zero_grad_parameters`."""
    adapted, reached = trial.trained
    exempt = {name for name in adapted.trainable() if name.endswith(trial.method.zero_grad_parameters())}
    if lost := [name for name in adapted.trainable() if name not in reached | exempt]:
        return f"parameters without a gradient in {STEPS} steps: {', '.join(lost[:4])}"
    if not exempt:
        return None
    before = in_training(trial, adapted)[0]
    with restored(adapted.backbone), torch.no_grad():
        for name in exempt:
            adapted.trainable()[name].add_(SHIFT)
        distance = apart(in_training(trial, adapted)[0], before)
    if distance <= ROUNDING:
        return None
    return f"parameters in zero_grad_parameters() change the output by {distance:.1e}: {', '.join(sorted(exempt)[:4])}"


def stored(trial: ToyTrial) -> str | None:
    """Check that loading the stored tensors into a new network with another seed restores the trained network."""
    adapted, _ = trial.trained
    fresh = trial.adapted(seed=2, stored=adapted.state())
    fresh.load(adapted.state())
    distance = apart(trial.output(fresh.backbone), trial.output(adapted.backbone))
    if distance == 0:
        return None
    return f"the output differs by {distance:.1e} after saving and loading; some state is not a parameter or a buffer"


def stores_its_own(trial: ToyTrial) -> str | None:
    """Check that the method stores little that any newly adapted network, with another seed, contains anyway."""
    adapted, fresh = trial.trained[0], trial.adapted(seed=2).state()
    state, trainable = adapted.state(), adapted.trainable()
    idle = [name for name in state if name not in trainable and name in fresh and state[name].equal(fresh[name])]
    own, spare = sum(state[name].nbytes for name in trainable), sum(state[name].nbytes for name in idle)
    if spare <= SPARE * own:
        return None
    found = f"{spare:,} stored bytes are in any new network, compared with {own:,} bytes of trainable parameters"
    return f"{found}: {', '.join(idle[:4])}"


def merges(trial: ToyTrial) -> str | None:
    """Check that merging preserves the output and leaves the unmerged network unchanged."""
    adapted = trial.adapted()
    trial.train(adapted)
    before = trial.output(adapted.backbone)
    for module in adapted.backbone.modules():
        if isinstance(module, Mergeable) and callable(module.merged):
            folded = module.merged()
            if not isinstance(folded, nn.Module):
                return f"merged() returns {folded!r}, expected a module"
    if not trial.output(adapted.backbone).equal(before):
        return "merged() changes the module that it is called on; it must return another module"
    merge(adapted.backbone)
    distance = apart(trial.output(adapted.backbone), before)
    return None if distance <= CLOSE else f"merging changes the output by {distance:.1e}"
