"""Archives of which only what is needed comes out."""

import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_archives import SIZE, below, cityscapes, fine, label, png, refusal, sequences, tarred, zipped

from crossfade.data import data_set_parameters, prepare_data_set
from crossfade.data.bar import readable
from crossfade.data.getting import bringing
from crossfade.data.getting.archives import open_archive
from crossfade.data.getting.bringing import bring_out
from crossfade.errors import UserError


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_only_the_frames_around_labelled_ones_come_out(tmp_path, pack):
    both = (pack(tmp_path / "sequence.archive", sequences()), pack(tmp_path / "fine.archive", fine()))
    manifest = prepare_data_set(cityscapes(tmp_path, *both), tmp_path / "data/cityscapes", workers=2)
    image = "leftImg8bit_sequence/{}/{}/{}_{:06d}_leftImg8bit.png"
    assert below(tmp_path / "raw") == [
        "gtFine/train/aachen/aachen_000019_000019_gtFine_labelIds.png",
        "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png",
        *(image.format("train", "aachen", "aachen_000019", k) for k in (17, 18, 19)),
        *(image.format("val", "frankfurt", "frankfurt_000000", k) for k in (292, 293, 294)),
    ]
    assert [len(video.frames) for video in manifest.videos] == [3, 3]
    for file, content in sequences().items():
        assert not (tmp_path / "raw" / file).exists() or (tmp_path / "raw" / file).read_bytes() == content


def test_the_offsets_are_the_data_set_s_own_and_labels_may_lie_there_already(tmp_path):
    with zipfile.ZipFile(zipped(tmp_path / "fine.zip", fine())) as archive:
        archive.extractall(tmp_path / "raw")
    sequence = zipped(tmp_path / "sequence.zip", {f"cityscapes/{k}": v for k, v in sequences().items()})
    raw = cityscapes(tmp_path, sequence, before=4, after=1, splits=["val"])
    (video,) = prepare_data_set(raw, tmp_path / "data/c").videos
    assert [int(frame.image.split("_")[-2]) for frame in video.frames] == [290, 291, 292, 293, 294, 295]
    assert not (tmp_path / "raw/leftImg8bit_sequence/train").exists()


@pytest.mark.parametrize("pack", [zipped, tarred, lambda path, files: tarred(path, files, "w:gz")])
def test_what_is_there_is_kept_and_what_somebody_mended_is_told(tmp_path, pack, capsys):
    both = (pack(tmp_path / "sequence.archive", sequences()), pack(tmp_path / "fine.archive", fine()))
    raw = cityscapes(tmp_path, *both)
    first = prepare_data_set(raw, tmp_path / "data/c")
    files = [tmp_path / "raw" / f for f in below(tmp_path / "raw")]
    whole = {file: file.read_bytes() for file in files}
    before = {file: file.stat().st_ino for file in files}
    longer, other, gone = files[2:5]
    longer.write_bytes(whole[longer] + b"mended")
    changed = bytearray(whole[other])
    changed[60] ^= 1  # of the same size
    other.write_bytes(changed)
    gone.unlink()
    said = f"2 files below {tmp_path}/raw are unlike those of the archives and are kept, first "
    for memory in (True, False):
        if not memory:  # then every file is held against the archive
            (tmp_path / ".raw.brought.parquet").unlink()
            capsys.readouterr()
        again = prepare_data_set(raw, tmp_path / "data/c")
        assert f"{said}{longer.relative_to(tmp_path / 'raw')}: delete" in capsys.readouterr().out
        assert (longer.read_bytes(), other.read_bytes()) == (whole[longer] + b"mended", changed)
        assert gone.read_bytes() == whole[gone]
        assert all(file.stat().st_ino == before[file] for file in files if file != gone)
        assert again.videos == first.videos
    longer.unlink()
    other.unlink()
    prepare_data_set(raw, tmp_path / "data/c")
    assert "unlike" not in capsys.readouterr().out
    assert {file: file.read_bytes() for file in files} == whole


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_what_is_remembered_is_not_read_and_what_nobody_touched_follows_suit(tmp_path, mode, monkeypatch, capsys):
    def brought(files: dict[str, bytes]) -> int:
        path = tmp_path / "a.archive"
        archive = open_archive(zipped(path, files) if mode == "zip" else tarred(path, files, mode), "d")
        return bring_out("d", [archive], {name: name for name in archive.members}, tmp_path / "out")

    assert brought({"a": b"one", "b": b"two"}) == 2
    with monkeypatch.context() as patched:
        patched.setattr(bringing, "_crc", None)
        patched.setattr(bringing, "_same", None)
        assert brought({"a": b"one", "b": b"two"}) == 0
    assert brought({"a": b"one", "b": b"newer"}) == 1
    assert (tmp_path / "out/b").read_bytes() == b"newer"
    (tmp_path / ".out.brought.parquet").write_bytes(b"nonsense")
    assert brought({"a": b"one", "b": b"newer"}) == 0
    (tmp_path / ".out.brought.parquet").unlink()
    (tmp_path / ".out.brought.parquet").mkdir()  # as where the folder is one's own and what is beside it is not
    assert brought({"a": b"one", "b": b"newer", "c": b"more"}) == 1
    assert "held against the archives again: cannot write" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_of_members_of_one_name_the_last_counts(tmp_path, mode):
    path = tmp_path / "a.tar"
    with tarfile.open(path, mode) as tar:
        for content in (b"an older, longer one", b"the last"):
            entry = tarfile.TarInfo("a")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    assert bring_out("d", [open_archive(path, "d")], {"a": "a"}, tmp_path / "out") == 1
    assert (tmp_path / "out/a").read_bytes() == b"the last"


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x/y/z.png": b"z"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_bytes(b"a file")
    assert "out/x" in refusal(path, tmp_path / "out")


