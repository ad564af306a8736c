"""Augmentation of a batch of clips: one geometric transform for frames, labels and motion; photometric noise.

All randomness is drawn from the global torch generator, on the CPU, so that a step's seed decides it on any device.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator
from torch import Tensor

from crossfade.data.clip import IGNORE, Clip
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp


class GeometricParameters(BaseModel):
    """A random mirror and a random zoom with a random window.

    Attributes:
        flip: probability of mirroring a clip horizontally.
        scale: range of the zoom, drawn log-uniformly; above 1 a window is cropped and enlarged, below 1 the clip is
            shrunk and the rest filled by reflection, its labels ignored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: float = Field(default=0.5, ge=0.0, le=1.0)
    scale: tuple[float, float] = (0.8, 1.5)

    @model_validator(mode="after")
    def _ordered(self) -> "GeometricParameters":
        if not 0.3 <= self.scale[0] <= self.scale[1] <= 4.0:
            raise ValueError(f"scale {self.scale} must be an increasing pair within [0.3, 4]")
        return self


class PhotometricParameters(BaseModel):
    """Random changes of colour and sharpness.

    Attributes:
        probability: of the colour changes (brightness … gamma) happening to a clip at all.
        brightness, contrast, saturation: factors are drawn from [1 - x, 1 + x] (0: none).
        hue: angle is drawn from ±x of a full turn (0: none).
        gamma: exponent is drawn log-uniformly from [1 / (1 + x), 1 + x] (0: none).
        grayscale: probability.
        blur: probability of a Gaussian blur, of standard deviation `blur_sigma` (range, in pixels).
        noise: the standard deviation of Gaussian noise is drawn from [0, x], values being in [0, 1]; drawn per pixel.
        shared: the same change for all frames of a clip (False: each frame its own).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    probability: float = Field(default=0.8, ge=0.0, le=1.0)
    brightness: float = Field(default=0.4, ge=0.0, lt=1.0)
    contrast: float = Field(default=0.4, ge=0.0, lt=1.0)
    saturation: float = Field(default=0.4, ge=0.0, le=1.0)
    hue: float = Field(default=0.05, ge=0.0, le=0.5)
    gamma: NonNegativeFloat = 0.3
    grayscale: float = Field(default=0.1, ge=0.0, le=1.0)
    blur: float = Field(default=0.3, ge=0.0, le=1.0)
    blur_sigma: tuple[float, float] = (0.3, 1.5)
    noise: NonNegativeFloat = 0.03
    shared: bool = True


NO_PHOTOMETRIC = PhotometricParameters(probability=0.0, grayscale=0.0, blur=0.0, noise=0.0)
NO_GEOMETRIC = GeometricParameters(flip=0.0, scale=(1.0, 1.0))


class Placement(NamedTuple):
    """How clips were mirrored and zoomed; the arguments of `transform`."""

    mirror: Tensor
    scale: Tensor
    shift: Tensor


def geometric(clip: Clip, parameters: GeometricParameters) -> Clip:
    """One random mirror and zoom a clip, the same for its frames, labels and motion."""
    return transform(clip, *draw_placement(clip, parameters))


def draw_placement(clip: Clip, parameters: GeometricParameters) -> Placement:
    """A random mirror and zoom for each clip of a batch."""
    batch, (height, width) = clip.frames.shape[0], clip.frames.shape[-2:]
    low, high = (math.log(s) for s in parameters.scale)
    mirror = torch.rand(batch) < parameters.flip
    scale = torch.exp(low + (high - low) * torch.rand(batch))
    place = 2 * torch.rand(batch, 2) - 1
    slack = torch.tensor([width - 1.0, height - 1.0]) / 2 * (1 - 1 / scale).abs()[:, None]
    return Placement(mirror, scale, place * slack)


def transform(clip: Clip, mirror: Tensor, scale: Tensor, shift: Tensor) -> Clip:
    """Mirror and zoom: the output pixel x shows the input's at centre + shift ± (x - centre) / scale.

    Frames are sampled bilinearly (reflected beyond the border), labels by nearest neighbour (ignored beyond it), motion
    bilinearly with its values multiplied by the zoom and x negated under a mirror; it is valid where all it was
    interpolated from is, and where it still leads into the frame.

    Args:
        clip: any batch of clips.
        mirror: (B,) bool.
        scale: (B,), above 0.
        shift: (B, 2), x and y in pixels of the input.
    """
    device = clip.frames.device
    mirror, scale, shift = mirror.to(device), scale.to(device), shift.to(device)
    if bool((scale == 1).all()) and bool((shift == 0).all()):
        return _mirrored(clip, mirror)
    batch, _, _, height, width = clip.frames.shape
    sign = torch.where(mirror, -1.0, 1.0).to(scale)
    x = torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2
    y = torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2
    x = (sign / scale)[:, None] * x + shift[:, :1] + (width - 1) / 2
    y = (1 / scale)[:, None] * y + shift[:, 1:] + (height - 1) / 2
    inside = _within(x, width, 0.5)[:, None, :] & _within(y, height, 0.5)[:, :, None]
    covered = _within(x, width, 0.0)[:, None, :] & _within(y, height, 0.0)[:, :, None]
    grid = torch.stack(
        [
            (2 * x / (width - 1) - 1)[:, None, :].expand(batch, height, width),
            (2 * y / (height - 1) - 1)[:, :, None].expand(batch, height, width),
        ],
        dim=-1,
    )
    frames = _sample(clip.frames.flatten(1, 2), grid, "bilinear", "reflection").view_as(clip.frames)
    labels = None
    if clip.labels is not None:
        labels = _sample(clip.labels.float(), grid, "nearest", "border").long()
        labels = torch.where(inside[:, None], labels, IGNORE)
    factor = torch.stack([sign * scale, scale], dim=1)[:, :, None, None]
    motion = {
        pair: Motion(
            _sample(m.flow, grid, "bilinear", "border") * factor,
            _sample(m.valid.float(), grid, "bilinear", "zeros") > 0.999,
        )
        for pair, m in clip.motion.items()
    }
    return Clip(frames, labels, {pair: _leading_inside(m, covered) for pair, m in motion.items()}, clip.names)


def _mirrored(clip: Clip, mirror: Tensor) -> Clip:
    """Mirror the chosen clips exactly (no interpolation)."""
    if not bool(mirror.any()):
        return clip
    pick = mirror.view(-1, 1, 1, 1)
    labels = clip.labels
    motion = {}
    for pair, m in clip.motion.items():
        flipped = m.flipped()
        motion[pair] = Motion(torch.where(pick, flipped.flow, m.flow), torch.where(pick, flipped.valid, m.valid))
    return Clip(
        frames=torch.where(pick[..., None], clip.frames.flip(-1), clip.frames),
        labels=None if labels is None else torch.where(pick, labels.flip(-1), labels),
        motion=motion,
        names=clip.names,
    )


def _leading_inside(motion: Motion, covered: Tensor) -> Motion:
    """Invalid where the motion leads out of the frame, or to what was filled in (not `covered`)."""
    filled, within = warp(covered[:, None].float(), motion.flow)
    return Motion(motion.flow, motion.valid & within & (filled > 0.999))


def _within(position: Tensor, size: int, margin: float) -> Tensor:
    return (position >= -margin) & (position <= size - 1 + margin)


def _sample(image: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    return F.grid_sample(image, grid.to(image.dtype), mode=mode, padding_mode=padding, align_corners=True)


def photometric(clip: Clip, parameters: PhotometricParameters) -> Clip:
    """Random changes of colour and sharpness; labels and motion stay."""
    return replace(clip, frames=photometric_frames(clip.frames, parameters))


def photometric_frames(frames: Tensor, parameters: PhotometricParameters) -> Tensor:
    """Random changes of colour and sharpness.

    Args:
        frames: (B, T, 3, H, W) in [0, 1].
        parameters: their kinds and sizes.

    Returns:
        The same shape, clamped to [0, 1].
    """
    batch, length = frames.shape[:2]
    draws = batch if parameters.shared else batch * length
    images = frames.flatten(0, 1)
    matrix, offset, gamma = _colour_draws(draws, parameters)
    sigma = _uniform(draws, *parameters.blur_sigma)
    sigma = torch.where(torch.rand(draws) < parameters.blur, sigma, 0.0)
    strength = _uniform(draws, 0.0, parameters.noise)
    if parameters.shared:
        matrix, offset, gamma, sigma, strength = (
            value.repeat_interleave(length, 0) for value in (matrix, offset, gamma, sigma, strength)
        )
    to = images.device
    images = _recoloured(images, matrix.to(to), offset.to(to), gamma.to(to))
    images = _blurred(images, sigma)
    if parameters.noise > 0:
        images = (images + torch.randn(images.shape).to(to) * strength.to(to)[:, None, None, None]).clamp(0, 1)
    return images.view_as(frames)


def _colour_draws(count: int, p: PhotometricParameters) -> tuple[Tensor, Tensor, Tensor]:
    """Random colour matrices (N, 3, 3), offsets relative to the mean brightness (N,) and gamma exponents (N,)."""
    happens = torch.rand(count) < p.probability
    brightness, contrast, saturation = (
        torch.where(happens, _uniform(count, 1 - x, 1 + x), 1.0) for x in (p.brightness, p.contrast, p.saturation)
    )
    saturation = torch.where(torch.rand(count) < p.grayscale, 0.0, saturation)
    angle = torch.where(happens, _uniform(count, -p.hue, p.hue) * 2 * math.pi, 0.0)
    gamma = torch.where(happens, torch.exp(_uniform(count, -1, 1) * math.log1p(p.gamma)), 1.0)
    matrix = hue_saturation_matrix(angle, saturation) * (brightness * contrast)[:, None, None]
    return matrix, brightness * (1 - contrast), gamma


def hue_saturation_matrix(angle: Tensor, saturation: Tensor) -> Tensor:
    """(N, 3, 3) matrices that turn the chroma plane of YIQ by `angle` (N,), radians, and scale it by `saturation` (N,).

    Luma stays; a linear stand-in for the hue of HSV at a seventieth of its cost.
    """
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    cos, sin = saturation * torch.cos(angle), saturation * torch.sin(angle)
    turn = torch.zeros(len(angle), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq


def _recoloured(images: Tensor, matrix: Tensor, offset: Tensor, gamma: Tensor) -> Tensor:
    mean = images.mean(dim=(1, 2, 3))
    changed = torch.einsum("bij,bjhw->bihw", matrix.to(images.dtype), images) + (offset * mean)[:, None, None, None]
    changed = changed.clamp(0, 1)
    if bool((gamma == 1).all()):
        return changed
    return changed.clamp_min(1e-6).pow(gamma[:, None, None, None])


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of the images whose sigma (N,) is above 0."""
    chosen = torch.nonzero(sigma > 0).flatten()
    if len(chosen) == 0:
        return images
    from kornia.filters import gaussian_blur2d

    size = 2 * math.ceil(2 * float(sigma.max())) + 1
    spread = sigma[chosen][:, None].expand(-1, 2).to(images)
    chosen = chosen.to(images.device)
    return images.index_copy(0, chosen, gaussian_blur2d(images[chosen], (size, size), spread))


