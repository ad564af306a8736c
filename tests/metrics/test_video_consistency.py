from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from crossfade.metrics.video_consistency import VideoConsistency

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "vspw_vc.npz"


def video(seed: int, share: float, frames: int = 30, classes: int = 5) -> np.ndarray:
    """(T, 24, 32): a random picture of which a share of the pixels is drawn anew each frame."""
    random = np.random.RandomState(seed)
    pictures = [random.randint(0, classes, (24, 32))]
    for _ in range(frames - 1):
        changed = random.random_sample((24, 32)) < share
        following = pictures[-1].copy()
        following[changed] = random.randint(0, classes, changed.sum())
        pictures.append(following)
    return np.stack(pictures)


def holed(truth: np.ndarray, seed: int = 7) -> np.ndarray:
    """With a tenth of the pixels of every frame, and a corner throughout, without a class."""
    holes = np.random.default_rng(seed).random(truth.shape) < 0.02
    holes[:, :4, :4] = True
    return np.where(holes, 255, truth)


def measured(*videos: tuple[np.ndarray, np.ndarray], **options) -> VideoConsistency:
    metric = VideoConsistency(5, **options)
    for truth, prediction in videos:
        for t, p in zip(truth, prediction, strict=True):
            metric.update(torch.from_numpy(p), torch.from_numpy(t))
        metric.end_video()
    return metric


def naive_vc(truth: np.ndarray, prediction: np.ndarray, window: int, compat: bool = False) -> list[float]:
    values = []
    for i in range(len(truth) - window + (0 if compat else 1)):
        t, p = truth[i : i + window], prediction[i : i + window]
        g = (t == t[0]).all(0) & (True if compat else (t != 255).all(0))
        values.append((g & (p == p[0]).all(0)).sum() / g.sum())
    return values


def naive_vec(truth: np.ndarray, prediction: np.ndarray, window: int) -> list[float]:
    values = []
    for i in range(len(truth) - window + 1):
        t, p = truth[i : i + window], prediction[i : i + window]
        seen, ious = (t != 255).all(0), []
        for k in range(5):
            g, q = (t == k).all(0) & seen, (p == k).all(0) & seen
            if (g | q).any():
                ious.append((g & q).sum() / (g | q).sum())
        values.append(np.mean(ious))
    return values


def naive_matrix(truth: np.ndarray, prediction: np.ndarray, window: int) -> float:
    pairs = []
    for i in range(len(truth) - window + 1):
        t, p = truth[i : i + window], prediction[i : i + window]
        g = (t == t[0]).all(0) & (t != 255).all(0)
        said = np.where((p == p[0]).all(0), p[0], 5)  # a sixth class: none
        pairs.append(np.stack([t[0][g], said[g]]))
    counts = confusion_matrix(*np.concatenate(pairs, 1), labels=range(6))
    return np.mean([counts[k, k] / (counts[k].sum() + counts[:, k].sum() - counts[k, k]) for k in range(5)])


def test_the_published_windows():
    golden = np.load(GOLDEN)
    truth, prediction = video(1, 0.01), video(2, 0.02)
    for compat in ("vspw", "dtern"):
        metric = measured((truth, prediction), compat=compat)
        for window in (8, 16):
            assert metric.counted(window) == 30 - window == len(golden[f"vc{window}"])
            assert metric.vc(window) == pytest.approx(golden[f"vc{window}"].mean(), rel=1e-6)
    for window in (8, 16):
        assert naive_vc(truth, prediction, window, compat=True) == pytest.approx(golden[f"vc{window}"], rel=1e-6)


