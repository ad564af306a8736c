"""Footage as cameras and downloads leave it: each works, or is refused in a sentence.

What OpenCV cannot write (variable rates, interlaced fields, other containers) ffmpeg writes, where it is installed.
"""

import shutil
import subprocess
import tracemalloc

import cv2
import numpy as np
import pytest
from test_footage import drive

from crossfade.data.footage import FootageParameters, prepare, shot_starts, stretches, survey
from crossfade.data.video import FileFrames, VideoWriter, open_frames
from crossfade.errors import UserError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def ffmpeg(*arguments) -> None:
    subprocess.run(["ffmpeg", "-y", "-v", "error", *map(str, arguments)], check=True, timeout=60)


def needs_encoder(name: str) -> None:
    """Skip where ffmpeg was built without it: what cannot be written cannot be read back. Any other failure fails."""
    listed = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, text=True, check=True).stdout
    if name not in {line.split()[1] for line in listed.splitlines() if len(line.split()) > 1}:
        # some distributions leave patented encoders out; nobody can then write such footage here, let alone read it
        pytest.skip(f"this ffmpeg has no encoder {name}")


@needs_ffmpeg
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_variable_frame_rate_is_followed_by_time(tmp_path, ending):
    """A phone that drops to a third of its rate in the dark: clips keep the file's own times."""
    source = drive(tmp_path / "steady.mp4", [(90, 1)], rate=30.0)
    path = tmp_path / f"phone.{ending}"
    dropped = "select='lt(n\\,30)+gt(n\\,59)+not(mod(n\\,3))'"
    ffmpeg("-i", source, "-vf", dropped, "-vsync", "vfr", "-c:v", "mpeg4", "-q:v", 2, path)
    seen = survey(open_frames(path), 12.0)
    steps = np.diff(seen.times)
    assert seen.times[-1] == pytest.approx(2.9, abs=0.11)
    assert np.all(steps > 0)
    slow = [step for time, step in zip(seen.times, steps, strict=False) if 1.05 < time < 1.8]
    assert np.allclose(slow, 0.1, atol=0.005)  # ten a second there, not twelve
    assert not shot_starts(seen, FootageParameters(videos="x")).any()
    manifest = prepare(FootageParameters(videos=str(path), clip_frames=6), tmp_path / "footage")
    for video in manifest.videos:
        first = int(video.name.split("-")[1])
        assert [f.time for f in video.frames] == pytest.approx(seen.times[first : first + 6].tolist(), abs=1e-5)


@needs_ffmpeg
@pytest.mark.parametrize("name, codec", [("tape.ts", "mpeg2video"), ("camera.mp4", "mpeg4"), ("camera.mkv", "libx264")])
def test_interlaced_footage_is_read_or_refused_but_never_rubbish(tmp_path, name, codec):
    """Some releases of OpenCV cannot convert interlaced frames, and then give out an unwritten picture in silence."""
    source = drive(tmp_path / "steady.mp4", [(60, 2)], rate=50.0)
    path = tmp_path / name
    fields = ("-vf", "tinterlace=interleave_top", "-flags", "+ilme+ildct", "-r", 25)
    needs_encoder(codec)
    ffmpeg("-i", source, *fields, "-c:v", codec, "-q:v", 2, path)
    try:
        video = open_frames(path)
    except UserError as error:
        assert "interlaced" in str(error) and "ffmpeg -i" in str(error)  # noqa: PT017, PT018
        ffmpeg("-i", path, "-vf", "bwdif", tmp_path / "whole.mp4")  # what the sentence says
        video = open_frames(tmp_path / "whole.mp4")
    moments = [moment.astype(int) for moment in open_frames(source)]
    frames = list(video)
    share = len(moments) / len(frames)
    for k in (5, 20):
        nearest = int(np.argmin([np.abs(frames[k] - moment).mean() for moment in moments]))
        assert abs(nearest - k * share) <= 2


def test_a_still_scene_is_no_rubbish(tmp_path):
    path = drive(tmp_path / "parked.mp4", [(20, 0)])
    black = tmp_path / "black.mp4"
    with VideoWriter(black, 12) as writer:
        for _ in range(12):
            writer.add(np.zeros((72, 96, 3), np.uint8))
    assert [len(list(open_frames(video))) for video in (path, black)] == [20, 12]


@needs_ffmpeg
def test_a_rotation_flag_turns_clips_upright(tmp_path):
    source = drive(tmp_path / "lying.mp4", [(24, 2)])
    path = tmp_path / "phone.mp4"
    ffmpeg("-i", source, "-c", "copy", "-metadata:s:v", "rotate=90", path)
    manifest = prepare(FootageParameters(videos=str(path), clip_frames=6), tmp_path / "footage")
    assert {video.size for video in manifest.videos} == {(96, 72)}


