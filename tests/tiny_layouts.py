"""Writers of tiny data sets in the layouts that are published, byte-faithful."""

import cv2
import numpy as np
import pytest
from PIL import Image

from crossfade.data import prepare_data_set
from crossfade.data.labels import load_label_space
from crossfade.data.manifest import Manifest
from crossfade.data.video import VideoWriter
from crossfade.errors import UserError

SIZE = (40, 64)
CAMVID_SIZE = (72, 96)
BDD_STILLS = {"train": ["0004a4c0-d4dff0ad", "00054602-3bf57337"], "val": ["7d06fefd-f7be05a6"]}
SEGNET_STILLS = {"train": ["0001TP_006690", "0001TP_006720", "0016E5_00390"], "val": ["0016E5_07959"]}
VSPW_SIZES = {"1001_5z_ijQjUf_0": (40, 64), "127_-hIVCYO4C90": (64, 40), "0_wHkXAGgZ": (40, 64)}
VSPW_LISTS = {"train": ["1001_5z_ijQjUf_0"], "val": ["127_-hIVCYO4C90"], "test": ["0_wHkXAGgZ"]}
VSPW_IDS = [0, 1, 2, 29, 123, 124, 255, 1]


def photo(seed: int, rows: int = SIZE[0]) -> np.ndarray:
    """Something with texture."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), np.uint8)
    return cv2.resize(small, (SIZE[1], rows), interpolation=cv2.INTER_CUBIC)


def ids(values: list[int], rows: int = SIZE[0]) -> np.ndarray:
    """Columns of ids."""
    return np.repeat(np.repeat(np.array(values), SIZE[1] // len(values))[None], rows, 0)


def write(path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_palette(path, label, palette=None) -> None:
    """An indexed PNG; by default every index has the same colour, so that only the index tells classes apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label.astype(np.uint8), "P")
    image.putpalette((np.zeros((256, 3), np.uint8) if palette is None else palette).ravel().tolist())
    image.save(path)


def index(raw, tmp_path, name="data_set") -> Manifest:
    return prepare_data_set(raw, tmp_path / "data" / name)


