"""Every native layout from the files as they unpack to a number: the functions the stages call, one after the other."""

import functools

import cv2
import pytest
import tiny_layouts as layouts
import torch
import yaml

from crossfade.data import prepare_data_set
from crossfade.data.clip import IGNORE
from crossfade.data.labels import load_label_space
from crossfade.data.loading import ClipDataset
from crossfade.experiment import SOURCE, TARGET, Place, adapt, open_domain, pretrain
from crossfade.files import read_json
from crossfade.motion.estimate import estimate_data_set
from crossfade.pair_index import index_pair
from crossfade.params import check_params
from crossfade.scoring import score
from crossfade.training import Knobs

SIZE = (64, 96)
TRAINING = {"steps": 2, "batch": 2}
TEACHER = {"statistics_batches": 1}
METHODS = {
    "self_training": {"method": {"name": "self_training", "teacher": TEACHER}},
    "stcl": {"temporal": "fusion", "method": {"name": "stcl", "teacher": TEACHER}},
}


def segnet(root):
    """The split of SegNet: training stills a second apart, consecutive ones in val."""
    stills = {"train": ["0001TP_006690", "0001TP_006720"], "val": ["0016E5_07959", "0016E5_07961"]}
    layouts.camvid_segnet(root, row=(0, 1, 2, 3, 4, 8, 9, 11), stills=stills)
    return {"kind": "camvid", "root": str(root)}


train_ids = functools.partial(layouts.cityscapes, labels="labelTrainIds")
flattened = functools.partial(layouts.synthia, layout="flattened")

SYNTHIA = "road sidewalk building fence pole traffic_light traffic_sign vegetation"
CITYSCAPES = "road sidewalk building person rider car - -"
CITYSCAPES_ELEVEN = "road pavement building pedestrian bicyclist car bicyclist -"
VIPER = "road sidewalk - - car car building sky"
BDD = "road sidewalk sky person car bicycle - building"
CAMVID = "road pavement building pedestrian bicyclist car tree -"
SEGNET = "sky building pole road pavement car pedestrian -"
VSPW = "- wall ceiling sky instrument train - wall"

PAIRS = {
    "synthia": (layouts.synthia, SYNTHIA, layouts.cityscapes, CITYSCAPES, "synthia12", "stcl"),
    "synthia_flattened": (flattened, SYNTHIA, train_ids, CITYSCAPES, "synthia12", "self_training"),
    "viper_bdd": (layouts.viper, VIPER, layouts.bdd, BDD, "viper15", "stcl"),
    "camvid_full": (layouts.cityscapes, CITYSCAPES_ELEVEN, layouts.camvid_full, CAMVID, "camvid11", "stcl"),
    "camvid_segnet": (train_ids, CITYSCAPES_ELEVEN, segnet, SEGNET, "camvid11", "self_training"),
    "vspw": (layouts.vspw_twice, VSPW, layouts.vspw_twice, VSPW, "vspw124", "self_training"),
}
"""By name: writer of the source and the classes of its labels' columns, the same of the target, label space, method."""

EVERY_FRAME = {"camvid_segnet": 2, "vspw": 3}
"""Labelled frames of val where it is more than the last one of a snippet."""
FURTHER = {"viper_bdd": {"fence"}}
"""Classes of the source that the eighth row of its labels does not show."""


def params_of(raws, space, method):
    """params.yaml, as it would be written for these data."""
    network = {"kind": "deeplab", "pretrained": False, "channels": 16, "skip_channels": 8}
    text = {
        "seeds": [0],
        "pairs": {"pair": {"source": "source", "target": "target", "label_space": space, "size": list(SIZE)}},
        "data_sets": raws,
        "motion": {name: {"estimator": "dis", "preset": "fast", "max_gap": 0.3} for name in raws},
        "networks": {"tiny": network},
        "pretraining": {"method": {"name": "supervised"}, "training": TRAINING},
        "adaptation": TRAINING,
        "recipes": {"row": {"network": "tiny", **METHODS[method]}},
    }
    return check_params(yaml.safe_dump(text))


def columns(clip, classes):
    """The classes of a clip's newest label, column by column, as in the tables above."""
    found = [int(k) for k in clip.labels_now[0, 8, 6::12]]
    return " ".join("-" if k == IGNORE else classes[k].replace(" ", "_") for k in found)


@pytest.mark.parametrize("name", PAIRS)
def test_from_files_to_a_number(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSFADE_TRACKING", "off")
    source, source_columns, target, target_columns, space, method = PAIRS[name]
    params = params_of({SOURCE: source(tmp_path / "raw/a"), TARGET: target(tmp_path / "raw/b")}, space, method)
    place, pair, knobs = Place(tmp_path), params.pairs["pair"], Knobs(device="cpu", figure_every=0)
    for data_set, raw in params.data_sets.items():
        manifest = prepare_data_set(raw, place.data(data_set))
        estimate_data_set(manifest, params.motion[data_set], place.motion(data_set), 1)
    assert "checked" in index_pair(place, "pair", pair)[-1]

    classes = load_label_space(space).classes
    for side, split, expected in ((SOURCE, "train", source_columns), (TARGET, "val", target_columns)):
        dataset = ClipDataset(open_domain(place, "pair", pair, side, (split,)), (-1, 0), [(1, 0)], labels=True)
        assert len(dataset) > 0
        for clip in map(dataset.__getitem__, range(len(dataset))):
            assert columns(clip, classes) == expected
            assert clip.frames.shape == (1, 2, 3, *SIZE)
            assert clip.motion[1, 0].valid.any()
            assert not torch.equal(clip.frames[:, 0], clip.frames[:, 1])
    if name == "camvid_segnet":  # a second apart: nobody's neighbours
        dataset = ClipDataset(open_domain(place, "pair", pair, TARGET, ("train",)), (-1, 0), [(1, 0)], labels=True)
        assert not any(dataset[k].motion[1, 0].valid.any() for k in range(len(dataset)))
    pixels = read_json(place.side("pair", SOURCE))["class_pixels"]
    learned = {c.replace(" ", "_") for c, count in pixels.items() if count}
    assert learned == set(source_columns.split()) - {"-"} | FURTHER.get(name, set())

    pretrain(place, params, "pair", "tiny", 0, knobs)
    adapt(place, params, "pair", "row", 0, knobs)
    assert "mIoU" in score(place, params, "pair", "row", 0, "cpu")
    metrics = read_json(place.metrics("pair", "row", 0))
    assert metrics["frames"] == EVERY_FRAME.get(name, 1)
    assert {c for c, iou in metrics["iou"].items() if iou is not None} == set(target_columns.split()) - {"-"}
    assert 0 <= metrics["miou"] <= 1
    assert 0 <= metrics["temporal_consistency"]["value"] <= 1
    shown = cv2.VideoCapture(str(place.evaluation("pair", "row", 0) / "side_by_side.mp4"))
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) >= 2  # frames with and without a label
