"""The style of another frame: its low-frequency amplitudes under one's own phases (FDA, Yang & Soatto, CVPR 2020)."""

import torch
from torch import Tensor


def swap_amplitude(frames: Tensor, style: Tensor, share: float) -> Tensor:
    """Give frames the amplitudes that another frame has at the lowest frequencies, channel by channel.

    In the centred spectrum the square of half-width b = ⌊share · min(H, W)⌋ around frequency 0 is replaced (equation 3
    of the paper); b = 0 leaves one value, the mean colour.

    Args:
        frames: (B, T, 3, H, W) in [0, 1].
        style: (B, 3, H, W) in [0, 1], the same for all frames of a clip.
        share: β of the paper, in [0, 0.5].

    Returns:
        Like `frames`, clamped to [0, 1]; without gradient.
    """
    height, width = frames.shape[-2:]
    reach = int(share * min(height, width))
    with torch.no_grad():
        own, other = torch.fft.fft2(frames.float()), torch.fft.fft2(style.float())[:, None]
        low = (_frequencies(height, frames.device) <= reach)[:, None] & (_frequencies(width, frames.device) <= reach)
        amplitude = torch.where(low, other.abs(), own.abs())
        changed = torch.fft.ifft2(torch.polar(amplitude, own.angle())).real
    return changed.clamp(0, 1).to(frames.dtype)


def _frequencies(size: int, device: torch.device) -> Tensor:
    """|frequency| of every row or column of a spectrum, in cycles a frame."""
    index = torch.arange(size, device=device)
    return torch.minimum(index, size - index)
