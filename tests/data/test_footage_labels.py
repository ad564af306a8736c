"""Labels of a few frames of footage: in clips of their own, never in training, mapped by a table or a JSON file."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_footage import drive

from crossfade.data.footage import FootageParameters, prepare
from crossfade.data.footage_labels import plan_clips, read_table
from crossfade.data.labels import load_label_space
from crossfade.data.loading import Domain
from crossfade.data.video import open_frames
from crossfade.errors import UserError

SIZE = (72, 96)
CITY = [7, 8, 11, 24, 26, 33, 23, 0]


def label(values) -> np.ndarray:
    return np.repeat(np.array(values, np.uint8), SIZE[1] // len(values))[None].repeat(SIZE[0], 0)


def footage(root, numbers=(5, 30), table="cityscapes_ids", values=CITY, **options):
    """Footage of 60 frames at 12 Hz; labels of some."""
    video = drive(root / "drive_a.mp4", [(60, 2)])
    (root / "labels").mkdir(exist_ok=True)
    for k in numbers:
        cv2.imwrite(str(root / f"labels/drive_a_{k:06d}.png"), label(values))
    options = {"clip_frames": 6, "labels": {"folder": root / "labels", "table": table}} | options
    return FootageParameters(videos=str(video), **options)


def labelled(manifest):
    return {
        (video.split, video.name, k): frame.label
        for video in manifest.videos
        for k, frame in enumerate(video.frames)
        if frame.label is not None
    }


def test_labelled_frames_stand_in_validation_with_their_neighbours_and_nowhere_in_training(tmp_path):
    manifest = prepare(footage(tmp_path), tmp_path / "footage")
    assert manifest.labels == "cityscapes_ids"
    assert list(labelled(manifest)) == [("val", "000-labelled-000000", 5), ("val", "000-labelled-000025", 5)]
    trained = [round(frame.time * 12) for video in manifest.split("train") for frame in video.frames]
    assert trained
    assert not set(trained) & {*range(0, 6), *range(25, 31)}
    frames = list(open_frames(tmp_path / "drive_a.mp4"))
    (second,) = [video for video in manifest.videos if video.name == "000-labelled-000025"]
    assert [round(frame.time * 12) for frame in second.frames] == list(range(25, 31))
    for k, frame in enumerate(second.frames):
        assert np.abs(manifest.image(frame.image).astype(int) - frames[25 + k]).mean() < 3
    domain = Domain(manifest, None, load_label_space("camvid11"), SIZE, ("val",))
    names = load_label_space("camvid11").classes
    row = domain.label(str(second.frames[5].label))[0, ::12]
    expected = ["road", "pavement", "building", "pedestrian", "car", "bicyclist", "sky", None]
    assert [None if k == 255 else names[k] for k in row] == expected
    again = prepare(footage(tmp_path), tmp_path / "again" / "footage")
    assert again.files == manifest.files


def test_a_json_of_class_names_is_a_table_and_shrunk_frames_have_shrunk_labels(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"0": "tree", "1": "pavement", "9": None, "200": "car"}))
    parameters = footage(tmp_path, (30,), str(path), [0, 1, 9, 200], height=36)
    manifest = prepare(parameters, tmp_path / "footage")
    assert manifest.labels == "camvid11"  # the label space whose classes these are
    ((place, ref),) = labelled(manifest).items()
    assert place[0] == "val"
    names = load_label_space("camvid11").classes
    shown = manifest.label(str(ref))
    assert shown.shape == (36, 48)
    assert [None if k == 255 else names[k] for k in shown[0, 6::12]] == ["tree", "pavement", None, "car"]


def test_names_that_several_label_spaces_have_take_the_one_most_others_can_be_mapped_from(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"3": "road", "4": "car", "5": "sky"}))
    table = read_table("footage", str(path))
    assert table.labels == "cityscapes19"
    assert dict(table.ids) == {3: 0, 4: 13, 5: 10}


def test_some_can_be_left_to_the_oracle(tmp_path):
    parameters = footage(tmp_path, (10, 30, 50))
    parameters = parameters.model_copy(update={"labels": parameters.labels.model_copy(update={"for_oracle": 0.5})})
    found = labelled(prepare(parameters, tmp_path / "footage"))
    assert [split for split, _, _ in found] == ["train", "val", "val"]


def test_a_folder_of_frames_is_labelled_by_their_names(tmp_path):
    (tmp_path / "frames").mkdir()
    for k, frame in enumerate(open_frames(drive(tmp_path / "a.mp4", [(24, 2)]))):
        cv2.imwrite(str(tmp_path / f"frames/shot{k}.png"), frame)
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels/shot10.png"), label(CITY))
    labels = {"folder": tmp_path / "labels", "table": "cityscapes_ids"}
    given = FootageParameters(videos=str(tmp_path / "frames"), clip_frames=6, labels=labels)
    manifest = prepare(given, tmp_path / "footage")
    assert list(labelled(manifest)) == [("val", "000-labelled-000005", 5)]


def test_clips_around_labels():
    def plans(numbers, step=2, length=4, cuts=()):
        return [
            (plan.indices, tuple(plan.labels))
            for plan in plan_clips(0, {k: Path(f"{k}.png") for k in numbers}, step, length, cuts)
        ]

    assert plans([20]) == [((14, 16, 18, 20), (20,))]
    assert plans([20, 24]) == [((14, 16, 18, 20, 22, 24), (20, 24))]  # near enough to share a clip
    assert plans([20, 23]) == [((14, 16, 18, 20), (20,)), ((17, 19, 21, 23), (23,))]  # not on one grid
    assert plans([20, 30]) == [((14, 16, 18, 20), (20,)), ((24, 26, 28, 30), (30,))]
    assert plans([0]) == [((0, 2, 4), (0,))]  # nothing before: later frames, so that there are neighbours
    assert plans([20], cuts=[(16, 18)]) == [((18, 20, 22), (20,))]
    assert plans([20], cuts=[(15, 17)]) == [((18, 20, 22), (20,))]  # 16 may be of either shot
    assert plans([20, 22], cuts=[(20, 22)]) == [((14, 16, 18, 20), (20,)), ((22, 24, 26), (22,))]
    assert plans([20, 23], step=3, cuts=[(20, 23)]) == [((11, 14, 17, 20), (20,)), ((23, 26, 29), (23,))]
    assert plans([20, 22, 24], cuts=[(21, 23)]) == [((14, 16, 18, 20), (20,)), ((24, 26, 28), (24,))]
    assert plans([20], cuts=[(16, 18), (22, 24)]) == [((18, 20, 22), (20,))]
    assert plans([20, 26], cuts=[(16, 18), (21, 23)]) == [((24, 26, 28), (26,))]  # 18 and 20 are too few
    assert plans([0], cuts=[(-1, 0)]) == [((0, 2, 4), (0,))]
    dense = plans(range(0, 200, 2))
    assert max(len(indices) for indices, _ in dense) <= 20
    assert [k for _, labels in dense for k in labels] == list(range(0, 200, 2))


def test_no_clip_reaches_over_a_cut_between_two_sampled_frames(tmp_path, capsys):
    """At half the rate every other frame is looked at; the cut is at 29, seen at 30."""
    video = drive(tmp_path / "drive_a.mp4", [(29, 2), (31, 2)])
    (tmp_path / "labels").mkdir()
    for k in (29, 31, 50):
        cv2.imwrite(str(tmp_path / f"labels/drive_a_{k:06d}.png"), label(CITY))
    labels = {"folder": tmp_path / "labels", "table": "cityscapes_ids"}
    given = FootageParameters(videos=str(video), clip_frames=6, rate=6, labels=labels)
    manifest = prepare(given, tmp_path / "footage")
    indices = {v.name: [round(f.time * 12) for f in v.frames] for v in manifest.videos if "labelled" in v.name}
    assert indices == {"000-labelled-000031": [31, 33, 35], "000-labelled-000040": [40, 42, 44, 46, 48, 50]}
    assert "1 labelled frames are left out, first" in capsys.readouterr().out


def test_mistakes_are_sentences(tmp_path):
    def told(parameters) -> str:
        with pytest.raises(UserError) as caught:
            prepare(parameters, tmp_path / "footage")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def table(path, content):
        path.write_text(content)
        return told(footage(tmp_path, table=str(path)))

    assert "did you mean 'cityscapes_ids'" in told(footage(tmp_path, table="cityscapes_id"))
    assert "there is no table" in told(footage(tmp_path, table="nowhere.json"))
    assert "not valid JSON" in table(tmp_path / "t.json", "{")
    assert "should be like" in table(tmp_path / "t.json", '{"car": 3}')
    assert "did you mean 'pavement'" in table(tmp_path / "t.json", '{"1": "pavment", "2": "tree", "3": "pedestrian"}')
    assert "drive_a_000005.png has id 77" in told(footage(tmp_path, (5,), values=[77] * 8))
    assert "labels frame 99, which its video does not have" in told(footage(tmp_path, (5, 99)))
    (tmp_path / "labels/drive_a_000099.png").unlink()
    cv2.imwrite(str(tmp_path / "labels/drive_a_000005.png"), label(CITY)[:, :90])
    assert "is 90x72, its frame 96x72" in told(footage(tmp_path, (30,)))
    cv2.imwrite(str(tmp_path / "labels/drive_a_000005.png"), np.zeros((*SIZE, 3), np.uint8))
    assert "is not indexed" in told(footage(tmp_path, (30,)))
    (tmp_path / "labels/drive_a_000005.png").rename(tmp_path / "labels/drive_b_000005.png")
    assert "names no frame" in told(footage(tmp_path, (30,)))
    (tmp_path / "labels/drive_b_000005.png").rename(tmp_path / "labels/drive_a_30.png")
    assert "label the same frame" in told(footage(tmp_path, (30,)))
    gone = footage(tmp_path).model_copy(update={"labels": None})
    assert prepare(gone, tmp_path / "footage").labels == "none"
