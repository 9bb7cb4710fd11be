"""The registry of metrics under a protocol: their computation, names and formats.

A metric that is added to `METRICS` appears in all outputs.

Evaluation computes every metric in `METRICS` for each restored and each degraded image; records, tables, exports and
the MLflow mirror read names, units and digits from `METRICS`. torch is imported only when a metric is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from petlir.benchmark.protocol import Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from petlir.benchmark.degradation import Image
    from petlir.benchmark.metric import Metric


class Score(NamedTuple):
    """The value of a metric for one restored image.

    `input` is the value for the degraded image, which is enlarged bicubically if it is smaller than the clean image;
    None if the metric was not computed for the degraded image. `protocol` is None for a metric without a protocol.
    """

    set: str
    domain: str
    image: str
    unit: str
    protocol: str | None
    metric: str
    value: float
    input: float | None


def compared(one: Score, other: Score) -> Iterator[tuple[str, float, float]]:
    """Yield the name (e.g. `input_psnr`) and both values of each number present in both of two rows of a metric."""
    yield one.metric, one.value, other.value
    if one.input is not None and other.input is not None:
        yield f"input_{one.metric}", one.input, other.input


@dataclass(frozen=True)
class ProtocolMetric:
    """A metric that can be computed under every protocol.

    Attributes:
        name: the metric's key in records, exports and MLflow.
        title: the metric's display name.
        compute: returns the value for an 8-bit H×W×3 image, or an unrounded 1×3×H×W image in [0, 1], against the clean
            H×W×3 image of the same size.
        digits: decimals in tables.
        unit: empty if dimensionless.
    """

    name: str
    title: str
    compute: Callable[[Image | Tensor, Image, Protocol], float]
    digits: int
    unit: str = ""
    higher_is_better: bool = True

    def text(self, value: float) -> str:
        """Return a value as text with `digits` decimals, without the unit."""
        return f"{value:.{self.digits}f}"

    @property
    def heading(self) -> str:
        """The title with the unit, e.g. `PSNR (dB)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _psnr(image: Image | Tensor, clean: Image, rule: Protocol) -> float:
    from torch import Tensor

    from petlir.benchmark.scoring.psnr_ssim import PSNR, psnr

    return _unrounded(PSNR(rule), image, clean) if isinstance(image, Tensor) else psnr(image, clean, rule)


def _ssim(image: Image | Tensor, clean: Image, rule: Protocol) -> float:
    from torch import Tensor

    from petlir.benchmark.scoring.psnr_ssim import SSIM, ssim

    return _unrounded(SSIM(rule), image, clean) if isinstance(image, Tensor) else ssim(image, clean, rule)


def _unrounded(metric: Metric, image: Tensor, clean: Image) -> float:
    from petlir.benchmark.restoration.restore import to_batch

    return metric(image.cpu(), to_batch(clean))


LEADING = "psnr"
"""The metric that methods are ranked by."""
METRICS: dict[str, ProtocolMetric] = {
    metric.name: metric
    for metric in (
        ProtocolMetric(LEADING, "PSNR", _psnr, 2, "dB"),
        ProtocolMetric("ssim", "SSIM", _ssim, 4),
    )
}
