"""The points of the backbone contract, checked on small networks: keys, sizes, sites, heads, merging."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block, Site
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.contract.settings import global_state
from petlir.benchmark.contract.toy_model import CLOSE, ToyTrial, alive, apart
from petlir.benchmark.contract.trial import Trial
from petlir.benchmark.errors import FAULTS, PetlirError, told
from petlir.benchmark.grid import methods
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import merge

SIZES = ((1, 1), (1, 7), (5, 3), (17, 16))
"""Image heights and widths on which a network that accepts any size is tested."""
MERGED = 1e-4
"""The maximum change in output after folding a LoRA into the weights, as a fraction of the largest output."""


class BackboneTrial(Trial):
    """A backbone that is built anew for each check.

    Args:
        build: function that builds a small network with random weights.
    """

    def __init__(self, build: Callable[[], Backbone]) -> None:
        super().__init__()
        self.build = build
        self.example = self.network()
        self.sized_for(self.example)
        self.heads = dict(self.example.heads)

    def network(self, seed: int = 1) -> Backbone:
        """Return a new network in evaluation mode, with weights drawn from `seed`."""
        return alive(self.build, seed).eval()

    def images(self, head: str, size: tuple[int, int] | None = None) -> Tensor:
        """Return two images (2×3×h×w) for `head`, by default of the network's window size or of about 16×16 pixels."""
        side = self.example.window or self.example.patch(head, 16)
        return torch.rand(2, 3, *(size or (side, side)), generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def outputs(self, network: Backbone) -> Tensor:
        """Return the network's outputs for the test images through all heads, as one flat vector."""
        return torch.cat([network(self.images(head), head).flatten() for head in self.heads])


def described(trial: BackboneTrial) -> str | None:
    """Check that the backbone has a name, a docstring, and heads with their scales."""
    network = trial.example
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", getattr(network, "name", "")):
        return "name is missing, or is not lower-case words joined by - or _"
    if not type(network).__doc__:
        return "the class has no docstring"
    if not network.heads:
        return 'heads is empty; expected each head with its scale, e.g. {"restore": 1}'
    wrong = [name for name, scale in network.heads.items() if not isinstance(scale, int) or scale < 1]
    return f"the scale of head {wrong[0]} is {network.heads[wrong[0]]!r}, expected 1 or more" if wrong else None


def keys(trial: BackboneTrial) -> str | None:
    """Check that loading saved weights gives the same outputs, and that a state dict with a missing key is rejected."""
    expected = trial.outputs(network := trial.network())
    state = network.official_state_dict()
    other, third = trial.network(2), trial.network(2)
    other.load_official(state)
    third.load_state_dict(network.state_dict())
    distance = max(apart(trial.outputs(loaded), expected) for loaded in (other, third))
    if distance > 0:
        return f"loading saved weights changes the output by {distance:.1e}; some state is not a parameter or a buffer"
    try:
        trial.network(2).load_official({name: state[name] for name in list(state)[1:]})
    except PetlirError:
        return None
    return f"load_official accepts a state dict without {next(iter(state))}; expected a PetlirError that names this key"


def sizes(trial: BackboneTrial) -> str | None:
    """Check that H×W images give scale·H × scale·W outputs; networks with a window are tested only at the window size.

    For images with a side of one pixel, the network may raise a `PetlirError`.
    """
    window = trial.example.window
    for head, scale in trial.heads.items():
        for size in SIZES if window is None else [(window, window)]:
            what = f"{size[0]}×{size[1]} pixels through {head}"
            try:
                with torch.no_grad():
                    output = trial.example(trial.images(head, size), head)
            except FAULTS as error:
                if isinstance(error, PetlirError) and min(size) == 1:
                    continue
                return f"{what}: {told(error)}"
            expected = (2, 3, scale * size[0], scale * size[1])
            if tuple(output.shape) != expected:
                return f"{what} give {tuple(output.shape)}, expected {expected}"
            if not output.isfinite().all():
                return f"{what} give numbers that are not finite"
    return None


def heads(trial: BackboneTrial) -> str | None:
    """Check that an unknown head is rejected, and that `tunable` yields the parameters that affect a head's output."""
    first = next(iter(trial.heads))
    try:
        trial.example(trial.images(first), "no such head")
        return "an unknown head is not rejected; expected a PetlirError, as raised by `head_index`"
    except PetlirError:
        pass
    for head in trial.heads:
        network = trial.network()
        network(trial.images(head), head).square().sum().backward()
        tunable = {id(parameter) for parameter in network.tunable(head)}
        for name, parameter in network.named_parameters():
            if (parameter.grad is not None) != (id(parameter) in tunable):
                if parameter.grad is None:
                    return f"tunable({head!r}) yields {name}, on which the output of {head} does not depend"
                return f"tunable({head!r}) leaves out {name}, on which the output of {head} depends"
    return None


def blocks(trial: BackboneTrial) -> str | None:
    """Check that blocks have different names, begin with a mixer and end with an mlp, and that sites hold modules."""
    network = trial.network()
    found = list(network.blocks())
    if not found:
        return "blocks() yields nothing, so methods cannot insert modules"
    names = [block.name for block in found]
    if len(set(names)) < len(names):
        return f"two blocks are called {next(name for name in names if names.count(name) > 1)}"
    for block in found:
        kinds = [branch.kind for branch in block.branches]
        if kinds not in (["mixer", "mlp"], ["mixer", "cross", "mlp"]):
            return f"{block.name} has the branches {', '.join(kinds)}; expected mixer, mlp; or mixer, cross, mlp"
    for where, site in _sites(network):
        try:
            site.module  # noqa: B018 - reading the property looks up the module
        except AttributeError as error:
            return f"site {site.name} of {where} holds no module: {error}"
    return None


def _sites(network: Backbone) -> Iterator[tuple[str, Site]]:
    """Yield all sites, each with the name of its block."""
    for block in network.blocks():
        for site in (*block.norms, *block.projections()):
            yield block.name, site
    yield from (("the network", site) for site in network.outer_norms())
    for block in network.blocks():  # last, because a wrapped block hides the sites inside it
        yield block.name, block.site


class Called(nn.Module):
    """A wrapper that records the calls to a module, or to the identity, and scales the output by a factor."""

    def __init__(self, module: nn.Module | None = None, factor: float = 1.0) -> None:
        super().__init__()
        self.module, self.factor = module, factor
        self.seen: list[Tensor] = []

    def forward(self, features: Tensor, *others: object, **named: object) -> Tensor:
        """Call the module."""
        self.seen.append(features.detach())
        output: Tensor = self.module(features, *others, **named) if self.module else features
        return output * self.factor if self.factor != 1 else output


def sites(trial: BackboneTrial) -> str | None:
    """Check that a module that replaces another at a site is called in its place."""
    network = trial.network()
    placed = [(where, site, Called(site.module)) for where, site in list(_sites(network))]
    for _, site, module in placed:
        site.replace(module)
    distance = apart(trial.outputs(network), trial.outputs(trial.example))
    for where, site, module in placed:
        if not module.seen:
            return f"the module that replaces site {site.name} of {where} is never called"
    return f"the output differs by {distance:.1e} although the replacements are equivalent" if distance else None


def hooks(trial: BackboneTrial) -> str | None:
    """Check that hooks have no effect without inserted modules, and that layouts convert features to maps and back."""
    network = trial.network()
    expected = trial.outputs(network)
    for block in network.blocks():
        for branch in block.branches:
            where = f"{branch.kind} of {block.name}"
            beside = Called(factor=0.0)
            branch.parallel(beside)
            if not trial.outputs(network).equal(expected):
                return f"a module that returns zeros, parallel to {where}, changes the output"
            if not beside.seen:
                return f"a module parallel to {where} is not called; call `self.{branch.kind}(branch, norm, features)`"
            if fault := _layout(block, beside.seen[0]):
                return fault
            branch.after(Called(factor=1.5))
            if trial.outputs(network).equal(expected):
                return f"a module after {where} has no effect on the output"
            del branch.hooks.beside[0], branch.hooks.behind[0]
    return None


def _layout(block: Block, features: Tensor) -> str | None:
    """Return the fault in the conversion of a block's features to maps and back, or None."""
    image = block.layout.to_map(features)
    if image.dim() != 4 or image.shape[1] != block.width:
        return f"the layout of {block.name} gives {tuple(image.shape)}, expected N×{block.width}×H×W"
    same = block.layout.from_map(image)
    return None if same.equal(features) else f"from_map(to_map(features)) of {block.name} changes the features"


def merging(trial: BackboneTrial) -> str | None:
    """Check that a LoRA on all projections can be folded into the weights."""
    (lora,) = methods("lora[sites=all; rank=2]", find().methods)
    trained = ToyTrial(lora, partial(alive, trial.build))
    if trained.obstacle is not None:
        return None
    adapted = trained.adapted()
    trained.train(adapted)
    before = trained.output(adapted.backbone)
    merge(adapted.backbone)
    distance = apart(trained.output(adapted.backbone), before)
    return None if distance <= MERGED else f"the output differs by {distance:.1e} after folding a LoRA"


def repeats(trial: BackboneTrial) -> str | None:
    """Check that, in evaluation, an image gives the same output regardless of the other images in its batch."""
    network = trial.network()
    if not trial.outputs(network).equal(trial.outputs(network)):
        return "in evaluation mode, two passes over the same images differ"
    for head in trial.heads:
        images = trial.images(head)
        with torch.no_grad():
            distance = apart(torch.cat([network(image[None], head) for image in images]), network(images, head))
        if distance > CLOSE:
            return f"the output of {head} for an image alone differs by {distance:.1e} from its output in a batch"
    return None


def leaves_no_trace(trial: BackboneTrial) -> str | None:
    """Check that settings stay unchanged, and that networks share nothing and can be built on the meta device."""
    before = global_state()
    network = trial.network()
    expected = trial.outputs(network)
    changed = [name for name, now in global_state().items() if now != before[name]]
    if changed:
        return f"building or using the network changes {', '.join(changed)}"
    with torch.no_grad():
        for tensor in trial.network(2).state_dict().values():
            tensor.zero_()
    if not trial.outputs(network).equal(expected):
        return "changing the weights of a network changes another network of its class; they share weights or settings"
    with without_memory():
        trial.build()
    return None


BACKBONE_POINTS: Mapping[str, Callable[[BackboneTrial], str | None]] = {
    "described": described,
    "saves and loads": keys,
    "sizes": sizes,
    "heads": heads,
    "blocks": blocks,
    "sites": sites,
    "hooks": hooks,
    "merges": merging,
    "repeats": repeats,
    "leaves no trace": leaves_no_trace,
}
"""The points of a backbone's contract by name, in the order of the report."""
