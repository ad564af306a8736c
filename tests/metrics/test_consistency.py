from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from crossfade.metrics.consistency import TemporalConsistency, warp_etc, warp_vspw
from crossfade.motion.field import Motion

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "vspw_warp.npz"


def still(height: int = 12, width: int = 16) -> Motion:
    return Motion(torch.zeros(1, 2, height, width), torch.ones(1, 1, height, width, dtype=torch.bool))


def labels(seed: int, height: int = 12, width: int = 16, classes: int = 4) -> torch.Tensor:
    return torch.randint(0, classes, (1, height, width), generator=torch.Generator().manual_seed(seed))


def vspw_prediction() -> list[np.ndarray]:
    random = np.random.RandomState(2)
    video = [random.randint(0, 5, (24, 32))]
    for _ in range(29):
        changed = random.random_sample((24, 32)) < 0.02
        following = video[-1].copy()
        following[changed] = random.randint(0, 5, changed.sum())
        video.append(following)
    return video


def test_a_static_perfect_video_scores_one():
    metric = TemporalConsistency(4)
    for _ in range(3):
        metric.update(labels(0), labels(0), still())
    assert metric.value() == 1.0
    assert metric.agreement() == 1.0
    assert metric.pixels == 3 * 12 * 16
    assert metric.pairs == 3


def test_a_picture_that_moves_scores_one_and_without_its_motion_does_not():
    world = labels(1, 12, 30)
    previous, now = world[..., 3:19], world[..., 0:16]  # the content moves 3 pixels to the right
    motion = still()
    motion.flow[:, 0] = -3.0
    motion.valid[..., :3] = False
    metric = TemporalConsistency(4)
    metric.update(now, previous, motion)
    assert metric.value() == 1.0
    assert metric.pixels == 12 * 13
    frozen = TemporalConsistency(4)
    frozen.update(now, previous, still())
    assert frozen.value() < 0.5


def test_what_is_hidden_does_not_count():
    now, previous = labels(2), labels(2).clone()
    previous[:, :4] = (previous[:, :4] + 1) % 4
    motion = still()
    masked, open_ = TemporalConsistency(4), TemporalConsistency(4)
    open_.update(now, previous, motion)
    motion.valid[:, :, :4] = False
    masked.update(now, previous, motion)
    assert masked.value() == 1.0
    assert masked.pixels == 8 * 16
    assert open_.value() < 0.8


def test_flicker_costs_what_scikit_learn_says():
    now, previous = labels(3), labels(4)
    metric = TemporalConsistency(4)
    metric.update(now, previous, still())
    assert metric.value() == pytest.approx(jaccard_score(now.flatten(), previous.flatten(), average="macro"))


@pytest.mark.parametrize("form", ["masked", "vspw", "etc"])
def test_nothing_seen_is_nan(form):
    assert np.isnan(TemporalConsistency(4, form).value())


def test_no_pixel_compared_is_nan():
    motion = Motion(torch.zeros(1, 2, 12, 16), torch.zeros(1, 1, 12, 16, dtype=torch.bool))
    metric = TemporalConsistency(4)
    metric.update(labels(0), labels(0), motion)
    assert np.isnan(metric.value())
    assert metric.pixels == 0


def test_merge():
    whole, first, second = (TemporalConsistency(4) for _ in range(3))
    for metric, seeds in ((whole, (5, 6)), (first, (5,)), (second, (6,))):
        for seed in seeds:
            metric.update(labels(seed), labels(seed + 10), still())
    first.merge(second)
    assert first.value() == whole.value()
    assert first.pairs == whole.pairs == 2


def test_the_vspw_warp_matches_the_published_script():
    golden = np.load(GOLDEN)
    flow = torch.from_numpy(2 * np.random.RandomState(9).standard_normal((1, 2, 24, 32)).astype(np.float32))
    warped = warp_vspw(torch.from_numpy(vspw_prediction()[1])[None], flow)
    assert np.array_equal(warped.numpy()[0], golden["tc_warp"])


def test_the_vspw_form_counts_every_pixel():
    now, following = labels(7), labels(7)
    motion = still()
    motion.valid[:] = False
    metric = TemporalConsistency(4, form="vspw")
    metric.update(now, following, motion)
    assert metric.pixels == 12 * 16
    warped = warp_vspw(following, motion.flow)
    assert metric.value() == pytest.approx(jaccard_score(now.flatten(), warped.flatten(), average="macro"))


def test_zero_motion_moves_vspw_s_outermost_pixels_and_nothing_else():
    ones, motion = torch.ones(1, 48, 64, dtype=torch.int64), torch.zeros(1, 2, 48, 64)
    warped = warp_vspw(ones, motion)
    assert 0 < (warped != 1).float().mean() < 0.05
    assert torch.equal(warped[:, 1:-1, 1:-1], ones[:, 1:-1, 1:-1])
    assert torch.equal(warp_etc(ones, motion), ones)


def test_the_etc_warp_interpolates_numbers_clamps_at_the_border_and_cuts_off():
    world, random = labels(8, classes=19), np.random.RandomState(9)
    flow = (3 * random.standard_normal((1, 2, 12, 16))).astype(np.float32)
    said = world[0].numpy().astype(np.float64)
    expected = np.zeros((12, 16), np.int64)
    for y in range(12):
        for x in range(16):
            across, down = np.clip(x + flow[0, 0, y, x], 0, 15), np.clip(y + flow[0, 1, y, x], 0, 11)
            left, top = min(int(across), 14), min(int(down), 10)
            a, b = across - left, down - top
            upper = (1 - a) * said[top, left] + a * said[top, left + 1]
            lower = (1 - a) * said[top + 1, left] + a * said[top + 1, left + 1]
            expected[y, x] = int((1 - b) * upper + b * lower + 1e-4)
    assert np.array_equal(warp_etc(world, torch.from_numpy(flow))[0].numpy(), expected)
    half = torch.tensor([0.5, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    assert warp_etc(torch.tensor([[[0, 13]]]), half).tolist() == [[[6, 13]]]  # a 6 that nobody predicted


def test_the_etc_form_sums_over_pairs_and_averages_all_classes():
    metric = TemporalConsistency(6, form="etc")
    pairs = [(labels(7), labels(9)), (labels(10), labels(10))]
    for now, following in pairs:
        metric.update(now, following, still())
    now, following = (torch.cat(side).flatten() for side in zip(*pairs, strict=True))
    assert metric.value() == pytest.approx(
        jaccard_score(now, following, labels=range(6), average="macro", zero_division=0)
    )
