"""The street's motion is exact: it maps surfaces to themselves, forwards and backwards, labels included."""

import cv2
import numpy as np
import pytest

from crossfade.data.street.render import RenderedFrame, render_video

SIZE = (96, 128)


@pytest.fixture(scope="module", params=[("plain", 3), ("camera", 4), ("camera", 7)], ids=str)
def video(request: pytest.FixtureRequest) -> list[RenderedFrame]:
    look, seed = request.param
    return list(render_video(seed, look, 4, SIZE, spans=(1, 2)))


def sample(values: np.ndarray, flow: np.ndarray, interpolation: int) -> np.ndarray:
    """`values` (H, W) read at x + u, y + v."""
    y, x = np.mgrid[: values.shape[0], : values.shape[1]].astype(np.float32)
    return cv2.remap(values, x + flow[0], y + flow[1], interpolation, borderMode=cv2.BORDER_REPLICATE)


def interior(labels: np.ndarray) -> np.ndarray:
    """Away from the borders between labels: the 3x3 neighbourhood has one label."""
    kernel = np.ones((3, 3), np.uint8)
    return cv2.dilate(labels, kernel) == cv2.erode(labels, kernel)


def test_asked_pairs_come_and_no_others(video: list[RenderedFrame]) -> None:
    assert [sorted(frame.motion) for frame in video] == [
        [],
        [(0, 1), (1, 0)],
        [(0, 2), (1, 2), (2, 0), (2, 1)],
        [(1, 3), (2, 3), (3, 1), (3, 2)],
    ]


def test_labels_follow_the_motion(video: list[RenderedFrame]) -> None:
    agree = counted = 0
    for frame in video:
        for (i, j), (flow, valid) in frame.motion.items():
            warped = sample(video[j].labels, flow, cv2.INTER_NEAREST)
            inside = valid & interior(video[i].labels)
            agree += int((warped == video[i].labels)[inside].sum())
            counted += int(inside.sum())
            assert inside.mean() > 0.4
            assert (warped == video[i].labels)[valid].mean() > 0.99
    assert agree / counted >= 0.999


def test_forward_and_backward_cancel(video: list[RenderedFrame]) -> None:
    for i in range(3):
        (flow, valid), (back, back_valid) = video[i + 1].motion[i, i + 1], video[i + 1].motion[i + 1, i]
        labels = video[i].labels
        returned = np.stack([sample(back[k], flow, cv2.INTER_LINEAR) for k in range(2)])
        both = valid & interior(labels) & (sample(back_valid.astype(np.float32), flow, cv2.INTER_LINEAR) > 0.999)
        residual = np.hypot(*(flow + returned))[both]
        assert np.median(residual) < 0.01
        assert np.percentile(residual, 90) < 0.1


def test_depth_agrees_with_motion_of_what_stands_still(video: list[RenderedFrame]) -> None:
    frame = video[0]
    assert frame.depth.dtype == np.float32
    assert np.isinf(frame.depth[frame.labels == 10]).all()
    assert np.isfinite(frame.depth[frame.labels != 10]).all()
    flow, valid = video[1].motion[0, 1]
    road = valid & (frame.labels == 0)
    near = road & (frame.depth < np.percentile(frame.depth[road], 20))
    far = road & (frame.depth > np.percentile(frame.depth[road], 80))
    assert np.hypot(*flow)[near].mean() > 2 * np.hypot(*flow)[far].mean()


def test_colours_follow_the_motion_of_the_plain_look() -> None:
    first, second = render_video(3, "plain", 2, (128, 160))
    flow, valid = second.motion[1, 0]
    channels = [sample(np.ascontiguousarray(first.image[..., k]), flow, cv2.INTER_LINEAR) for k in range(3)]
    warped = np.stack(channels, -1)
    where = valid & interior(second.labels)
    moved = np.abs(warped.astype(float) - second.image)[where].mean()
    still = np.abs(first.image.astype(float) - second.image)[where].mean()
    assert moved < 0.5 * still


def test_what_leaves_the_picture_is_not_valid(video: list[RenderedFrame]) -> None:
    flow, valid = video[1].motion[0, 1]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    outside = (
        (x + flow[0] < -0.5) | (x + flow[0] > SIZE[1] - 0.5) | (y + flow[1] > SIZE[0] - 0.5) | (y + flow[1] < -0.5)
    )
    assert outside.any()
    assert not valid[outside].any()
    assert 0.6 < valid.mean() < 1
