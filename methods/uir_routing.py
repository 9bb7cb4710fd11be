"""Training of UIR-LoRA's router: its examples, and the probability above which it selects an expert."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log10

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.degradation import Chain, Degradation, Image, seed_of
from petlir.benchmark.degradations.blur import GaussianBlur, RandomMotionBlur
from petlir.benchmark.degradations.camera import CameraNoise
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.low_light import LowLight
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.degradations.resize import imresize
from petlir.benchmark.layers.classifier import SURE, ExpertClassifier
from petlir.benchmark.method import PriorResults
from petlir.benchmark.restoration.restore import to_batch, to_image

CLEAN, DARK, NOISY_DARK = "clean", "dark", "low_light_noise"
NONE: Mapping[str, Degradation] = {
    CLEAN: Degradation(),
    DARK: LowLight((1.0, 2.2), (1e6, 1e6), 0.0),
    "deblur": RandomMotionBlur(9),
    "deblur[blur=strong]": RandomMotionBlur(21),
    "gaussian blur 1": GaussianBlur(1),
    "gaussian blur 2": GaussianBlur(2),
    "jpeg": Jpeg(10),
    "jpeg[quality=20]": Jpeg(20),
    "jpeg[quality=40]": Jpeg(40),
    "jpeg 80": Jpeg(80),
    "noise 5": GaussianNoise(5),
    "noise 15": GaussianNoise(15),
    "noise 25": GaussianNoise(25),
    "sidd": CameraNoise(),
    "derain_light": RainStreaks("light"),
    "rain_noise": Chain((RainStreaks("heavy"), GaussianNoise(50))),
    NOISY_DARK: Chain((LowLight(), GaussianNoise(15))),
    "blur_jpeg": Chain((RandomMotionBlur(9), Jpeg(20))),
}
"""Degradations on which the router learns to select no expert, by name. A degradation is left out if an expert's task
has the same name.
"""
SHARE = 4.0
"""The total importance of all kinds of "none" in training; the importance of an expert is 1 or `WEAK_SHARE`."""
WEAK, WEAK_SHARE = 20.0, 4.0
"""A degradation is weak if the mean PSNR of its degraded training images is above `WEAK` dB. `WEAK_SHARE` is the
importance, in training, of the expert for a weak degradation. `WEAK_SHARE` is high because a weak degradation is easily
mistaken for "none", while selecting its expert by mistake does little harm.
"""
IMAGES, CROPS = 64, 4
"""The maximum number of training images per degradation, and of crops of each size from an expert's image."""
SIDES = (48, 96, 192)
"""The sides in pixels of training crops; crops have several sizes, since the statistics depend on the size."""
VALIDATION_IMAGES, DRAWS = 16, 3
"""The maximum number of validation images, and the number of degraded versions of each image for every random kind of
"none".
"""
LOSS = 0.05
"""The maximum mean loss of PSNR against the frozen network, in dB, on every "none" except those in `RESEMBLING`."""
RESEMBLING = (DARK, "noise 5", "rain_noise", "blur_jpeg")
"""Kinds of "none" that resemble an expert's degradation; a bound on their loss would keep the router from selecting
the expert where it helps.
"""
QUANTISATION = 1 / (12 * 255**2)
"""The mean squared error of rounding to 8 bits; it is added to errors, so that much smaller errors do not matter."""

Loss = Callable[[Tensor, Tensor, Tensor], float]
"""(1×K weights, degraded image, clean image) → loss of PSNR in dB against the frozen network; a gain is negative."""


