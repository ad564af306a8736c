"""Manifests, label spaces, and the checks that come before any work."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from crossfade.data.checks import check_files, check_length, check_motion, check_videos, count_classes
from crossfade.data.labels import label_space_names, load_label_space
from crossfade.data.manifest import Manifest, read_image, read_label
from crossfade.errors import UserError

CITYSCAPES_TO_CAMVID = [3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10]


def test_cityscapes_maps_into_camvid():
    table = load_label_space("camvid11").table("cityscapes19")
    assert table[:19].tolist() == CITYSCAPES_TO_CAMVID
    assert (table[19:] == 255).all()


@pytest.mark.parametrize("name", label_space_names())
def test_every_label_space_maps_its_own_ids_to_themselves(name):
    space = load_label_space(name)
    assert space.table(name)[: len(space.classes)].tolist() == list(range(len(space.classes)))
    assert len({tuple(c) for c in space.colours.tolist()}) == len(space.classes)


def test_unknown_space_and_table():
    with pytest.raises(UserError, match="did you mean 'camvid11'"):
        load_label_space("camvid1")
    with pytest.raises(UserError, match="no mapping from the ids of 'synthia'"):
        load_label_space("viper15").table("synthia")


def test_manifest_round_trip(tiny):
    again = Manifest.load(tiny.root)
    assert again.videos == tiny.videos
    assert len(again.files) == 30
    with pytest.raises(UserError, match=r"no manifest\.json"):
        Manifest.load(tiny.root / "train")


def test_whole_data_passes(tiny):
    check_files(tiny)
    check_videos(tiny, ("train", "val"))
    check_motion(tiny, ("train",), tiny.root / "motion")
    counts = count_classes(tiny, ("train",), load_label_space("camvid11"))
    assert counts.sum() == 10 * 24 * 32


def test_truncated_images(tiny):
    ref = tiny.videos[0].frames[1].image
    path = tiny.root / ref
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"1\.png.*bytes, but had"):
        check_files(tiny)
    with pytest.raises(UserError, match="truncated"):
        read_image(tiny.root, ref)
    ok, jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))
    assert ok
    (tiny.root / "x.jpg").write_bytes(jpeg.tobytes()[:-30])
    with pytest.raises(UserError, match="truncated"):
        read_image(tiny.root, "x.jpg")
    (tiny.root / "x.png").write_bytes(b"hello")
    with pytest.raises(UserError, match="not an image"):
        read_image(tiny.root, "x.png")


def test_a_jpeg_with_something_after_its_end_is_whole_and_one_with_a_small_one_inside_is_not(tiny):
    def jpeg(size):
        return cv2.imencode(".jpg", np.full((size, size, 3), 90, np.uint8))[1].tobytes()

    image, thumbnail = jpeg(64), jpeg(8)
    (tiny.root / "phone.jpg").write_bytes(image + b"trailer of a phone")
    assert read_image(tiny.root, "phone.jpg").shape == (64, 64, 3)
    header = b"\xff\xe1" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    (tiny.root / "cut.jpg").write_bytes(image[:2] + header + image[2:-40])
    with pytest.raises(UserError, match="truncated"):
        read_image(tiny.root, "cut.jpg")
    (tiny.root / "exif.jpg").write_bytes(image[:2] + header + image[2:])
    assert read_image(tiny.root, "exif.jpg").shape == (64, 64, 3)


def test_a_damaged_palette_image_is_one_sentence(tiny):
    from PIL import Image

    path = tiny.root / "label.png"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8), "P")
    image.putpalette(list(range(256)) * 3)
    image.save(path)
    assert read_label(tiny.root, "label.png", "palette").shape == (40, 40)
    data = bytearray(path.read_bytes())
    middle = data.index(b"IDAT") + 30
    data[middle : middle + 40] = b"x" * 40
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="not an image that can be decoded"):
        read_label(tiny.root, "label.png", "palette")


def test_missing_file(tiny):
    (tiny.root / tiny.videos[0].frames[0].image).unlink()
    with pytest.raises(UserError, match="missing"):
        check_files(tiny)


def test_frames_of_different_sizes(tiny):
    cv2.imwrite(str(tiny.root / tiny.videos[0].frames[2].image), np.zeros((24, 30, 3), np.uint8))
    with pytest.raises(UserError, match="is 30x24, but frames of video train/a are 32x24"):
        check_videos(tiny, ("train",))


def test_an_id_outside_the_table(tiny):
    label = np.full((24, 32), 77, np.uint8)
    ref = tiny.videos[0].frames[2].label
    cv2.imwrite(str(tiny.root / ref), label)
    with pytest.raises(UserError, match=r"2_label\.png has id 77"):
        count_classes(tiny, ("train",), load_label_space("camvid11"))


def test_a_colour_image_is_no_label(tiny):
    with pytest.raises(UserError, match="expected one channel"):
        read_label(tiny.root, tiny.videos[0].frames[0].image)


def test_short_videos_and_split_names(tiny):
    with pytest.raises(UserError, match="has 5 frames, fewer than the 6"):
        check_length(tiny, ("train",), 6)
    with pytest.raises(UserError, match="it has: train, val"):
        tiny.split("tset")


def test_motion_that_does_not_fit(tiny):
    short = replace(tiny.videos[0], frames=tiny.videos[0].frames[:3])
    with pytest.raises(UserError, match="does not fit"):
        check_motion(replace(tiny, videos=(short,)), ("train",), tiny.root / "motion")
