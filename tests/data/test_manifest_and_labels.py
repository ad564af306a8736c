"""Manifests, label spaces, and the checks that come before any work."""

import os
import pickle
import shutil
import time
from dataclasses import replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossfade.data import manifest_files
from crossfade.data.checks import check_files, check_length, check_motion, check_videos, count_classes
from crossfade.data.labels import label_space_names, load_label_space
from crossfade.data.manifest import Manifest, Reading, read_image, read_label, split_ref
from crossfade.data.manifest_files import read_about
from crossfade.errors import UserError
from crossfade.files import sha256

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
        load_label_space("camvid_11")
    with pytest.raises(UserError, match="no mapping from the ids of 'synthia'"):
        load_label_space("viper15").table("synthia")


def test_manifest_round_trip(tiny):
    again = Manifest.load(tiny.root)
    assert again.videos == tiny.videos
    assert len(again.files) == 30
    with pytest.raises(UserError, match=r"no manifest\.parquet"):
        Manifest.load(tiny.root / "train")


def test_a_manifest_keeps_what_is_missing_and_what_is_odd(tmp_path, tiny):
    """No labels, no frames, a time that is no short decimal, a root elsewhere."""
    bare = tuple(replace(frame, label=None, time=frame.time + 1 / 3) for frame in tiny.videos[0].frames)
    videos = (replace(tiny.videos[0], frames=()), replace(tiny.videos[1], frames=bare))
    odd = replace(tiny, files=None, labels="none", videos=videos, ego_mask="val/c/0_label.png")
    odd = replace(odd, reading=Reading("red", 3, 7))
    odd.save(tmp_path / "odd")
    again = Manifest.load(tmp_path / "odd")
    assert again == replace(odd, root=tiny.root.resolve(), files=again.files)
    assert len(pickle.loads(pickle.dumps(again)).files) == 6


def test_the_hash_of_the_content_is_that_of_the_content(tmp_path, tiny):
    replace(tiny, files=None).save(tmp_path / "a")
    shutil.copytree(tiny.root / "train", tmp_path / "elsewhere/train")
    shutil.copytree(tiny.root / "val", tmp_path / "elsewhere/val")
    replace(tiny, files=None, root=tmp_path / "elsewhere").save(tmp_path / "b")
    changed = replace(tiny.videos[0].frames[0], time=-1.0)
    video = replace(tiny.videos[0], frames=(changed, *tiny.videos[0].frames[1:]))
    replace(tiny, files=None, videos=(video, *tiny.videos[1:])).save(tmp_path / "c")
    (tiny.root / tiny.videos[0].frames[0].image).write_bytes(b"else")
    replace(tiny, files=None).save(tmp_path / "d")
    a, b, c, d = (read_about(tmp_path / name)["content"] for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_a_file_is_hashed_once_until_it_changes(tmp_path, tiny, monkeypatch):
    hashed = []
    monkeypatch.setattr(manifest_files, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    bare = replace(tiny, files=None)
    long_ago = time.time_ns() - 10**10
    for file in tiny.files:
        os.utime(tiny.root / file, ns=(long_ago, long_ago))
    for _ in range(2):
        bare.save(tmp_path / "x")
        assert len(hashed) == 30
    first, second = (tiny.root / frame.image for frame in tiny.videos[0].frames[:2])
    first.write_bytes(first.read_bytes()[::-1])  # of the same size
    hashed.clear()
    for _ in range(2):  # just written: its time of change may not tell the next change, so it is not remembered
        bare.save(tmp_path / "x")
    assert hashed == [first.name] * 2
    assert Manifest.load(tmp_path / "x").files[str(first.relative_to(tiny.root))]["sha256"] == sha256(first)
    (tmp_path / ".x.hashes.parquet").write_bytes(b"nonsense")
    bare.save(tmp_path / "x")
    assert len(hashed) == 32
    second.unlink()
    with pytest.raises(UserError, match="missing: put it back"):
        bare.save(tmp_path / "x")


@pytest.mark.parametrize("name", ["manifest.parquet", "files.parquet"])
def test_a_damaged_manifest_is_one_sentence(tiny, name):
    path = tiny.root / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{name} is damaged .*run the download stage again"):
        len(Manifest.load(tiny.root).files or {})
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match=r"has no column|is damaged"):
        len(Manifest.load(tiny.root).files or {})


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


def test_an_exclamation_mark_in_a_name_is_no_archive():
    assert split_ref("frames/go!/0.png") == ("frames/go!/0.png", None)
    assert split_ref("go!/a.zip!0.png") == ("go!/a.zip", "0.png")
