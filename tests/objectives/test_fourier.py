import numpy as np
import pytest
import torch

from crossfade.objectives.fourier import swap_amplitude


def with_numpy(frame, style, share):
    """The centred form of the paper, one channel at a time."""
    out = np.empty_like(frame)
    h, w = frame.shape[-2:]
    b = int(share * min(h, w))
    for c in range(3):
        own = np.fft.fftshift(np.fft.fft2(frame[c]))
        amplitude, phase = np.abs(own), np.angle(own)
        other = np.abs(np.fft.fftshift(np.fft.fft2(style[c])))
        rows, columns = slice(h // 2 - b, h // 2 + b + 1), slice(w // 2 - b, w // 2 + b + 1)
        amplitude[rows, columns] = other[rows, columns]
        out[c] = np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * phase))).real
    return out.clip(0, 1)


@pytest.mark.parametrize(("size", "share"), [((24, 32), 0.1), ((25, 31), 0.05), ((24, 32), 0.0)])
def test_against_numpy(size, share):
    torch.manual_seed(0)
    frames, style = torch.rand(2, 2, 3, *size) * 0.5 + 0.25, torch.rand(2, 3, *size)
    changed = swap_amplitude(frames, style, share)
    for b in range(2):
        for t in range(2):
            expected = with_numpy(frames[b, t].double().numpy(), style[b].double().numpy(), share)
            np.testing.assert_allclose(changed[b, t].numpy(), expected, atol=2e-6)


def test_own_style_changes_nothing_and_mean_colour_is_taken():
    torch.manual_seed(0)
    frames = torch.rand(1, 1, 3, 16, 16) * 0.4 + 0.3
    torch.testing.assert_close(swap_amplitude(frames, frames[:, 0], 0.2), frames)
    brighter = swap_amplitude(frames, frames[:, 0] + 0.1, 0.0)
    torch.testing.assert_close(brighter, frames + 0.1)
