"""UIR-LoRA on a restoration backbone: one trained LoRA per degradation, chosen or mixed for each image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cell import Cell
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.layers.classifier import ExpertClassifier
from petlir.benchmark.layers.degradation_statistics import DegradationStatistics
from petlir.benchmark.layers.routing import BlockStatistics, ClipEmbedding, Describe, Router
from petlir.benchmark.method import Method, Paper, PriorResults
from petlir.benchmark.restoration.restore import restored
from petlir.methods.lora import LoRA
from petlir.methods.sites import QUERY_VALUE
from petlir.methods.uir_composition import Composer, ExpertSequence, Fixed, fill, insert
from petlir.methods.uir_controls import best_sequence, chosen, mixing_error
from petlir.methods.uir_routing import RouterStudy, loss_in_db

WEIGHTS = ("router", "uniform", "best", "oracle", "sequence")
ROUTERS = ("statistics", "features", "clip")
BATCHES = 4
"""The number of training batches of each degradation whose descriptions are averaged into its prototype."""


@dataclass(frozen=True)
class UIRLoRA(Method):
    """UIR-LoRA (restoration backbone): the LoRAs of finished cells, one per degradation, chosen for each image.

    Source: Zhang et al., UIR-LoRA, arXiv 2409.20197, 2024, re-implemented from the description, as the authors'
    repository does not contain code. The paper composes LoRAs of a generative model; in petlir, the LoRAs adapt the
    restoration backbone. The sites (the same as LoRA's) and the router are not from the paper. The router makes one
    hard decision for each whole image, based on statistics of the degradation: it selects an expert with the same scale
    as the output head, or "none", i.e. the frozen network. The router is trained on the experts' training images and on
    other degradations (`uir_routing.NONE`); its thresholds limit the loss of PSNR on validation images with these other
    degradations. On a mixture of degradations, UIR-LoRA is zero-shot.

    The routers `features` and `clip` are controls: they weight experts by a softmax over the similarities of an image
    to the mean descriptions of the experts' degradations and of clean images. `features` describes an image by the
    features of the network with the head of the first ×1 degradation. By default, `features` uses the deraining head,
    which leaves both rain and noise in the features, whereas a denoising head removes the noise. Further controls are
    `weights=uniform` and, chosen on the task's validation images, `weights=best`, `weights=oracle` and
    `weights=sequence`. Every control can also select the frozen network or include it in the mixture. Except with
    `weights=sequence`, the output head is the head of the task.

    Attributes:
        degradations: the tasks whose LoRAs are mixed, joined by +.
        rank: rank of the LoRAs.
        weights: `router` (chosen for each image), `uniform`, `best` (one LoRA), `oracle` (a convex mixture) or
            `sequence` (one LoRA after another, each with its own head).
        router: basis of the decision: `statistics` of the image, `features` of the frozen backbone, or `clip`.
        top: number of members (experts or the frozen network) that the routers `features` and `clip` mix per image.
        temperature: temperature of the softmax over cosine similarities in the routers `features` and `clip`.
        sites: the projections with LoRAs, as in LoRA's own option.
    """

    name = "uir-lora"
    idea = "UIR-LoRA (restoration backbone): LoRAs of single degradations, one or none chosen for each image."
    paper = Paper.from_bib(__file__, "zhang2024uirlora")
    identity = False
    trains = False

    degradations: str = "sr_x4+derain_heavy+denoise_50+low_light"
    rank: int = 4
    weights: str = "router"
    router: str = "statistics"
    top: int = 2
    temperature: float = 0.1
    sites: str = QUERY_VALUE

    def __post_init__(self) -> None:
        """Validate the options."""
        super().__post_init__()
        if not all(self.tasks) or len(set(self.tasks)) < len(self.tasks):
            raise PetlirError(f"uir-lora: degradations is {self.degradations!r}, expected different tasks joined by +")
        for option, valid in (("weights", WEIGHTS), ("router", ROUTERS)):
            if (value := getattr(self, option)) not in valid:
                raise unknown(f"{option} of uir-lora", value, valid)
        for option in ("rank", "top"):
            if (value := getattr(self, option)) < 1:
                raise PetlirError(f"uir-lora: {option} is {value}, expected a positive whole number")
        if self.temperature <= 0:
            raise PetlirError(f"uir-lora: temperature is {self.temperature}, expected a number above 0")
        soft = self.weights == "router" and self.router != "statistics"
        if not soft and self.changed().keys() & {"top", "temperature"}:
            raise PetlirError("uir-lora: top and temperature are options of router=features and router=clip")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The single degradations."""
        return tuple(self.degradations.split("+"))

    @property
    def lora(self) -> LoRA:
        """The method that adapts the backbone to each single degradation: LoRA."""
        return LoRA(rank=self.rank, sites=self.sites)

    def requires(self, cell: Cell) -> list[Cell]:
        """Return the cells that train the LoRAs of the degradations."""
        return [cell.of(self.lora, task) for task in self.tasks]

    def supports(self, backbone: Backbone) -> str | None:
        """Return the reason why LoRA is not applicable, or None if LoRA is applicable."""
        return self.lora.supports(backbone)

    def adapt(self, backbone: Backbone) -> None:
        """Insert LoRAs and weights of the right shapes; the LoRAs are zero and thus have no effect."""
        self._insert(backbone, PriorResults()).watch(backbone)

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """Insert the trained LoRAs and compute their weights; for a reloaded adapter, insert LoRAs of zeros."""
        composer = self._insert(backbone, prior)
        if prior.stored is None:
            fill(backbone, prior.adapters)
            self._study(backbone, composer, prior)
        composer.watch(backbone)

    def _insert(self, backbone: Backbone, prior: PriorResults) -> Composer:
        like, eligible = next(backbone.parameters()), self._eligible(backbone, prior)
        weigh: Router | ExpertClassifier | Fixed | ExpertSequence
        if self.weights == "sequence":
            weigh = ExpertSequence(prior.heads or self._heads(backbone, prior), like)
        elif self.weights != "router":
            weigh = Fixed(like.new_tensor(eligible, dtype=like.dtype) / (sum(eligible) + 1))
        elif self.router == "statistics":
            describe = DegradationStatistics()
            weigh = ExpertClassifier(describe, describe.width(backbone), eligible).to(like.device)
        else:
            described = self._describe(backbone)
            prototypes = like.new_zeros(len(self.tasks) + 1, described.width(backbone))
            weigh = Router(described, prototypes, self.top, self.temperature)
        self.lora.adapt(backbone)
        return insert(backbone, weigh, len(self.tasks))

    def _eligible(self, backbone: Backbone, prior: PriorResults) -> list[bool]:
        """Return, for each expert, whether its head has the scale of the output head."""
        head = prior.head or str(backbone.head_in_use)
        heads = prior.heads or self._heads(backbone, prior)
        return [backbone.heads[own] == backbone.heads[head] for own in heads]

    def _heads(self, backbone: Backbone, prior: PriorResults) -> tuple[str, ...]:
        """Return the output head once for each expert; it replaces the experts' own heads if these are unknown."""
        return (prior.head or str(backbone.head_in_use),) * len(self.tasks)

    def _describe(self, backbone: Backbone) -> Describe:
        return BlockStatistics(self.reads(backbone)) if self.router == "features" else ClipEmbedding()

    def reads(self, backbone: Backbone) -> str:
        """Return the head for `features`: the first ×1 degradation's head, else the last ×1 head or the last head."""
        same_size = [head for head, scale in backbone.heads.items() if scale == 1]
        named = (name for task in self.tasks for name in (task, backbone.task_heads.get(task)))
        return next((name for name in named if name in same_size), (same_size or list(backbone.heads))[-1])

    def _study(self, backbone: Backbone, composer: Composer, prior: PriorResults) -> None:
        match composer.weigh:
            case ExpertClassifier() as router if prior.images is not None:
                self._study_router(backbone, composer, router, prior)
            case Router() as router:
                batch = prior.batch
                assert batch is not None
                known = ((batch(task, index)[0] for index in range(BATCHES)) for task in self.tasks)
                clean = (batch(self.tasks[0], index)[1] for index in range(BATCHES))
                router.study(backbone, (*known, clean))
            case ExpertSequence() as sequence:
                self._study_sequence(backbone, composer, sequence, prior)
            case Fixed() as fixed if self.weights != "uniform":
                assert prior.validation is not None
                error = partial(mixing_error, backbone, prior.head, composer)
                alone = torch.eye(len(self.tasks)).to(fixed.weights)
                members = [*alone[self._eligible(backbone, prior)], torch.zeros_like(fixed.weights)]
                fixed.weights.copy_(chosen(error, torch.stack(members), prior.validation(), self.weights))

    def _study_router(
        self, backbone: Backbone, composer: Composer, router: ExpertClassifier, prior: PriorResults
    ) -> None:
        def loss(weights: Tensor, degraded: Tensor, clean: Tensor) -> float:
            images = []
            for one in (torch.zeros_like(weights), weights):
                with torch.no_grad(), composer.given(one):
                    images.append(restored(backbone, degraded, prior.head))
            return loss_in_db(images[0], images[1], clean)

        study = RouterStudy(router, backbone, self.tasks, backbone.heads[prior.head], prior)
        study.fit()
        study.calibrate(loss)

    def _study_sequence(
        self, backbone: Backbone, composer: Composer, sequence: ExpertSequence, prior: PriorResults
    ) -> None:
        def run(place: int, image: Tensor) -> Tensor:
            with composer.given(sequence.members[place : place + 1]):
                return restored(backbone, image, [*sequence.heads, prior.head][place])

        assert prior.validation is not None
        scales = [backbone.heads[head] for head in sequence.heads]
        order = best_sequence(run, scales, backbone.heads[prior.head], prior.validation())
        sequence.order[: len(order)] = torch.tensor(order)
