"""One geometric transform for frames, labels and motion; photometric changes that stay in range."""

import numpy as np
import pytest
import torch

from crossfade.data.augment import (
    NO_GEOMETRIC,
    NO_PHOTOMETRIC,
    GeometricParameters,
    PhotometricParameters,
    as_input,
    geometric,
    hue_saturation_matrix,
    photometric_frames,
    transform,
    wrapped,
)
from crossfade.data.clip import Clip
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp

H, W = 40, 56


def smooth(seed, channels, amplitude=1.0):
    """Slowly varying (2, channels, H, W)."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(H) / H, torch.arange(W) / W, indexing="ij")
    a, b, c = torch.rand(3, 2, channels, 1, 1, generator=g) * 3
    return amplitude * (0.5 + 0.5 * torch.sin(a * x * 3 + b * y * 3 + c * 2))


def smooth_clip():
    before, flow = smooth(0, 3), smooth(1, 2, 4.0) - 2
    now, inside = warp(before, flow)
    labels = (smooth(2, 2) * 4).long()
    return Clip(torch.stack([before, now], 1), labels, {(1, 0): Motion(flow, inside)}, ("a", "b"))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.6])
def test_warp_commutes_with_the_transform(mirror, scale):
    clip = smooth_clip()
    flips, scales = torch.tensor([mirror, False]), torch.tensor([scale, 1.0])
    moved = transform(clip, flips, scales, torch.tensor([[1.5, -2.0], [0.0, 0.0]]))
    motion = moved.motion[1, 0]
    rebuilt, _ = warp(moved.frames[:, 0], motion.flow)
    valid = motion.valid.expand_as(rebuilt)
    assert float(motion.valid[0].float().mean()) > 0.3
    assert float((rebuilt - moved.now).abs()[valid].max()) < 0.02
    assert float((rebuilt - clip.now).abs()[valid][: 3 * H * W].mean()) > 1e-4 or (scale == 1.0 and not mirror)


def test_mirror_is_exact_and_twice_is_nothing():
    clip = smooth_clip()
    both, no_shift = torch.tensor([True, True]), torch.zeros(2, 2)
    once = transform(clip, both, torch.ones(2), no_shift)
    assert torch.equal(once.frames, clip.frames.flip(-1))
    assert torch.equal(once.labels, clip.labels.flip(-1))
    assert torch.equal(once.motion[1, 0].flow[:, 0], -clip.motion[1, 0].flow[:, 0].flip(-1))
    twice = transform(once, both, torch.ones(2), no_shift)
    assert torch.equal(twice.motion[1, 0].flow, clip.motion[1, 0].flow)


def test_zoom_keeps_label_and_frame_together_and_ignores_outside():
    clip = smooth_clip()
    bands = torch.arange(W).div(8, rounding_mode="floor").expand(2, 2, H, W)
    clip = Clip(bands[:, :, None].expand(-1, -1, 3, -1, -1) / 10.0, bands, clip.motion, clip.names)
    moved = transform(clip, torch.tensor([True, False]), torch.tensor([1.4, 0.6]), torch.zeros(2, 2))
    known = moved.labels != 255
    assert known[0].all()
    assert 0.3 < float(known[1].float().mean()) < 0.42
    shown = (moved.frames[:, :, 0] * 10 - moved.labels).abs()[known]
    assert float((shown < 0.51).float().mean()) > 0.99


def test_geometric_draws_each_clip_its_own_and_from_the_seed():
    clip = smooth_clip()
    torch.manual_seed(3)
    one = geometric(clip, GeometricParameters(scale=(0.8, 1.5)))
    torch.manual_seed(3)
    other = geometric(clip, GeometricParameters(scale=(0.8, 1.5)))
    assert torch.equal(one.frames, other.frames)
    assert not torch.equal(one.frames, geometric(clip, GeometricParameters(scale=(0.8, 1.5))).frames)
    assert torch.equal(geometric(clip, NO_GEOMETRIC).frames, clip.frames)


def test_photometric_range_and_sharing():
    frames = torch.rand(4, 1, 3, 16, 16).expand(-1, 2, -1, -1, -1).contiguous()
    strong = PhotometricParameters(probability=1.0, hue=0.2, grayscale=0.3, blur=1.0, noise=0.0)
    changed = photometric_frames(frames, strong)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    torch.testing.assert_close(changed[:, 0], changed[:, 1])
    assert float((changed - frames).abs().mean()) > 0.02
    alone = photometric_frames(frames, strong.model_copy(update={"shared": False}))
    assert float((alone[:, 0] - alone[:, 1]).abs().mean()) > 0.01
    torch.testing.assert_close(photometric_frames(frames, NO_PHOTOMETRIC), frames)
    noisy = photometric_frames(frames, NO_PHOTOMETRIC.model_copy(update={"noise": 0.1}))
    assert not torch.equal(noisy[:, 0], noisy[:, 1])


def test_hue_keeps_luma_and_no_saturation_is_gray():
    matrix = hue_saturation_matrix(torch.tensor([0.7, 0.0]), torch.tensor([1.0, 0.0]))
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(luma @ matrix[0], luma, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(matrix[1], luma.expand(3, 3), atol=1e-4, rtol=1e-4)


def test_published_range_bug():
    # on the blue channel, whose mean is 104.007: byte 0 -> 103, 104 -> 255, 105 -> 253, 200 -> 158, 255 -> 103
    pixels = torch.tensor([0.0, 104, 105, 200, 255]).div(255).expand(3, 1, 5)
    bytes_ = wrapped(pixels.double())
    np.testing.assert_allclose(255 * bytes_[2, 0].numpy(), [103, 255, 253, 158, 103], atol=1e-9)
    fed = 255 * as_input(bytes_)[2, 0].numpy() - 104.00698793
    np.testing.assert_allclose(fed, bytes_[2, 0].numpy(), atol=1e-4)