@pytest.mark.parametrize("window", [1, 2, 8, 16])
def test_both_are_what_their_formulas_say(window):
    videos = [(holed(video(s, 0.01)), video(s, 0.01) if s == 3 else video(s + 10, 0.02)) for s in (3, 4)]
    videos.append((holed(video(5, 0.0, 11)), video(5, 0.03, 11)))
    metric = measured(*videos, windows=(window,))
    pooled = [v for t, p in videos for v in naive_vc(t, p, window)]
    assert metric.vc(window) == pytest.approx(np.mean(pooled))
    assert metric.counted(window) == len(pooled)
    assert metric.vec(window) == pytest.approx(np.mean([v for t, p in videos for v in naive_vec(t, p, window)]))
    alone = measured(videos[0], windows=(window,))
    assert alone.vec(window, "matrix") == pytest.approx(naive_matrix(*videos[0], window))


def test_a_static_perfect_video_scores_one_and_steadily_wrong_is_consistent_but_not_right():
    truth = holed(video(1, 0.0, 16))
    right, wrong = video(1, 0.0, 16), (video(1, 0.0, 16) + 1) % 5
    perfect, steady = measured((truth, right)), measured((truth, wrong))
    for window in (8, 16):
        assert perfect.vc(window) == perfect.vec(window) == perfect.vec(window, "matrix") == 1.0
        assert steady.vc(window) == 1.0
        assert steady.vec(window) == steady.vec(window, "matrix") == 0.0


def test_no_window_reaches_over_a_frame_without_labels_or_from_video_to_video():
    truth, prediction = video(1, 0.01, 15), video(2, 0.02, 15)
    metric = VideoConsistency(5, windows=(8,))
    for k in range(15):
        metric.update(torch.from_numpy(prediction[k]), None if k == 9 else torch.from_numpy(truth[k]))
    metric.end_video()
    assert metric.counted(8) == 2
    assert metric.vc(8) == pytest.approx(np.mean(naive_vc(truth[:9], prediction[:9], 8)))
    halves = measured((truth[:7], prediction[:7]), (truth[7:], prediction[7:]), windows=(8,))
    assert halves.counted(8) == 1
    sparse = VideoConsistency(5, windows=(8,))
    for k in range(15):
        sparse.update(torch.from_numpy(prediction[k]), torch.from_numpy(truth[k]) if k % 5 == 0 else None)
    sparse.end_video()
    assert np.isnan([sparse.vc(8), sparse.vec(8), sparse.vec(8, "matrix")]).all()


def test_short_videos_are_left_out_where_dtern_does():
    short, long = (video(1, 0.01, 16), video(2, 0.02, 16)), (video(3, 0.01, 17), video(4, 0.02, 17))
    assert measured(short, long, compat="vspw").counted(8) == 8 + 9
    assert measured(short, long, compat="dtern").counted(8) == 9
    assert measured(short, long, compat="dtern").counted(16) == 1
    assert measured(short, long).counted(16) == 1 + 2


def test_pixels_without_a_class_count_for_vspw_alone():
    truth = np.full((9, 24, 32), 255)
    truth[:, 12:] = 2
    prediction = np.full_like(truth, 2)
    prediction[::2, :12] = 1  # flickers where there is no truth
    assert measured((truth, prediction), windows=(8,)).vc(8) == 1.0
    assert measured((truth, prediction), windows=(8,), compat="vspw").vc(8) == 0.5


def test_parts_merge_into_the_whole():
    videos = [(holed(video(s, 0.01)), video(s + 10, 0.02)) for s in (3, 4)]
    whole, first, second = measured(*videos), measured(videos[0]), measured(videos[1])
    first.merge(second)
    for window in (8, 16):
        assert first.vc(window) == pytest.approx(whole.vc(window))
        assert first.vec(window) == pytest.approx(whole.vec(window))
        assert first.vec(window, "matrix") == whole.vec(window, "matrix")


@pytest.mark.parametrize("prediction, truth", [(5, 0), (0, 5), (255, 0)])
def test_an_id_outside_the_classes_is_refused(prediction, truth):
    with pytest.raises(ValueError, match=r"outside 0\.\.4"):
        VideoConsistency(5).update(torch.full((2, 2), prediction), torch.full((2, 2), truth))
