import numpy as np

from crossfade import visualise
from crossfade.data.video import open_frames
from crossfade.gallery import Gallery, write_clip

COLOURS = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)


def test_ignored_pixels_are_black_in_paint_and_untouched_in_overlays():
    labels = np.array([[0, 1, 255]])
    image = np.full((1, 3, 3), 100, np.uint8)
    assert visualise.colourise(labels, COLOURS).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 0]]]
    mixed = visualise.overlay(image, labels, COLOURS, alpha=0.5)
    assert mixed[0, 2].tolist() == [100, 100, 100]
    assert np.abs(mixed[0, 0].astype(int) - [178, 50, 50]).max() <= 1


def test_a_strip_holds_every_panel_at_one_height():
    panels = [np.full((40, 60, 3), 10, np.uint8), np.full((80, 60, 3), 200, np.uint8)]
    row = visualise.strip(panels, ["frame", "truth"], gap=4)
    assert row.shape[1] == 60 + 4 + 30
    assert (row[-40:, :60] == 10).all()
    assert (row[-40:, 64:] == 200).all()
    assert (row[:-40] < 100).any()  # the captions


def test_a_caption_wider_than_its_panel_is_cut():
    assert visualise.captioned(np.zeros((10, 20, 3), np.uint8), "a very long caption").shape[1] == 20


def test_the_legend_wraps():
    wide = visualise.legend(["Road", "Car"], COLOURS, width=400)
    narrow = visualise.legend(["Road", "Car"], COLOURS, width=70)
    assert narrow.shape[0] == 2 * wide.shape[0]
    assert (wide == [255, 0, 0]).all(-1).any()
    assert (wide == [0, 255, 0]).all(-1).any()


def test_the_wheel_explains_the_colours_of_motion():
    wheel = visualise.motion_wheel(101)
    assert wheel[50, 50].min() > 240  # no motion is white
    for u, v in ((1, 0), (-1, 0), (0, 1), (0.7, -0.7)):
        flow = np.empty((2, 1, 1), np.float32)
        flow[:] = np.array([u, v], np.float32).reshape(2, 1, 1) * 40
        colour = visualise.motion_colours(flow, longest=50.0)[0, 0].astype(int)
        assert np.abs(wheel[50 + round(v * 40), 50 + round(u * 40)].astype(int) - colour).max() < 12
    right, left = (visualise.motion_colours(np.full((2, 1, 1), s, np.float32), 1.0)[0, 0].astype(int) for s in (1, -1))
    assert np.abs(right - left).max() > 150


def test_motion_that_is_not_valid_is_grey():
    image = visualise.motion_colours(np.ones((2, 2, 2), np.float32), valid=np.array([[True, False], [True, True]]))
    assert image[0, 1].tolist() == [128, 128, 128]
    assert image[0, 0].tolist() != [128, 128, 128]


def test_a_gallery_over_frames_without_labels_and_videos_of_two_sizes(tmp_path):
    gallery = Gallery(np.zeros((3, 3), np.uint8), "stcl", "source_only", frozenset({1}), clip_frames=3)
    for k, (height, width) in enumerate(((40, 64), (40, 64), (64, 40))):
        image, labels = np.full((height, width, 3), 90, np.uint8), np.ones((height, width), np.int64)
        gallery.add(k, f"val/a/{k}", image, labels if k == 1 else None, labels, labels)
    assert list(gallery.strips[0].panels) == ["frame", "truth", "source_only", "stcl"]
    assert gallery.clip[0].shape == gallery.clip[1].shape  # the truth keeps its place where there is none
    write_clip(tmp_path / "clip.mp4", gallery.clip, 8)
    written = open_frames(tmp_path / "clip.mp4")
    assert [frame.shape for frame in written] == [(*written.size, 3)] * 3
