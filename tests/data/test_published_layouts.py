"""SYNTHIA, VIPER and Cityscapes as they unpack, written tiny and byte-faithful, and the graph run over them."""

import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_layouts import (
    SIZE,
    bdd,
    camvid_full,
    cityscapes,
    ids,
    index,
    photo,
    refusal,
    synthia,
    viper,
    vspw_twice,
    write,
)

from crossfade.data import prepare_data_set
from crossfade.data.labels import load_label_space
from crossfade.data.loading import ClipDataset, Domain
from crossfade.data.manifest import Manifest
from crossfade.errors import UserError
from crossfade.experiment import Place
from crossfade.metrics.accuracy import ConfusionMatrix
from crossfade.motion.estimate import estimate_data_set
from crossfade.motion.parameters import MotionParameters
from crossfade.pair_index import _check_apart, index_pair
from crossfade.params import Pair


@pytest.mark.parametrize("layout", ["archive", "flattened"])
def test_synthia_labels_are_the_red_channel_and_the_bottom_is_cut(tmp_path, layout):
    manifest = index(synthia(tmp_path / "raw", layout), tmp_path)
    (video,) = manifest.videos
    assert (video.name, video.split, video.size, len(video.frames)) == ("SEQS-04-DAWN", "train", SIZE, 4)
    assert manifest.image(video.frames[0].image).shape == (*SIZE, 3)
    label = manifest.label(str(video.frames[0].label))
    assert np.array_equal(label, ids([3, 4, 2, 5, 7, 15, 9, 6]))
    mapped = load_label_space("synthia12").map(label, manifest.labels, "here")
    assert np.unique(mapped).tolist() == list(range(8))
    assert not list((tmp_path / "data").rglob("*.png"))


