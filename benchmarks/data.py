"""Data: frames out of archives, manifests of 150,000 frames, and reading against the bare decoder.

Seconds of reading are those of one core (`process_time`), so that a busy machine does not blur them.
"""

import io
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crossfade.data import loading
from crossfade.data.cityscapes import CityscapesParameters
from crossfade.data.getting.archives import open_archive
from crossfade.data.getting.bringing import bring_out
from crossfade.data.getting.members import choose
from crossfade.data.labels import load_label_space
from crossfade.data.loading import ClipDataset, Domain
from crossfade.data.manifest import Frame, Manifest, Video
from crossfade.data.shards import write_shards
from crossfade.motion.store import MotionWriter

SNIPPETS, FRAMES = 60, 30
SIZE, SMALL = (1024, 2048), (512, 1024)
MANY = 150_000


def cpu(work: Callable[[], Any], times: int = 3) -> float:
    """The least seconds of processor time."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Something that compresses as a photograph does: 2 bytes a pixel as PNG."""
    rng = np.random.default_rng(seed)
    octaves = [cv2.resize(rng.random((size[0] // s, size[1] // s, 3), np.float32), size[::-1]) for s in (64, 16, 4, 2)]
    return (np.mean(octaves, axis=0) * 255).astype(np.uint8)


def archive_rows() -> Iterator[dict[str, Any]]:
    """Cityscapes' sequences at a small size: what is brought out, against the whole archive."""
    parameters = CityscapesParameters(root=Path())
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()):
        folder = Path(name)
        one = np.random.default_rng(0).bytes(200_000)
        with zipfile.ZipFile(folder / "sequence.zip", "w") as archive:
            for k in range(SNIPPETS * FRAMES):
                stem = f"aachen_{k // FRAMES:06d}_{k % FRAMES:06d}"
                archive.writestr(f"leftImg8bit_sequence/train/aachen/{stem}_leftImg8bit.png", one)
        with zipfile.ZipFile(folder / "fine.zip", "w") as archive:
            for k in range(SNIPPETS):
                archive.writestr(f"gtFine/train/aachen/aachen_{k:06d}_000019_gtFine_labelIds.png", b"label")

        def unpack() -> None:
            with zipfile.ZipFile(folder / "sequence.zip") as archive:
                archive.extractall(folder / "all")

        def get() -> None:
            found = [open_archive(folder / file, "c") for file in ("sequence.zip", "fine.zip")]
            bring_out("c", found, choose("c", "cityscapes", parameters, found, folder / "raw"), folder / "raw", 2)

        start = time.perf_counter()
        get()
        first = time.perf_counter() - start
        start = time.perf_counter()
        get()
        again = time.perf_counter() - start
        start = time.perf_counter()
        unpack()
        whole = time.perf_counter() - start
        written = sum(path.stat().st_size for path in (folder / "raw").rglob("*.png"))
        total = sum(path.stat().st_size for path in (folder / "all").rglob("*.png"))
    what = f"archive: {SNIPPETS} snippets of {FRAMES}, before: 2"
    yield {"what": f"{what}, bytes", "value": written / 1e6, "unit": "MB", "against": "all", "ratio": total / written}
    yield {"what": what, "value": first, "unit": "s", "against": "unpacking it all", "ratio": whole / first}
    yield {"what": f"{what}, again", "value": again, "unit": "s", "against": "the first time", "ratio": first / again}


def manifest_rows() -> Iterator[dict[str, Any]]:
    """150,000 frames with labels."""
    videos, files = [], {}
    for v in range(MANY // FRAMES):
        stem = f"train/aachen/aachen_{v:06d}"
        frames = tuple(Frame(f"i/{stem}_{k:06d}.png", f"g/{stem}_{k:06d}.png", k / 17) for k in range(FRAMES))
        videos.append(Video(f"aachen_{v:06d}", "train", SIZE, frames))
        for k, frame in enumerate(frames):
            for ref in (frame.image, str(frame.label)):
                files[ref] = {"size": 2_160_000 + k, "sha256": f"{v * FRAMES + k:064x}"}
    with tempfile.TemporaryDirectory() as name:
        manifest = Manifest("large", "cityscapes_ids", Path(name), tuple(videos), files=files)
        save = cpu(lambda: manifest.save(Path(name)), 1)
        size = sum(path.stat().st_size for path in Path(name).iterdir())
        load = cpu(lambda: Manifest.load(Path(name)))
        everything = cpu(lambda: len(Manifest.load(Path(name)).files or {}))
    yield {"what": "manifest of 150,000 frames: save", "value": save, "unit": "s"}
    yield {"what": "manifest of 150,000 frames: open", "value": load, "unit": "s"}
    yield {"what": "manifest of 150,000 frames: open with 300,000 hashes", "value": everything, "unit": "s"}
    yield {"what": "manifest of 150,000 frames: on disk", "value": size / 1e6, "unit": "MB"}


def reading_rows() -> Iterator[dict[str, Any]]:
    """Clips of two frames, labels and motion, one core, against decoding the same files and nothing else."""
    cv2.setNumThreads(1)
    loading.CACHE_BYTES = 0
    for ending, size, small in (("png", SIZE, SMALL), ("jpg", (1080, 1920), SMALL), ("jpg", (1080, 1920), (512, 960))):
        with tempfile.TemporaryDirectory() as name:
            domain = _domain(Path(name), ending, size, small)
            root = Path(name)
            files = [(root / f"{k}.{ending}", cv2.IMREAD_COLOR) for k in (0, 1)]
            named = [(root / f"{k}_label.png", cv2.IMREAD_UNCHANGED) for k in (0, 1)]
            for what, labels, pairs in (
                ("two frames", False, ()),
                ("with labels", True, ()),
                ("with labels, motion", True, ((1, 0),)),
            ):
                dataset = ClipDataset(domain, (-1, 0), pairs, labels)

                def decode(read: Any = files + named * labels, pairs: Any = pairs, root: Path = root) -> None:
                    for file, mode in read:
                        cv2.imread(str(file), mode)
                    if pairs:
                        with zipfile.ZipFile(root / "train/v.motion") as archive:
                            archive.read("pairs/1_0")

                bare, own = cpu(decode, 10), cpu(lambda dataset=dataset: dataset[0], 10)
                yield {
                    "what": f"{ending} {size[1]}x{size[0]} to {small[1]}x{small[0]}: {what}",
                    "value": 2 / own,
                    "unit": "frames/s",
                    "against": "decoding, inflating alone",
                    "ratio": bare / own,
                }


def shard_rows() -> Iterator[dict[str, Any]]:
    """The same clips out of shards, against the data set."""
    cv2.setNumThreads(1)
    loading.CACHE_BYTES = 0
    for ending, size in (("png", SIZE), ("jpg", (1080, 1920))):
        with tempfile.TemporaryDirectory() as name:
            domain = _domain(Path(name), ending, size, SMALL)
            list(write_shards(domain, Path(name) / "shards"))
            sharded = replace(domain, shards=Path(name) / "shards")
            clips = [ClipDataset(side, (-1, 0), (), True) for side in (domain, sharded)]
            own, quick = (cpu(lambda data=data: data[0], 10) for data in clips)
        yield {
            "what": f"{ending} {size[1]}x{size[0]} to {SMALL[1]}x{SMALL[0]}: shards",
            "value": 2 / quick,
            "unit": "frames/s",
            "against": "the data set",
            "ratio": own / quick,
        }


def _domain(root: Path, ending: str, size: tuple[int, int], small: tuple[int, int]) -> Domain:
    ids = np.random.default_rng(0).integers(0, 19, (16, 32), np.uint8)
    frames = []
    for k in range(3):
        cv2.imwrite(str(root / f"{k}.{ending}"), picture(size, k))
        cv2.imwrite(str(root / f"{k}_label.png"), cv2.resize(ids, size[::-1], interpolation=cv2.INTER_NEAREST))
        frames.append(Frame(f"{k}.{ending}", f"{k}_label.png", k / 17))
    flow = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 9, (*size, 2)).astype(np.float32), (0, 0), 15)
    with MotionWriter(root / "train/v.motion", size, "v", 3) as writer:
        for k in (1, 2):
            writer.add(k, k - 1, np.ascontiguousarray(flow.transpose(2, 0, 1)), np.ones(size, bool))
    manifest = Manifest("d", "cityscapes19", root, (Video("v", "train", size, tuple(frames)),), files={})
    return Domain(manifest, root, load_label_space("camvid11"), small, ("train",))


def rows() -> list[dict[str, Any]]:
    """Everything above."""
    return [*archive_rows(), *manifest_rows(), *reading_rows(), *shard_rows()]