def test_viper_and_synthia_choose_too(tmp_path):
    from PIL import Image

    def palette() -> bytes:
        image = Image.fromarray(np.full(SIZE, 3, np.uint8), "P")
        image.putpalette(list(range(256)) * 3)
        image.save(buffer := io.BytesIO(), "PNG")
        return buffer.getvalue()

    jpg = cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    images = {f"VIPER/train/img/001/001_{k:05d}.jpg": jpg for k in range(1, 26)}
    labels = {f"VIPER/train/cls/001/001_{k:05d}.png": palette() for k in range(9, 26)}
    both = [str(zipped(tmp_path / "img.zip", images)), str(tarred(tmp_path / "cls.tgz", labels, "w:gz"))]
    raw = {"kind": "viper", "root": str(tmp_path / "viper"), "archives": both}
    manifest = prepare_data_set(raw, tmp_path / "data/viper", workers=2)
    assert [v.name for v in manifest.videos] == ["001_00010", "001_00020"]
    assert len(below(tmp_path / "viper")) == 8

    red = cv2.imencode(".png", np.full((48, 32, 3), 3, np.uint16))[1].tobytes()
    folder = "SYNTHIA-SEQS-04-DAWN"
    files = {
        f"{folder}/RGB/Stereo_Left/Omni_{c}/{k:06d}.png": png(k) for k in range(3) for s in ("Left",) for c in "FBLR"
    }
    files |= {f"{folder}/GT/LABELS/Stereo_Left/Omni_F/{k:06d}.png": red for k in range(3)}
    files |= {f"{folder}/Depth/Stereo_Left/Omni_F/{k:06d}.png": red for k in range(3)}
    archive = tarred(tmp_path / "dawn.tar", files)
    raw = {"kind": "synthia", "root": str(tmp_path / "synthia"), "archives": [str(archive)], "crop_bottom": 0}
    (video,) = prepare_data_set(raw, tmp_path / "data/synthia").videos
    assert len(below(tmp_path / "synthia")) == 6
    assert len(video.frames) == 3