def _uniform(count: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(count)


CAFFE_MEAN_RGB = (122.67891434, 116.66876762, 104.00698793)


def wrapped(images: Tensor) -> Tensor:
    """The range bug of the TPS/STCL code (`strong_aug: legacy_wrap`): mean-subtracted values cast to bytes.

    v = trunc(255·(255·image − mean)) mod 256. Colours change then, and `as_input` gives the network what comes of it.

    Args:
        images: (..., 3, H, W) RGB in [0, 1].

    Returns:
        v / 255, of the same shape, in [0, 1].
    """
    byte = torch.remainder(torch.trunc(255 * (255 * images.double() - _caffe_mean(images))), 256)
    return (byte / 255).to(images.dtype)


def as_input(values: Tensor) -> Tensor:
    """The image in [0, 1] that a network which subtracts the Caffe mean from 255·image turns into these values.

    The other half of the range bug: values in [0, 1] are fed where mean-subtracted ones are expected.

    Args:
        values: (..., 3, H, W), red first.
    """
    return ((values.double() + _caffe_mean(values)) / 255).to(values.dtype)


def _caffe_mean(like: Tensor) -> Tensor:
    return torch.tensor(CAFFE_MEAN_RGB, dtype=torch.float64, device=like.device).view(3, 1, 1)