def refusal(raw, tmp_path) -> str:
    """The sentence a data set is refused with."""
    with pytest.raises(UserError) as caught:
        index(raw, tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def synthia(root, layout="archive", frames=4, sequence="SEQS-04-DAWN"):
    """760 rows become 48 here: 40 and 8 that are cropped. The class is red, the instance green, both 16 bits."""
    folders = ("RGB/Stereo_Left/Omni_F", "GT/LABELS/Stereo_Left/Omni_F") if layout == "archive" else ("rgb", "label")
    for k in range(frames):
        write(root / f"{sequence}/{folders[0]}/{k:06d}.png", photo(k, 48))
        label = np.zeros((48, SIZE[1], 3), np.uint16)
        label[..., 2] = ids([3, 4, 2, 5, 7, 15, 9, 6], 48)
        label[..., 1] = 4000 + k
        label[40:, :, 2] = 12
        write(root / f"{sequence}/{folders[1]}/{k:06d}.png", label)
    return {"kind": "synthia", "root": str(root), "crop_bottom": 8}


def viper(root, numbers=(9, 10, 19, 20), labelled=(10, 19, 20)):
    """Van (25) and train (29) have one colour in the palette."""
    palette = np.zeros((256, 3), np.uint8)
    palette[[25, 29]] = (0, 80, 100)
    for k in numbers:
        write(root / f"train/img/001/001_{k:05d}.jpg", photo(k))
    for k in labelled:
        label = ids([3, 4, 25, 29, 24, 24, 9, 2])
        label[30:, 24:40] = 24  # the own car: reaches the bottom's middle, and touches the cars beside it
        label[26:30] = 11
        write_palette(root / f"train/cls/001/001_{k:05d}.png", label, palette)
    return {"kind": "viper", "root": str(root)}


def cityscapes(root, labels="labelIds", images="leftImg8bit_sequence"):
    """Number 19 in aachen, another one in frankfurt; only what is needed of each snippet is there."""
    for split, city, number in (("train", "aachen", 19), ("val", "frankfurt", 294)):
        for k in range(number - 2, number + 1):
            path = root / f"{images}/{split}/{city}/{city}_000000_{k:06d}_leftImg8bit.png"
            write(path, photo(k))
        values = [7, 8, 11, 24, 25, 26, 33, 0] if labels == "labelIds" else [0, 1, 2, 11, 12, 13, 18, 255]
        tree, kind = ("gtFine_19", "labelIds") if labels == "gtFine_19" else ("gtFine", labels)
        write(root / f"{tree}/{split}/{city}/{city}_000000_{number:06d}_gtFine_{kind}.png", ids(values))
    return {"kind": "cityscapes", "root": str(root), "labels": labels, "images": images}


def bdd_frame(k: int) -> np.ndarray:
    """Frame k of every video: its brightness tells which."""
    image = photo(3) // 2
    image[:, :32] = 20 * k
    return image[..., ::-1]


def bdd(root, videos=("0004a4c0-d4dff0ad", "7d06fefd-f7be05a6"), length=12, turned=False):
    for split, names in BDD_STILLS.items():
        for name in names:
            write(root / f"images/10k/{split}/{name}.jpg", photo(99))
            write(root / f"labels/sem_seg/masks/{split}/{name}.png", ids([0, 1, 10, 11, 13, 18, 255, 2]))
    for name in videos:
        path = root / f"videos/{'val' if name.startswith('7') else 'train'}/{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, 30) as writer:
            for k in range(length):
                writer.add(cv2.rotate(bdd_frame(k), cv2.ROTATE_90_CLOCKWISE) if turned else bdd_frame(k))
    return {"kind": "bdd", "root": str(root), "frame": 7, "before": 2, "stride": 2}


def vspw(root):
    """Frames are numbered at will; masks of the test split are not there."""
    for split, videos in VSPW_LISTS.items():
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{split}.txt").write_text("\n".join(videos) + "\n")
        for video in videos:
            for k in range(3):
                image = cv2.resize(photo(k), VSPW_SIZES[video][::-1])
                write(root / f"data/{video}/origin/{15 + 2 * k:08d}.jpg", image)
                if split != "test":
                    mask = np.repeat(np.repeat(np.array(VSPW_IDS), 5)[None], VSPW_SIZES[video][0], 0)
                    mask = cv2.resize(mask.astype(np.uint8), VSPW_SIZES[video][::-1], interpolation=cv2.INTER_NEAREST)
                    write_palette(root / f"data/{video}/mask/{15 + 2 * k:08d}.png", mask)
    return {"kind": "vspw", "root": str(root)}


def vspw_twice(root):
    return vspw(root) | {"splits": ["train", "val"]}


def camvid_scene(k: int, seed: int = 0) -> np.ndarray:
    """Frame k of a pan."""
    wide = np.random.default_rng(seed).integers(0, 255, (9, 40, 3), np.uint8)
    wide = cv2.resize(wide, (CAMVID_SIZE[1] * 4, CAMVID_SIZE[0]), interpolation=cv2.INTER_CUBIC)
    return wide[:, 6 * k : 6 * k + CAMVID_SIZE[1]]


def camvid_full(root):
    """Stills with neighbours out of videos: refs into the data folder, and absolute ones."""
    with VideoWriter(root / "videos/0016E5.mp4", 30) as writer:
        for k in range(12):
            writer.add(camvid_scene(k))
    for number in (3, 6):
        write(root / f"701_StillsRaw_full/0016E5_{number:05d}.png", camvid_scene(number + 1)[..., ::-1])
        colours = load_label_space("camvid32").colours[[8, 11, 2, 25, 29, 20, 14, 31]]
        painted = np.repeat(np.repeat(colours[None], 12, 1), 72, 0).astype(np.uint8)
        write(root / f"LabeledApproved_full/0016E5_{number:05d}_L.png", painted[..., ::-1])
    for split, number in (("train", 3), ("val", 6)):
        (root / f"{split}.txt").write_text(f"0016E5_{number:05d}\n")
    raw = {"kind": "camvid", "root": str(root), "layout": "full", "lists": "."}
    return raw | {"sequences": "videos", "before": 2}


def camvid_segnet(root, row=(11,), stills=SEGNET_STILLS):
    """The lists name files under another root; `row` are the columns of every label."""
    for split, names in stills.items():
        lines = []
        for k, name in enumerate(names):
            write(root / split / f"{name}.png", photo(k))
            write(root / f"{split}annot/{name}.png", ids(row).astype(np.uint8))
            lines.append(f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root