@pytest.mark.parametrize("mode", ["zip", "w:gz"])
def test_vspw_comes_out_of_its_folder_and_by_its_lists(tmp_path, mode):
    jpg = cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    files = {f"VSPW_480p/{split}.txt": f"{split}_a\r\n{split}_b\r\n".encode() for split in ("train", "val", "test")}
    for video in ("train_a", "train_b", "val_a", "val_b", "test_a", "nobody"):
        files[f"VSPW_480p/data/{video}/origin/00000001.jpg"] = jpg
        files[f"VSPW_480p/data/{video}/mask/00000001.png"] = label()
        files[f"__MACOSX/VSPW_480p/data/{video}/origin/._00000001.jpg"] = b"x"
    files["VSPW_480p/README.md"] = b"x"
    path = tmp_path / "v.archive"
    archive = zipped(path, files) if mode == "zip" else tarred(path, files, mode)
    raw = {"kind": "vspw", "root": str(tmp_path / "raw"), "archives": [str(archive)]}
    manifest = prepare_data_set(raw | {"splits": ["val"]}, tmp_path / "data/v")
    assert [video.name for video in manifest.videos] == ["val_a", "val_b"]
    folder = "data/val_{}/{}/00000001.{}"
    assert below(tmp_path / "raw") == [
        *(folder.format(v, kind, end) for v in "ab" for kind, end in (("mask", "png"), ("origin", "jpg"))), "val.txt"
    ]  # fmt: skip
    del files["VSPW_480p/test.txt"]
    zipped(path, files)
    with pytest.raises(UserError, match=r"there is no list .*raw/test\.txt, nor is it in .*v\.archive"):
        prepare_data_set(raw | {"splits": ["test"]}, tmp_path / "data/v")


def test_bdd_comes_out_with_the_videos_of_its_stills_only(tmp_path):
    jpg = cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    files = {f"bdd100k/images/10k/{split}/{k}.jpg": jpg for split, k in (("train", "a"), ("train", "b"), ("val", "c"))}
    files |= {f"bdd100k/labels/sem_seg/masks/{s}/{k}.png": label(1) for s, k in (("train", "a"), ("val", "c"))}
    files |= {f"bdd100k/labels/sem_seg/colormaps/train/{k}.png": label() for k in "ab"}
    files |= {f"bdd100k/images/100k/train/{k}.jpg": jpg for k in "abz"}
    files |= {f"bdd100k/videos/train/{k}.mov": b"x" for k in "abcz"}
    files |= {f"bdd100k/videos/train/a_{k:07d}.jpg": jpg for k in (304, 305, 306, 307)}
    files |= {f"bdd100k/videos/val/c_{k}.jpg": jpg for k in (305, 306)}
    archives = [str(zipped(tmp_path / "b.zip", files))]
    raw = {"kind": "bdd", "root": str(tmp_path / "raw"), "archives": archives}
    with pytest.raises(UserError, match=r"a\.mov"):  # which is no video
        prepare_data_set(raw, tmp_path / "data/b")
    still = ["images/10k/{}/{}.jpg", "labels/sem_seg/masks/{}/{}.png"]
    own = [s.format(*p) for s in still for p in (("train", "a"), ("val", "c"))]
    videos = [f"videos/train/{file}" for file in ("a.mov", "a_0000305.jpg", "a_0000306.jpg", "a_0000307.jpg", "c.mov")]
    assert below(tmp_path / "raw") == [*own, *videos, "videos/val/c_305.jpg", "videos/val/c_306.jpg"]

    (tmp_path / "mine.txt").write_text("a_307\n")
    raw |= {"root": str(tmp_path / "listed"), "splits": ["val"], "lists": {"val": str(tmp_path / "mine.txt")}}
    with pytest.raises(UserError, match=r"a\.mov"):
        prepare_data_set(raw, tmp_path / "data/b")
    assert below(tmp_path / "listed") == [still[0].format("train", "a"), still[1].format("train", "a"), *videos[:4]]


