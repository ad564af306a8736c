"""Forward splatting as DA-VSN does it, for comparison: `crossfade.motion.warp` leaves no holes and needs no luck."""

import torch
from torch import Tensor


def splat(image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Push the pixels of frame j along the motion i→j, taken backwards, to the nearest pixel of frame i.

    The pixel (x, y) of frame j goes to (round(x − u), round(y − v)), halves to even, if that lies inside. The motion is
    read at (x, y) although it lives on frame i's grid: right where motion changes slowly. Of pixels that meet, the one
    furthest right wins, of those in a column the lowest. Pixels that nobody reaches are 0.

    Args:
        image: (B, C, H, W) of frame j.
        flow: (B, 2, H, W), motion i→j in pixels of the same grid.

    Returns:
        The splatted image, and `reached`, (B, 1, H, W) bool.

    Raises:
        ValueError: image and flow are not on the same grid.
    """
    if image.shape[-2:] != flow.shape[-2:] or image.shape[0] != flow.shape[0] or flow.shape[1] != 2:
        raise ValueError(f"image {tuple(image.shape)} and flow {tuple(flow.shape)} are not on the same grid")
    batch, channels, height, width = image.shape
    count = height * width
    column = torch.arange(width, device=flow.device)
    row = torch.arange(height, device=flow.device)[:, None]
    x, y = torch.round(column - flow[:, 0]), torch.round(row - flow[:, 1])
    lands = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = torch.where(lands, y * width + x, count).long().flatten(1)  # all that land nowhere: one bin past the end
    turn = (column * height + row).flatten().expand(batch, -1)
    last = turn.new_full((batch, count + 1), -1).scatter_reduce(1, place, turn, "amax")[:, :count]
    origin = (last % height) * width + last // height
    reached = last >= 0
    pushed = image.flatten(2).gather(2, origin.clamp_min(0)[:, None].expand(-1, channels, -1))
    pushed = torch.where(reached[:, None], pushed, 0.0)
    return pushed.view_as(image), reached.view(batch, 1, height, width)
