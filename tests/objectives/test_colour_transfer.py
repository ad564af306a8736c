import numpy as np
import torch

from crossfade.objectives.colour_transfer import match_histograms, transfer_colour


def reference(source, template):
    """Classic histogram matching of one channel, in numpy."""
    _, inverse, counts = np.unique(source.ravel(), return_inverse=True, return_counts=True)
    others, other_counts = np.unique(template.ravel(), return_counts=True)
    quantiles, other_quantiles = np.cumsum(counts) / source.size, np.cumsum(other_counts) / template.size
    return np.interp(quantiles, other_quantiles, others)[inverse].reshape(source.shape)


def as_frames(array):
    return torch.tensor(array, dtype=torch.float32).div(255)[None, None, None].expand(1, 1, 3, *array.shape)


def test_golden():
    source, template = np.array([[0, 1, 1], [2, 3, 3]]), np.array([[10, 20, 20], [30, 40, 50]])
    matched = match_histograms(as_frames(source), as_frames(template)[:, 0]) * 255
    np.testing.assert_allclose(matched[0, 0, 1].numpy(), [[10, 20, 20], [30, 50, 50]], atol=1e-4)


def test_against_numpy_on_random_images():
    rng = np.random.default_rng(0)
    for seed in range(5):  # of even ones the template has black pixels, too
        source, template = (
            rng.integers(0, 40 + 50 * seed, (9, 11)),
            rng.integers(20 * (seed % 2), 60 + 40 * seed, (13, 7)),
        )
        matched = match_histograms(as_frames(source), as_frames(template)[:, 0]) * 255
        np.testing.assert_allclose(matched[0, 0, 2].numpy(), reference(source, template), atol=1e-3)


def test_one_table_for_a_clip_and_kinds():
    frames, template = torch.rand(2, 3, 3, 8, 8), torch.rand(2, 3, 8, 8) * 0.2 + 0.7
    frames[:, 1, :, 0, 0] = frames[:, 0, :, 0, 0]
    matched = transfer_colour(frames, template, "histogram")
    assert torch.equal(matched[:, 1, :, 0, 0], matched[:, 0, :, 0, 0])
    assert 0.65 < float(matched.mean()) < 0.95
    spread = transfer_colour(frames, template, "mean_spread")
    torch.testing.assert_close(spread.mean((1, 3, 4)), template.mean((2, 3)), atol=0.01, rtol=0)
    assert torch.equal(transfer_colour(frames, template, "off"), frames)
    assert torch.equal(transfer_colour(frames, template, "histogram", 0.0), frames)
