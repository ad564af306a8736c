"""HRDA (Hoyer et al., ECCV 2022): the whole frame at half its resolution for context, windows of it at full for detail.

Both go through one network of any other kind. Where a window has been looked at, a learned scale attention, which sees
the context, weighs the two predictions class by class. In training one random window is looked at; in evaluation
windows slide over the whole frame, and where they overlap their predictions are averaged.
"""

import itertools
from collections.abc import Mapping
from typing import Any, final

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from crossfade.errors import UserError
from crossfade.networks.base import Edits, FrameNetwork, FrameOutput, upsample


@final
class HRDA(FrameNetwork):
    """Two resolutions of a frame, fused by attention.

    Features are those of the context, so strides are twice the inner network's; logits and embedding are fused and as
    fine as the inner network's on the full frame. The auxiliary logits are the detail's, and the context's where no
    window was looked at: with an auxiliary weight of 0.1 they are the published detail loss, λ_d = 0.1. Frames are
    brought to the nearest size that windows fit (multiples of twice the deepest stride).
    """

    def __init__(
        self,
        num_classes: int,
        inner: Mapping[str, Any],
        width: PositiveInt = 64,
        overlap: bool = True,
        pretrained: bool = True,
    ) -> None:
        """Build the inner network and the attention.

        Args:
            num_classes: K.
            inner: `kind` and arguments of the network that looks.
            width: of the attention's hidden layer.
            overlap: windows slide by half their size in evaluation (9 windows, published), or lie side by side (4).
            pretrained: False: the inner network without pretrained weights, whatever it says.

        Raises:
            UserError: unknown kind or argument of the inner network, or it is one of these itself.
        """
        from crossfade.networks import NetworkParameters, build_frame_network  # the registry knows this class

        super().__init__()
        if not isinstance(inner.get("kind"), str) or inner["kind"] == "hrda":
            raise UserError(
                "network kind 'hrda' in params.yaml: inner: it cannot look through itself; give `kind` and arguments "
                "of another network"
            )
        parameters = NetworkParameters.model_validate(dict(inner))
        self.num_classes = num_classes
        self.overlap = overlap
        self.inner = build_frame_network(parameters if pretrained else parameters.untrained(), num_classes)
        self.align_corners = self.inner.align_corners
        embedding = self.inner.embedding_channels
        self.attention = nn.Sequential(
            nn.Conv2d(embedding, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, num_classes, 1),
        )
        self.unit = max(self.inner.channels)

    @property
    def channels(self) -> dict[int, int]:
        """See FrameNetwork; the inner network's at half the resolution."""
        return {2 * stride: width for stride, width in self.inner.channels.items()}

    @property
    def embedding_channels(self) -> int:
        """See FrameNetwork."""
        return self.inner.embedding_channels

    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """See FrameNetwork; of the context."""
        unknown = set(edits or ()) - set(self.channels)
        if unknown:
            raise ValueError(f"the encoder has no stride {sorted(unknown)}; it has {sorted(self.channels)}")
        halved = {stride // 2: edit for stride, edit in (edits or {}).items()}
        features = self.inner.encode(_halved(_fitted(image, self.unit)), halved)
        return {2 * stride: maps for stride, maps in features.items()}

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork; the detail is looked at here, in the frame under key 1."""
        image = _fitted(features[1], self.unit)
        halved = {stride // 2: maps for stride, maps in features.items() if stride != 1}
        context = self.inner.decode({1: _halved(image), **halved})
        attention = self.attention(context.embedding).sigmoid()
        corners, size = self._windows(image.shape[-2], image.shape[-1])
        crops = [image[:, :, y : y + size[0], x : x + size[1]] for y, x in corners]
        detail = self.inner(torch.cat(crops))
        stride = round(size[0] / detail.logits.shape[-2])
        grid = (image.shape[-2] // stride, image.shape[-1] // stride)
        aligned = self.align_corners
        wide, embedding, weight = (upsample(x, grid, aligned) for x in (context.logits, context.embedding, attention))
        places = [(y // stride, x // stride) for y, x in corners]
        window = (size[0] // stride, size[1] // stride)
        logits, seen = _spread(upsample(detail.logits, window, aligned), places, grid)
        fine, _ = _spread(upsample(detail.embedding, window, aligned), places, grid)
        weight = weight * seen
        fused = wide + weight * (logits - wide)
        embedding = embedding + weight.mean(1, keepdim=True) * (fine - embedding)
        aux = torch.where(seen, logits, wide)
        return FrameOutput(fused, {k: maps for k, maps in features.items() if k}, embedding, aux)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """See FrameNetwork."""
        groups = self.inner.parameter_groups()
        return {"encoder": groups["encoder"], "head": [*groups["head"], *self.attention.parameters()]}

    def published_encoder(self) -> nn.Module | None:
        """See FrameNetwork; it looks at the context."""
        encoder = self.inner.published_encoder()
        return None if encoder is None else _OfContext(self.unit, encoder)

    def _windows(self, height: int, width: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        """Corners (y, x) of the windows to look at, and their size: half the frame's."""
        size = (height // 2, width // 2)
        if self.training:
            last = [(whole - part) // self.unit for whole, part in zip((height, width), size, strict=True)]
            y, x = (int(torch.randint(count + 1, ())) * self.unit for count in last)
            return [(y, x)], size
        starts = []
        for whole, part in zip((height, width), size, strict=True):
            step = max(self.unit, part // 2 // self.unit * self.unit) if self.overlap else part
            starts.append(sorted({*range(0, whole - part, step), whole - part}))
        return list(itertools.product(*starts)), size


class _OfContext(nn.Module):
    """An encoder that is shown the context, its features named by the strides that they have in the frame."""

    def __init__(self, unit: int, encoder: nn.Module) -> None:
        super().__init__()
        self.unit = unit
        self.encoder = encoder

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """(B, 3, H, W) → features by stride."""
        return {2 * stride: maps for stride, maps in self.encoder(_halved(_fitted(image, self.unit))).items()}


def _fitted(image: Tensor, unit: int) -> Tensor:
    """The frame at the nearest size that is a multiple of twice `unit`."""
    size = [max(2 * unit, round(length / (2 * unit)) * 2 * unit) for length in image.shape[-2:]]
    return upsample(image, (size[0], size[1]))


def _halved(image: Tensor) -> Tensor:
    """The frame at half its resolution, by area averaging."""
    return F.avg_pool2d(image, 2)


def _spread(parts: Tensor, places: list[tuple[int, int]], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Lay windows out on the frame's grid, averaged where they overlap.

    Args:
        parts: (windows·B, C, h, w), window by window.
        places: corner of each on the grid.
        grid: (H, W).

    Returns:
        (B, C, H, W), 0 where there is no window, and (1, 1, H, W) bool, where there is one.
    """
    height, width = parts.shape[-2:]
    total: Tensor | None = None
    count = torch.zeros(1, 1, *grid, dtype=parts.dtype, device=parts.device)
    for part, (y, x) in zip(parts.chunk(len(places)), places, strict=True):
        around = (x, grid[1] - x - width, y, grid[0] - y - height)
        laid = F.pad(part, around)
        total = laid if total is None else total + laid
        count[:, :, y : y + height, x : x + width] += 1
    assert total is not None
    return total / count.clamp_min(1), count > 0
