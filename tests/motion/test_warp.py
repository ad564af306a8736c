import pytest
import torch
import torch.nn.functional as F

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp, warp_labels


def constant_flow(u: float, v: float, height: int, width: int) -> torch.Tensor:
    return torch.tensor([u, v], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, height, width).clone()


def smooth_flow(height: int, width: int, seed: int = 0) -> torch.Tensor:
    coarse = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(seed)) * 2
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)


def smooth_image(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 4, width), indexing="ij")
    return torch.stack([torch.sin(x + y), torch.cos(2 * x - y), x * y / 12])[None]


def test_golden_numbers_of_the_resample_layer() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    warped, inside = warp(image, constant_flow(0.5, -0.25, 3, 4))
    expected = torch.tensor([[0.5, 1.5, 2.5, 3.0], [3.5, 4.5, 5.5, 6.0], [7.5, 8.5, 9.5, 10.0]])
    torch.testing.assert_close(warped[0, 0], expected)
    assert inside[0, 0].tolist() == [[False] * 4, [True, True, True, False], [True, True, True, False]]


def test_reference_loop() -> None:
    """Against the sampling rule written out pixel by pixel, far outside the frame too."""
    generator = torch.Generator().manual_seed(1)
    image, flow = torch.rand(1, 2, 7, 9, generator=generator), torch.randn(1, 2, 7, 9, generator=generator) * 6
    expected = torch.empty_like(image)
    for y in range(7):
        for x in range(9):
            sx = min(max(x + flow[0, 0, y, x].item(), 0), 8)
            sy = min(max(y + flow[0, 1, y, x].item(), 0), 6)
            x0, y0 = min(int(sx), 7), min(int(sy), 5)
            a, b = sx - x0, sy - y0
            top = (1 - a) * image[0, :, y0, x0] + a * image[0, :, y0, x0 + 1]
            low = (1 - a) * image[0, :, y0 + 1, x0] + a * image[0, :, y0 + 1, x0 + 1]
            expected[0, :, y, x] = (1 - b) * top + b * low
    torch.testing.assert_close(warp(image, flow)[0], expected, atol=1e-5, rtol=0)


def test_zero_motion_is_the_identity() -> None:
    image = torch.rand(2, 3, 13, 31, generator=torch.Generator().manual_seed(0))
    for mode in ("bilinear", "nearest"):
        warped, inside = warp(image, torch.zeros(2, 2, 13, 31), mode)
        torch.testing.assert_close(warped, image, atol=1e-5, rtol=0)
        assert inside.all()


def test_labels_are_taken_whole_and_ignored_where_unknown() -> None:
    labels = torch.tensor([[[3, 7, 255, 18]]])
    motion = Motion(constant_flow(1.4, 0, 1, 4), torch.tensor([[[[True, False, True, True]]]]))
    # x = 0 looks at 1.4 → 1; x = 1 is not valid; x = 2 looks at 3.4 and x = 3 at 4.4: outside.
    assert warp_labels(labels, motion).tolist() == [[[7, 255, 255, 255]]]
    assert warp_labels(labels, motion, ignore=99).tolist() == [[[7, 99, 99, 99]]]
    unknown = Motion(constant_flow(2, 0, 1, 4), torch.ones(1, 1, 1, 4, dtype=torch.bool))
    assert warp_labels(labels, unknown, ignore=99).tolist() == [[[255, 18, 99, 99]]]  # an ignored pixel stays one


def test_labels_never_blend() -> None:
    labels = torch.randint(0, 19, (1, 20, 30), generator=torch.Generator().manual_seed(2)) // 6 * 6
    valid = torch.ones(1, 1, 20, 30, dtype=torch.bool)
    warped = warp_labels(labels, Motion(smooth_flow(20, 30), valid))
    assert set(warped.unique().tolist()) <= {0, 6, 12, 18, 255}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    warped, _ = warp(torch.ones(1, 1, 5, 6, dtype=dtype), smooth_flow(5, 6).to(dtype))
    assert warped.dtype == dtype
    torch.testing.assert_close(warped.float(), torch.ones(1, 1, 5, 6))


def test_gradients_reach_image_and_flow() -> None:
    image = smooth_image(8, 10).double().requires_grad_()
    flow = constant_flow(0.3, -0.2, 8, 10).requires_grad_()
    warp(image, flow)[0].square().sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert flow.grad is not None
    assert flow.grad.abs().sum() > 0


def test_unknown_motion_is_outside() -> None:
    flow = torch.full((1, 2, 4, 4), torch.nan)
    assert not warp(torch.ones(1, 1, 4, 4), flow)[1].any()


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="not on the same grid"):
        warp(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 8, 8))


def test_resizing_scales_each_axis_by_its_own_ratio() -> None:
    motion = Motion(constant_flow(3, -5, 8, 10), torch.ones(1, 1, 8, 10, dtype=torch.bool)).resized((16, 50))
    assert motion.size == (16, 50)
    torch.testing.assert_close(motion.flow, constant_flow(15, -10, 16, 50))
    assert motion.valid.all()


def test_warp_commutes_with_resizing() -> None:
    image, flow = smooth_image(60, 80), smooth_flow(60, 80)
    motion = Motion(flow, torch.ones(1, 1, 60, 80, dtype=torch.bool)).resized((30, 160))
    small = F.interpolate(image, (30, 160), mode="bilinear")
    after, inside = warp(small, motion.flow)
    before = F.interpolate(warp(image, flow)[0], (30, 160), mode="bilinear")
    error = (after - before).abs()[inside.expand_as(after)]
    assert error.mean() < 0.005
    wrong, _ = warp(small, flow.mean((2, 3), keepdim=True).expand(1, 2, 30, 160))  # a motion that was not rescaled
    assert (wrong - before).abs()[inside.expand_as(after)].mean() > 5 * error.mean()


def test_warp_commutes_with_flipping() -> None:
    image = smooth_image(20, 30)
    motion = Motion(smooth_flow(20, 30), torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(0)) > 0.5)
    flipped = motion.flipped()
    torch.testing.assert_close(flipped.flow[:, 0], -motion.flow[:, 0].flip(-1))
    torch.testing.assert_close(flipped.flow[:, 1], motion.flow[:, 1].flip(-1))
    after, inside = warp(image.flip(-1), flipped.flow)
    before, inside_before = warp(image, motion.flow)
    torch.testing.assert_close(after, before.flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(inside, inside_before.flip(-1))
    assert torch.equal(flipped.valid, motion.valid.flip(-1))
