import multiprocessing
import pickle
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crossfade.errors import UserError
from crossfade.motion.store import LARGEST, MotionArchive, MotionWriter, check_fits

CAMVID = Path(__file__).resolve().parents[2] / "../shared/data/camvid/val"
SIZE = (37, 53)


@dataclass(frozen=True)
class SomeVideo:
    name: str = "0001"
    size: tuple[int, int] = SIZE
    frames: tuple[Any, ...] = (0, 1, 2)


def noise(seed: int = 0, scale: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, (2, *SIZE)).astype(np.float32), rng.random(SIZE) > 0.3


def write(path: Path, video: str = "0001") -> None:
    with MotionWriter(path, SIZE, video, 3, {"estimator": "none"}) as writer:
        writer.add(1, 0, *noise(0))
        writer.add(0, 1, *noise(1))


@pytest.mark.parametrize("scale", [0.01, 20.0, 300.0])
def test_error_is_at_most_a_64th_pixel(tmp_path: Path, scale: float) -> None:
    flow, valid = noise(scale=scale)
    flow = flow.clip(-LARGEST, LARGEST)
    flow[:, 0, 0], valid[0, 0] = (LARGEST, -LARGEST), True
    with MotionWriter(tmp_path / "a", SIZE) as writer:
        writer.add(2, 0, flow, valid)
    read, read_valid = MotionArchive(tmp_path / "a").read(2, 0)
    assert read.dtype == np.float32
    assert np.abs(read - flow).max() <= 1 / 64
    assert np.array_equal(read_valid, valid)
    with MotionWriter(tmp_path / "b", SIZE) as writer:  # stored motion is stored again without loss
        writer.add(2, 0, read, valid)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_an_archive_knows(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with MotionArchive(tmp_path / "a") as archive:
        assert archive.pairs == {(1, 0), (0, 1)}
        assert (archive.size, archive.video, archive.frames) == (SIZE, "0001", 3)
        assert archive.origin == {"estimator": "none"}
        assert not np.array_equal(archive.read(0, 1)[0], archive.read(1, 0)[0])
        with pytest.raises(UserError, match="no motion from frame 2 to frame 0"):
            archive.read(2, 0)


def test_an_archive_without_pairs(tmp_path: Path) -> None:
    """Frames too far apart in time have no motion, and that is no error."""
    with MotionWriter(tmp_path / "a", SIZE, "0001", 1):
        pass
    assert MotionArchive(tmp_path / "a").pairs == set()


def compactness(path: Path, fields: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Stored bytes / bytes of the float32 motion alone."""
    with MotionWriter(path, fields[0][1].shape) as writer:
        for index, (flow, valid) in enumerate(fields):
            writer.add(index + 1, index, flow, valid)
    archive = MotionArchive(path)
    for index, (flow, valid) in enumerate(fields):
        assert np.abs(archive.read(index + 1, index)[0] - flow).max() <= 1 / 64
        assert np.array_equal(archive.read(index + 1, index)[1], valid)
    return path.stat().st_size / sum(flow.nbytes for flow, _ in fields)


def test_compact_on_piecewise_smooth_motion(tmp_path: Path) -> None:
    """A street in small: expanding ground, things that move on their own, validity with ragged edges."""
    y, x = np.mgrid[:120, :160].astype(np.float32)
    flow = np.stack([(x - 80) * np.maximum(y - 50, 3) / 500, np.maximum(y - 50, 0) ** 2 / 400])
    flow[:, 60:90, 30:70] = np.array([-7.3, 1.1], np.float32)[:, None, None] + (x[60:90, 30:70] - 50) / 30
    valid = np.random.default_rng(0).random((120, 160)) > 0.02
    assert compactness(tmp_path / "a", [(flow.astype(np.float32), valid)]) < 1 / 8


@pytest.mark.skipif(not CAMVID.is_dir(), reason="the CamVid clip is not beside the project")
def test_compact_on_estimated_motion_of_real_video(tmp_path: Path) -> None:
    files = sorted(CAMVID.glob("*.png"))[:4]
    grey = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [dis.calc(now, past, None).transpose(2, 0, 1) for past, now in pairwise(grey)]
    assert compactness(tmp_path / "a", [(flow, np.hypot(*flow) > 1) for flow in flows]) < 1 / 8


def test_too_large_a_motion_is_refused_where_it_counts(tmp_path: Path) -> None:
    flow, valid = np.zeros((2, *SIZE), np.float32), np.ones(SIZE, bool)
    flow[0, 3, 4] = 1500
    with pytest.raises(UserError, match=r"frame 1 to frame 0 .* 1500 px"), MotionWriter(tmp_path / "a", SIZE) as writer:
        writer.add(1, 0, flow, valid)
    assert list(tmp_path.iterdir()) == []
    valid[3, 4] = False
    with MotionWriter(tmp_path / "a", SIZE) as writer:
        writer.add(1, 0, flow, valid)
    assert MotionArchive(tmp_path / "a").read(1, 0)[0][0, 3, 4] == pytest.approx(LARGEST)


def test_unknown_motion(tmp_path: Path) -> None:
    flow, valid = np.zeros((2, *SIZE), np.float32), np.ones(SIZE, bool)
    flow[:, 0, 0] = np.nan
    with MotionWriter(tmp_path / "a", SIZE) as writer:
        with pytest.raises(UserError, match="frame 1 to frame 0"):
            writer.add(1, 0, flow, valid)
        valid[0, 0] = False
        writer.add(1, 0, flow, valid)
    assert MotionArchive(tmp_path / "a").read(1, 0)[0][0, 0, 0] == 0


@pytest.mark.parametrize(("i", "j"), [(1, 0), (3, 2), (-1, 0)])
def test_pairs_the_video_does_not_have(tmp_path: Path, i: int, j: int) -> None:
    with MotionWriter(tmp_path / "a", SIZE, "0001", 3) as writer:
        writer.add(1, 0, *noise())
        with pytest.raises(ValueError, match="is there already or is not of this video"):
            writer.add(i, j, *noise())


def test_wrong_shapes(tmp_path: Path) -> None:
    flow, valid = noise()
    with MotionWriter(tmp_path / "a", SIZE) as writer, pytest.raises(ValueError, match="not of the video's size"):
        writer.add(1, 0, flow.transpose(0, 2, 1), valid)


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()

    def interrupted() -> None:
        with MotionWriter(tmp_path / "a", SIZE) as writer:
            writer.add(1, 0, *noise(5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_same_motion_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.999])
def test_a_truncated_archive(tmp_path: Path, share: float) -> None:
    write(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="truncated or damaged"):
        MotionArchive(tmp_path / "a")


def test_a_flipped_bit(tmp_path: Path) -> None:
    write(tmp_path / "a")
    content = bytearray((tmp_path / "a").read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "a").write_bytes(bytes(content))
    archive = MotionArchive(tmp_path / "a")
    with pytest.raises(UserError, match="truncated or damaged"):
        [archive.read(*pair) for pair in archive.pairs]


def test_missing_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        MotionArchive(tmp_path / "none")
    (tmp_path / "text").write_text("not an archive")
    with pytest.raises(UserError, match="truncated or damaged"):
        MotionArchive(tmp_path / "text")


def test_an_archive_of_another_video(tmp_path: Path) -> None:
    write(tmp_path / "a")
    archive = MotionArchive(tmp_path / "a")
    check_fits(archive, SomeVideo())
    for other, what in [
        (SomeVideo(name="0002"), "video"),
        (SomeVideo(size=(53, 37)), "size"),
        (SomeVideo(frames=(0, 1)), "frames"),
    ]:
        with pytest.raises(UserError, match=f"does not fit video .* its {what} is"):
            check_fits(archive, other)


def test_an_archive_that_says_nothing_of_its_video_fits_by_size(tmp_path: Path) -> None:
    with MotionWriter(tmp_path / "a", SIZE) as writer:
        writer.add(1, 0, *noise())
    check_fits(MotionArchive(tmp_path / "a"), SomeVideo())
    with pytest.raises(UserError, match="its size is"):
        check_fits(MotionArchive(tmp_path / "a"), SomeVideo(size=(1, 2)))


def _read_in_child(archive: MotionArchive, queue: Any) -> None:
    for _ in range(20):
        queue.put(float(archive.read(1, 0)[0].sum()))


def test_pickled_and_forked(tmp_path: Path) -> None:
    write(tmp_path / "a")
    archive = MotionArchive(tmp_path / "a")
    expected = float(archive.read(1, 0)[0].sum())
    copy = pickle.loads(pickle.dumps(archive))
    assert float(copy.read(1, 0)[0].sum()) == expected
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_read_in_child, args=(archive, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=30) for _ in range(40)] == [expected] * 40
    for child in children:
        child.join()