def test_synthia_s_folder_may_have_the_archive_s_name_and_labels_two_channels(tmp_path):
    """Class in the first of two 16-bit channels (grey and alpha to a reader of PNG)."""
    raw = synthia(tmp_path / "raw", sequence="SYNTHIA-SEQS-04-DAWN")
    for path in (tmp_path / "raw").rglob("GT/**/*.png"):
        label = np.stack([np.vstack([ids([3, 4, 2, 5, 7, 15, 9, 6], 48)]), np.full((48, 64), 4001)], -1)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in label)
        header = struct.pack(">IIBBBBB", 64, 48, 16, 4, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    manifest = index(raw, tmp_path)
    (video,) = manifest.videos
    assert video.name == "SEQS-04-DAWN"
    assert np.array_equal(manifest.label(str(video.frames[2].label)), ids([3, 4, 2, 5, 7, 15, 9, 6]))


def test_viper_s_labels_of_neighbours_are_used_where_they_are_there(tmp_path):
    manifest = index(viper(tmp_path / "raw"), tmp_path)
    assert [[f.label is not None for f in v.frames] for v in manifest.videos] == [[False, True], [True, True]]
    domain = Domain(manifest, None, load_label_space("viper15"), SIZE, ("train",))
    clip = ClipDataset(domain, (-1, 0), labels=True)[0]
    assert clip.labels is not None
    assert (clip.labels[0, 0] == 255).all()  # nothing is known of it
    assert clip.labels[0, 1, 0, ::8].tolist() == [0, 1, 255, 255, 10, 10, 2, 8]


def test_a_list_chooses_frames_of_cityscapes(tmp_path):
    """DAVSS parts image and label by a space, ETC by a tab, TPS names images alone."""
    raw = cityscapes(tmp_path / "raw", images="leftImg8bit")
    for k in range(580, 583):
        write(tmp_path / f"raw/leftImg8bit/val/frankfurt/frankfurt_000000_{k:06d}_leftImg8bit.png", photo(k))
    write(tmp_path / "raw/gtFine/val/frankfurt/frankfurt_000000_000582_gtFine_labelIds.png", ids([7] * 8))
    (tmp_path / "raw/gtFine/val/munster").mkdir()  # a city that the list leaves out need not be there
    assert len(index(raw | {"splits": ["train"]}, tmp_path).videos) == 1
    base = "frankfurt/frankfurt_000000_000582"
    both = (f"leftImg8bit/val/{base}_leftImg8bit.png", f"gtFine/val/{base}_gtFine_labelTrainIds.png")
    path = tmp_path / "val.lst"
    raw |= {"splits": ["val"], "lists": {"val": str(path)}}
    for line in (" ".join(both), "\t".join(both), f"{base}_leftImg8bit.png"):
        path.write_text(line + "\n")
        manifest = index(raw, tmp_path)
        assert [v.name for v in manifest.videos] == ["frankfurt_000000_000582"]
        assert [f.label is not None for f in manifest.videos[0].frames] == [False, False, True]
    path.write_text(both[0] + " " + both[1].replace("582", "294"))
    assert "line 1 of" in refusal(raw, tmp_path)
    assert "image and label are of different frames" in refusal(raw, tmp_path)
    path.write_text("\nfrankfurt/frankfurt_000000_000583_leftImg8bit.png\n")
    assert "line 2 of" in refusal(raw, tmp_path)
    assert "has no label under" in refusal(raw, tmp_path)
    path.write_text("frankfurt\n")
    assert "'frankfurt' names no frame of Cityscapes" in refusal(raw, tmp_path)


def test_cityscapes_to_camvid(tmp_path):
    """Sources of 19 classes and of label ids meet CamVid's eleven; a CamVid target keeps its own."""
    space = load_label_space("camvid11")
    expected = ["road", "pavement", "building", "pedestrian", "bicyclist", "car", "bicyclist", None]
    for labels in ("labelIds", "labelTrainIds"):
        manifest = index(cityscapes(tmp_path / labels, labels), tmp_path, labels)
        domain = Domain(manifest, None, space, SIZE, ("train",))
        row = domain.label(str(domain.videos[0].frames[-1].label))[0, ::8]
        assert [None if k == 255 else space.classes[k] for k in row] == expected


def test_viper_is_read_by_index_never_by_colour(tmp_path):
    manifest = index(viper(tmp_path / "raw"), tmp_path)
    assert [video.name for video in manifest.videos] == ["001_00010", "001_00020"]
    before, now = manifest.videos[0].frames
    assert before.label is None  # its archive of in-between labels was not unpacked
    assert now.time - before.time == pytest.approx(1 / 15, abs=1e-5)
    label = manifest.label(str(now.label))
    assert {25, 29} <= set(np.unique(label).tolist())
    assert label[-1, 32] == 255  # the own car
    assert (label[:26, 32:48] == 24).all()  # another car, cut off from it by a fence
    space = load_label_space("viper15")
    assert space.classes[space.map(label, "viper", "here")[28, 0]] == "fence"
    assert (space.map(label, "viper", "here")[0, 16:32] == 255).all()  # neither van nor train is a class of viper15


@pytest.mark.parametrize("labels", ["labelIds", "labelTrainIds", "gtFine_19"])
def test_the_label_files_of_cityscapes_say_which_frame_is_labelled(tmp_path, labels):
    manifest = index(cityscapes(tmp_path / "raw", labels), tmp_path)
    assert [(v.split, v.name) for v in manifest.videos] == [
        ("train", "aachen_000000_000019"),
        ("val", "frankfurt_000000_000294"),
    ]
    frames = manifest.videos[1].frames
    assert [frame.label is not None for frame in frames] == [False, False, True]
    assert re.findall(r"_(\d{6})_left", " ".join(frame.image for frame in frames)) == ["000292", "000293", "000294"]
    mapped = load_label_space("viper15").map(manifest.label(str(frames[2].label)), manifest.labels, "here")
    names = [*load_label_space("viper15").classes]
    person, car, bicycle = (names.index(name) for name in ("person", "car", "bicycle"))
    assert mapped[0, ::8].tolist() == [0, 1, 2, person, person, car, bicycle, 255]  # riders are persons here


@pytest.mark.parametrize(("source", "space"), [(synthia, "synthia12"), (viper, "viper15")])
def test_the_published_pairs_go_through_motion_and_index(tmp_path, source, space):
    place = Place(tmp_path)
    for name, raw in (("source", source(tmp_path / "a")), ("target", cityscapes(tmp_path / "b"))):
        manifest = prepare_data_set(raw, place.data(name))
        estimate_data_set(manifest, MotionParameters(preset="fast", max_gap=0.3), place.motion(name), 1)
    pair = Pair(source="source", target="target", label_space=space, size=(32, 64))
    assert "checked" in index_pair(place, "pair", pair)[-1]
    manifest = Manifest.load(place.data("target"))
    domain = Domain(manifest, place.motion("target"), load_label_space(space), (32, 64), ("val",))
    clip = ClipDataset(domain, (-1, 0), [(1, 0)], labels=True)[0]
    assert clip.frames.shape == (1, 2, 3, 32, 64)
    assert clip.labels is not None
    assert (clip.labels[0, 0] == 255).all()  # the earlier frame has no label
    assert clip.labels[0, 1, 0, 0] == 0
    assert (1, 0) in clip.motion


def test_labels_that_are_scored_are_in_no_split_that_is_trained_on(tmp_path):
    place = Place(tmp_path)
    prepare_data_set(cityscapes(tmp_path / "a"), place.data("source"))
    prepare_data_set(camvid_full(tmp_path / "b"), place.data("target"))
    whole = Manifest.load(place.data("target"))
    again = [replace(video, split="trainval", name=f"again-{video.name}") for video in whole.split("val")]
    replace(whole, videos=(*whole.videos, *again)).save(place.data("target"))
    pair = Pair(source="source", target="target", label_space="camvid11", size=(32, 64))
    for leak in ({"adapt_on": ("trainval", "val")}, {"source": "target", "source_split": "trainval"}):
        with pytest.raises(UserError, match=r"of target's split 'val'.* in target's 'trainval' too .*share no frame"):
            _check_apart(place, pair.model_copy(update=leak))
    _check_apart(place, pair)
    _check_apart(place, pair.model_copy(update={"adapt_on": ("train", "val")}))  # the oracle leaves val out


@pytest.mark.parametrize(
    "source, target, space",
    [(cityscapes, camvid_full, "camvid11"), (viper, bdd, "viper15"), (vspw_twice, vspw_twice, "vspw124")],
)
def test_pairs_of_the_other_data_sets_go_through_motion_and_index(tmp_path, source, target, space):
    place = Place(tmp_path)
    for name, raw in (("source", source(tmp_path / "a")), ("target", target(tmp_path / "b"))):
        manifest = prepare_data_set(raw, place.data(name))
        estimate_data_set(manifest, MotionParameters(preset="fast", max_gap=0.3), place.motion(name), 1)
    adapt_on = ("train", "val") if target is not vspw_twice else ("train",)
    pair = Pair(source="source", target="target", label_space=space, size=(32, 64), adapt_on=adapt_on)
    assert "checked" in index_pair(place, "pair", pair)[-1]
    manifest = Manifest.load(place.data("target"))
    domain = Domain(manifest, place.motion("target"), load_label_space(space), (32, 64), ("val",))
    clip = ClipDataset(domain, (-1, 0), [(1, 0)], labels=True)[0]
    assert clip.labels is not None
    assert (clip.labels[0, -1] != 255).any()
    assert (1, 0) in clip.motion


def broken(tmp_path, change) -> str:
    root = tmp_path / "raw"
    raw = change(root)
    with pytest.raises(UserError) as caught:
        index(raw, tmp_path)
    return str(caught.value)


def test_what_is_missing_is_one_sentence(tmp_path):
    def without_neighbour(root):
        raw = cityscapes(root)
        next(root.rglob("frankfurt_000000_000293*")).unlink()
        return raw

    assert "1 of 3 files are missing, first" in broken(tmp_path / "a", without_neighbour)

    def without_label(root):
        raw = synthia(root)
        next(root.rglob("GT/**/000002.png")).unlink()
        return raw

    assert "1 of 4 files are missing" in broken(tmp_path / "b", without_label)
    assert "crop_bottom 48 leaves nothing" in broken(tmp_path / "c", lambda root: synthia(root) | {"crop_bottom": 48})
    assert "multiple of 7" in broken(tmp_path / "d", lambda root: viper(root) | {"step": 7})
    assert "in-between images" in broken(tmp_path / "e", lambda root: viper(root, numbers=(10, 19, 20)))

    def no_images(root):
        raw = viper(root)
        (root / "train/img/001").rename(root / "elsewhere")
        return raw

    assert "unpack train_img.zip there" in broken(tmp_path / "f", no_images)


def test_labels_of_another_form_are_refused(tmp_path):
    manifest = index(viper(tmp_path / "raw"), tmp_path)
    ref = str(manifest.videos[0].frames[1].label)
    colours = Image.open(manifest.root / ref).convert("RGB")
    colours.save(manifest.root / ref)
    with pytest.raises(UserError, match="is not indexed"):
        manifest.label(ref)
    other = index(synthia(tmp_path / "raw2"), tmp_path, "other")
    ref = str(other.videos[0].frames[1].label)
    write(other.root / ref, np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UserError, match="channels of 16 bits"):
        other.label(ref)


def test_camvid12_is_camvid11_behind_a_void_that_is_not_scored():
    """As TMANet numbers them; a still without a class is void whichever way it is stored."""
    twelve, eleven = load_label_space("camvid12"), load_label_space("camvid11")
    assert (twelve.classes, twelve.unscored) == (("void", *eleven.classes), ("void",))
    assert np.array_equal(twelve.colours[1:], eleven.colours)
    void = {"camvid11": 11, "camvid12": 0, "camvid32": 31}
    assert twelve.tables.keys() == eleven.tables.keys()
    for name, table in eleven.tables.items():
        shifted = {i: 255 if known == 255 else known + 1 for i, known in table.items()}
        assert twelve.tables[name] == shifted | ({void[name]: 0} if name in void else {})
    assert [twelve.tables["camvid12"][i] for i in range(12)] == list(range(12))


def test_fence_is_trained_but_not_scored_in_synthia12():
    space = load_label_space("synthia12")
    assert space.unscored == ("fence",)
    import torch

    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([0, 0, 1, 2, 2, 0]), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert matrix.miou() == pytest.approx((2 / 3 + 1 / 2 + 1 / 3) / 3)
    assert matrix.miou(leave_out=[1]) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert matrix.iou().isnan().sum() == 0