def test_4k_is_shrunk_as_it_is_read(tmp_path):
    big = cv2.resize(np.random.default_rng(0).integers(0, 255, (27, 64, 3), np.uint8), (5120, 2160))
    with VideoWriter(tmp_path / "big.mp4", 12) as writer:
        for k in range(8):
            writer.add(big[:, 64 * k : 64 * k + 3840])
    path = tmp_path / "big.mp4"
    assert open_frames(path).size == (2160, 3840)
    manifest = prepare(FootageParameters(videos=str(path), clip_frames=3, still=0.1), tmp_path / "footage")
    assert {video.size for video in manifest.videos} == {(480, 853)}
    kept = manifest.image(manifest.videos[0].frames[0].image)
    assert np.abs(kept.astype(int) - cv2.resize(big[:, :3840], (853, 480), interpolation=cv2.INTER_AREA)).mean() < 4


def test_memory_does_not_grow_with_length(tmp_path):
    """Ten minutes against one: what is kept of a frame are two numbers, so a day of footage takes some megabytes."""
    peaks = {}
    for minutes in (1, 10):
        path = tmp_path / f"{minutes}.mp4"
        with VideoWriter(path, 12) as writer:
            noise = np.random.default_rng(0).integers(0, 255, (32, 96, 3), np.uint8)
            for k in range(minutes * 720):
                writer.add(noise[:, k % 48 : k % 48 + 48])
        source = open_frames(path)
        tracemalloc.start()
        seen = survey(source, 12.0)
        peaks[minutes] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(seen.times) == minutes * 720
        assert len(stretches(0, seen, FootageParameters(videos="x", cut=50))) >= minutes * 50
    frames = (10 - 1) * 720
    assert (peaks[10] - peaks[1]) / frames < 200  # bytes; a thumbnail alone has 2,304


@needs_ffmpeg
@pytest.mark.parametrize("ending", ["mkv", "avi", "ts"])
def test_a_broken_tail_of_a_container_without_index_is_read_up_to_there(tmp_path, ending):
    """A recorder that lost power: mkv, avi and ts have frames from the start; what is there is used."""
    path = tmp_path / f"cut.{ending}"
    ffmpeg("-i", drive(tmp_path / "whole.mp4", [(60, 2)]), "-c:v", "mpeg4", "-q:v", 2, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames = list(open_frames(path))
    assert 20 <= len(frames) <= 45
    assert len(prepare(FootageParameters(videos=str(path), clip_frames=6), tmp_path / "footage").videos) >= 2


def test_an_mp4_whose_last_frames_are_rubbish_is_refused_or_read(tmp_path):
    """The file is as long as it should be, but its end was never written (a failed download of known size)."""
    path = drive(tmp_path / "a.mp4", [(60, 2)])
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat")
    end = content.index(b"moov") - 4
    middle = start + (end - start) * 6 // 10
    content[middle:end] = bytes(end - middle)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"a\.mp4 ends after \d+ of its 60 frames"):
        prepare(FootageParameters(videos=str(path), clip_frames=6), tmp_path / "footage")
    assert not (tmp_path / "footage" / "manifest.parquet").exists()


@needs_ffmpeg
def test_a_video_that_was_cut_without_encoding_it_anew_is_whole(tmp_path):
    """Such a file stores the frames from the key frame before the cut on, and an edit list that hides them."""
    whole, path = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", drive(tmp_path / "drive.mp4", [(60, 2)]), "-c:v", "mpeg4", "-g", 60, "-q:v", 2, whole)
    rate = open_frames(whole).rate
    ffmpeg("-ss", 40 / rate, "-i", whole, "-c", "copy", path)
    cut = open_frames(path)
    assert cut.count > 2 * 20  # stored
    assert len(list(cut)) == pytest.approx(20, abs=2)


@needs_ffmpeg
@pytest.mark.parametrize("ending", ["mp4", "mkv", "mp3"])
def test_sound_without_pictures_is_refused(tmp_path, ending):
    path = tmp_path / f"sound.{ending}"
    codec = "libmp3lame" if ending == "mp3" else "aac"
    needs_encoder(codec)
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", codec, path)
    with pytest.raises(UserError, match="sound only"):
        open_frames(path)


@needs_ffmpeg
def test_mxf_is_read_frame_by_frame(tmp_path):
    """The container of CamVid's videos."""
    path = tmp_path / "0016E5.MXF"
    source = drive(tmp_path / "a.mp4", [(30, 3)], rate=25.0)
    ffmpeg("-i", source, "-c:v", "mpeg2video", "-q:v", 2, "-r", 25, path)
    video = open_frames(path)
    assert isinstance(video, FileFrames)
    expected = list(open_frames(source))
    taken = {k: frame for k, _, frame in video.picked([2, 17, 29])}
    assert sorted(taken) == [2, 17, 29]
    for k, frame in taken.items():
        gaps = [np.abs(frame.astype(int) - other).mean() for other in expected]
        assert int(np.argmin(gaps)) == k


def test_picked_frames_are_those_that_were_asked_for(tmp_path):
    video = open_frames(drive(tmp_path / "a.mp4", [(20, 3)]))
    every = list(video)
    picked = list(video.picked([7, 3, 19, 3, 40, -1]))
    assert [k for k, _, _ in picked] == [3, 7, 19]
    assert [seconds for _, seconds, _ in picked] == pytest.approx([3 / 12, 7 / 12, 19 / 12], abs=1e-3)
    assert all(np.array_equal(frame, every[k]) for k, _, frame in picked)
    assert list(video.picked([])) == []