def test_camvid_s_stills_and_labels_find_their_folders(tmp_path):
    grey = label(3)
    files = {f"701_StillsRaw_full/0016E5_{k:05d}.png": png(k) for k in (7961, 7963, 7999)}
    labels = {f"0016E5_{k:05d}_L.png": grey for k in (7961, 7963)} | {"label_colors.txt": b"x"}
    both = [str(zipped(tmp_path / "s.zip", files)), str(zipped(tmp_path / "l.zip", labels))]
    raw = {"kind": "camvid", "root": str(tmp_path / "raw"), "layout": "full", "label_form": "ids", "archives": both}
    raw |= {"stills": "images", "labels": "annotations"}
    (video,) = prepare_data_set(raw, tmp_path / "data/c").videos
    assert len(video.frames) == 2
    names = [f"0016E5_{k}" for k in ("07961", "07963")]
    assert below(tmp_path / "raw") == [*(f"annotations/{n}_L.png" for n in names), *(f"images/{n}.png" for n in names)]

    files = {f"x/camvid/images/{n}.png": png(0) for n in names} | {f"x/camvid/labels/{n}.png": grey for n in names}
    files |= {f"x/camvid/image_sequence/0016E5_{k:05d}.png": png(k) for k in range(7958, 7964)}
    raw |= {"root": str(tmp_path / "other"), "labels": "labels", "sequences": "image_sequence", "before": 2}
    raw["archives"] = [str(zipped(tmp_path / "t.zip", files | {"x/camvid/lists/train.txt": names[1].encode()}))]
    (video,) = prepare_data_set(raw | {"lists": "lists"}, tmp_path / "data/c").videos
    assert [frame.label is None for frame in video.frames] == [True, True, False]


def test_cityscapes_merged_into_one_folder_with_other_labels_and_by_lists(tmp_path):
    files = {name.replace("leftImg8bit_sequence", "leftImg8bit"): content for name, content in sequences().items()}
    files |= {name.replace("gtFine/", "gtFine_19/"): content for name, content in fine().items()}
    files |= sequences()  # of the other folder: not asked for
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/train.txt").write_text("leftImg8bit/train/aachen/aachen_000019_000019_leftImg8bit.png\n")
    (tmp_path / "raw/val.txt").write_text("frankfurt_000000_000295\n")
    raw = cityscapes(tmp_path, zipped(tmp_path / "all.zip", files), images="leftImg8bit", labels="gtFine_19", before=1)
    raw["lists"] = {"train": "train.txt", "val": "val.txt"}
    with pytest.raises(UserError, match=r"there is no folder .*gtFine_19/val: unpack"):
        prepare_data_set(raw | {"lists": {"val": "val.txt"}, "splits": ["val", "train"]}, tmp_path / "data/c")
    assert not (tmp_path / "raw/gtFine_19/val").exists()
    with pytest.raises(UserError, match=r"no list .*none\.txt, nor is it in"):
        prepare_data_set(raw | {"lists": {"val": "none.txt"}}, tmp_path / "data/c")
    prepare_data_set(raw | {"splits": ["train"]}, tmp_path / "data/c")
    image = "leftImg8bit/train/aachen/aachen_000019_{:06d}_leftImg8bit.png"
    assert below(tmp_path / "raw") == [
        "gtFine_19/train/aachen/aachen_000019_000019_gtFine_labelIds.png",
        *(image.format(k) for k in (18, 19)), "train.txt", "val.txt",
    ]  # fmt: skip


def test_without_any_data_the_screen_says_what_to_do(tmp_path):
    with pytest.raises(UserError) as caught:
        prepare_data_set({"kind": "cityscapes", "root": str(tmp_path / "none")}, tmp_path / "data/cs")
    said = str(caught.value)
    assert "leftImg8bit_sequence_trainvaltest.zip    324 GB" in said
    assert "data_sets.cs.archives" in said
    assert len(said.splitlines()) < 20


def test_keys_of_getting_are_checked():
    assert data_set_parameters({"kind": "viper", "root": "x", "archives": ["a.zip"]}).model_dump()["root"] == Path("x")
    with pytest.raises(ValueError, match="archives"):
        data_set_parameters({"kind": "viper", "root": "x", "archives": 3})


def test_sizes_are_readable():
    assert [readable(n) for n in (12, 2500, 22.5e9, 324e9, 5e15)] == [
        "12 bytes",
        "2.5 KB",
        "22.5 GB",
        "324 GB",
        "5000 TB",
    ]
