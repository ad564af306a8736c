import numpy as np
import pytest
import torch

from crossfade.motion.splat import splat
from crossfade.motion.warp import warp


def loop(image, flow):
    """The published loop: x outer, y inner, Python's round, later writes win."""
    out = np.zeros_like(image)
    _, h, w = image.shape
    for x in range(w):
        for y in range(h):
            to_x, to_y = round(float(x - flow[0, y, x])), round(float(y - flow[1, y, x]))
            if 0 <= to_x < w and 0 <= to_y < h:
                out[:, to_y, to_x] = image[:, y, x]
    return out


@pytest.mark.parametrize("spread", [0.4, 2.0, 30.0])
def test_against_the_loop(spread):
    torch.manual_seed(0)
    image = torch.rand(2, 3, 9, 13) + 0.1
    flow = (torch.randn(2, 2, 9, 13) * spread * 2).round() / 2  # halves are rounded to even
    out, reached = splat(image, flow)
    for b in range(2):
        np.testing.assert_array_equal(out[b].numpy(), loop(image[b].numpy(), flow[b].numpy()))
    assert torch.equal(reached, (out > 0).all(1, keepdim=True))


def test_whole_steps_agree_with_the_warp_where_anything_arrives():
    image = torch.rand(1, 2, 8, 10)
    flow = torch.zeros(1, 2, 8, 10)
    flow[:, 0], flow[:, 1] = 3.0, -2.0
    (pushed, reached), (pulled, inside) = splat(image, flow), warp(image, flow)
    assert torch.equal(reached, inside)
    torch.testing.assert_close(pushed, torch.where(inside, pulled, 0.0))


def test_grids_must_agree():
    with pytest.raises(ValueError, match="not on the same grid"):
        splat(torch.rand(1, 2, 8, 10), torch.zeros(1, 2, 4, 5))