@dataclass(frozen=True)
class RouterStudy:
    """The training of a router on a backbone.

    Attributes:
        router: the router, trained in place.
        backbone: the network whose features some descriptions use.
        tasks: the task of each expert.
        scale: the scale of the experts among which the router chooses.
        prior: training and validation images.
    """

    router: ExpertClassifier
    backbone: Backbone
    tasks: Sequence[str]
    scale: int
    prior: PriorResults

    @property
    def eligible(self) -> list[str]:
        """The tasks of the experts among which the router chooses."""
        return [task for task, able in zip(self.tasks, self.router.eligible, strict=True) if able]

    @property
    def none(self) -> dict[str, Degradation]:
        """The kinds of "none", without those that an expert can restore.

        The kinds of "none" exclude the tasks of the experts, clean and dark images in super-resolution, and noisy low
        light if there is an expert for low light.
        """
        taken = {*self.tasks} | ({CLEAN, DARK} if self.scale > 1 else set())
        if "low_light" in self.tasks:
            taken.add(NOISY_DARK)
        return {name: kind for name, kind in NONE.items() if name not in taken}

    def fit(self) -> None:
        """Train the router; if no expert is eligible, do nothing."""
        if not self.eligible:
            return
        described, labels, importance = [], [], []
        kinds = [(label, self.importance(task), CROPS, self._expert(task)) for label, task in enumerate(self.eligible)]
        none, clean = self.none, list(self._clean())
        weight = SHARE / len(none)
        kinds += [(len(self.eligible), weight, 1, _degraded(name, kind, clean)) for name, kind in none.items()]
        for label, weight, count, images in kinds:
            rows = [self._describe(crop) for place, image in enumerate(images) for crop in _crops(image, place, count)]
            described += rows
            labels += [label] * len(rows)
            importance += [weight / max(1, len(rows))] * len(rows)
        self.router.fit(torch.cat(described), torch.tensor(labels), torch.tensor(importance))

    def calibrate(self, loss: Loss) -> None:
        """Set each expert's threshold in turn to the lowest value at which no kind of "none" loses more than `LOSS`."""
        none = {name: kind for name, kind in self.none.items() if self.eligible and name not in RESEMBLING}
        kinds = [list(self._taken(name, kind, loss)) for name, kind in none.items()]
        bounds = [LOSS * len(kind) for kind in kinds]
        for expert in range(len(self.eligible)):
            own = [[(certainty, lost) for at, certainty, lost in kind if at == expert] for kind in kinds]
            self.router.threshold[expert] = threshold = _lowest(own, bounds)
            for place, kind in enumerate(own):
                bounds[place] -= sum(lost for certainty, lost in kind if certainty >= threshold)

    def _expert(self, task: str) -> Iterator[Image]:
        assert self.prior.images is not None
        yield from (to_image(degraded) for degraded, _ in islice(self.prior.images(task), IMAGES))

    def importance(self, task: str) -> float:
        """Return the importance of an expert in training: `WEAK_SHARE` for a weak degradation, otherwise 1."""
        assert self.prior.images is not None
        pairs = islice(self.prior.images(task), IMAGES)
        errors = [np.square(to_image(one) / 255 - self._shrunk(to_image(clean)) / 255).mean() for one, clean in pairs]
        return WEAK_SHARE if -10 * log10(np.mean(errors) + QUANTISATION) > WEAK else 1.0

    def _clean(self) -> Iterator[Image]:
        """Yield clean training images, downscaled for super-resolution."""
        assert self.prior.images is not None
        for _, clean in islice(self.prior.images(self.eligible[0]), IMAGES):
            yield self._shrunk(to_image(clean))

    def _shrunk(self, image: Image) -> Image:
        return imresize(image, 1 / self.scale) if self.scale > 1 else image

    def _describe(self, image: Image) -> Tensor:
        return self.router.describe(self.backbone, to_batch(image, self.router.numbers.device)).cpu()

    def _taken(self, name: str, kind: Degradation, loss: Loss) -> Iterator[tuple[int, float, float]]:
        """Yield each image's most probable expert, its probability, and the loss of PSNR (0 if it is not selected)."""
        assert self.prior.validation is not None
        device = self.router.numbers.device
        for place, (_, clean) in enumerate(self.prior.validation()[:VALIDATION_IMAGES]):
            for draw in range(DRAWS if _drawn(kind) else 1):
                image = kind.degrade(self._shrunk(to_image(clean)), seed_of("validation", name, place, draw))
                degraded = to_batch(image, device)
                probabilities = self.router.probabilities(self.backbone, degraded)
                certainty, expert = probabilities[0, :-1].max(0)
                weights = self.router.decide(probabilities)
                lost = loss(weights, degraded, clean) if weights.any() else 0.0
                yield int(expert), float(certainty), lost


def _lowest(kinds: Sequence[Sequence[tuple[float, float]]], bounds: Sequence[float]) -> float:
    """Return the lowest threshold at which the summed loss of every kind of "none" is within its bound.

    Args:
        kinds: probabilities and losses of the images of each kind of "none".
        bounds: the maximum summed loss of each kind of "none".
    """

    def bearable(threshold: float) -> bool:
        sums = (sum(lost for certainty, lost in kind if certainty >= threshold) for kind in kinds)
        return all(total <= bound for total, bound in zip(sums, bounds, strict=True))

    certain = sorted({SURE, *(certainty + 1e-6 for kind in kinds for certainty, _ in kind)})
    return next(threshold for threshold in certain if threshold >= SURE and bearable(threshold))


def _degraded(name: str, kind: Degradation, images: Sequence[Image]) -> Iterator[Image]:
    for place, image in enumerate(images):
        yield to_image(to_batch(kind.degrade(image, seed_of("training", name, place))))


def _drawn(kind: Degradation) -> bool:
    """Return whether the degradation draws random numbers, so that degraded versions of an image differ."""
    return kind.random or not kind.whole


def _crops(image: Image, place: int, count: int) -> Iterator[Image]:
    """Yield `count` random crops of each size; if the image is smaller than some sizes, yield it whole once."""
    numbers = np.random.default_rng(seed_of("crops", place))
    largest = max(image.shape[:2])
    for side in sorted({min(side, largest) for side in SIDES}):
        for _ in range(count if side < largest else 1):
            top, left = (int(numbers.integers(0, max(0, length - side) + 1)) for length in image.shape[:2])
            yield image[top : top + side, left : left + side]


def loss_in_db(frozen: Tensor, routed: Tensor, clean: Tensor) -> float:
    """Return how far, in dB, the PSNR of `routed` is below that of `frozen`, both as expected after 8-bit rounding."""
    errors = [float((image.clamp(0, 1) - clean).square().mean()) for image in (routed, frozen)]
    return 10 * (log10(errors[0] + QUANTISATION) - log10(errors[1] + QUANTISATION))
