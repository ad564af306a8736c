import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from methods.toy_network import ToyFrame
from sklearn.metrics import accuracy_score, jaccard_score
from toy_video import CLASSES, video_on_disk

from crossfade.data.augment import GeometricParameters, Placement, draw_placement, transform
from crossfade.data.batches import collate
from crossfade.data.loading import ClipDataset, Domain
from crossfade.data.manifest import Manifest
from crossfade.diagnosis import Diagnosis, is_asked_for
from crossfade.errors import UserError
from crossfade.experiment import Place, _labelled_target, adapt, dataset_for
from crossfade.methods import build_method
from crossfade.methods.base import Guess
from crossfade.params import Pair, read_params
from crossfade.temporal import TEMPORAL
from crossfade.temporal.video_network import VideoNetwork
from crossfade.tracking import NoTracker
from crossfade.training import Knobs, TrainingParameters, make_accelerator, train

SHIPPED = Path(__file__).resolve().parents[1] / "params.yaml"


def target(root, splits=("train",)) -> Domain:
    """One video in two splits, "train" and "val"."""
    domain = video_on_disk(root)
    (video,) = domain.videos
    (root / "motion" / "train").mkdir()
    (root / "motion" / "train" / "a.motion").write_bytes((root / "motion" / "val" / "a.motion").read_bytes())
    both = (replace(video, split="train"), video)
    return replace(domain, manifest=Manifest("toy", "toy", root, both), splits=splits)


def nowhere(batch: int) -> Placement:
    return Placement(torch.zeros(batch, dtype=torch.bool), torch.ones(batch), torch.zeros(batch, 2))


SETTINGS = {"stcl": {"alignment": {"spans": [1]}}, "mic": {"feature_distance": {"weight": 0.0}}}
"""The toy video has no motion over two frames, and no things."""


class Record(NoTracker):
    def __init__(self):
        self.seen = {}

    def metrics(self, values, step=None):
        self.seen[step] = values


WARPED = {"labels": {"labeller": "self", "over_motion": "agreement", "weighting": "none"}}
ALWAYS = {"diagnosis/pl_miou", "diagnosis/pl_accuracy", "diagnosis/pl_confidence", "diagnosis/pl_kept"}
OVER_MOTION = {"diagnosis/pl_miou_before", "diagnosis/pl_bound"}  # and pl_found, where anything was right


def trained(root, name, diagnose, domain, settings=None):
    torch.manual_seed(0)
    frame = ToyFrame(4)
    kind = "none" if name == "quadmix" else "fusion"
    network = VideoNetwork(frame, TEMPORAL[kind](frame, 4))
    method = build_method(name, settings or SETTINGS.get(name, {}), network, CLASSES)
    tracker, parameters = Record(), TrainingParameters(steps=4, batch=2)
    knobs = Knobs(device="cpu", log_every=2, figure_every=0, diagnosis=Diagnosis(domain if diagnose else None))
    sides = dataset_for(domain, method.source_needs), dataset_for(domain, method.target_needs)
    accelerator = make_accelerator(parameters, knobs)
    train(method, *sides, parameters, 1, root / f"{diagnose}", accelerator, knobs, tracker)
    return {"student": method.network.state_dict(), "deployed": method.deployed().state_dict()}, tracker.seen


@pytest.mark.parametrize(
    "name, settings, expected",
    [
        *((name, None, ALWAYS) for name in ("self_training", "stcl", "mic", "quadmix", "pixmatch")),
        ("tps", None, ALWAYS | OVER_MOTION),
        ("pixmatch", WARPED, ALWAYS | OVER_MOTION),
        ("stcl", {**SETTINGS["stcl"], "labels": {"over_motion": "average"}}, ALWAYS | OVER_MOTION),
        ("tps", {"labels": {"labeller": "self", "over_motion": "warped", "fill": "ignore"}}, ALWAYS),
    ],
)
def test_the_weights_are_the_same_bit_for_bit_and_the_numbers_are_logged(tmp_path, name, settings, expected):
    domain = target(tmp_path / "data")
    without, silent = trained(tmp_path, name, False, domain, settings)
    with_it, told = trained(tmp_path, name, True, domain, settings)
    for which, state in without.items():
        for key, value in state.items():
            assert torch.equal(value, with_it[which][key]), (which, key)
    assert list(told) == [2, 4]
    for step, values in told.items():
        added = values.keys() - silent[step].keys()
        assert added - {"diagnosis/pl_found"} == expected
        assert all(0 <= values[key] <= 1 for key in added)
        if expected >= OVER_MOTION:
            assert values["diagnosis/pl_bound"] >= values["diagnosis/pl_miou_before"]
        assert values["loss/total"] == silent[step]["loss/total"]


def test_true_labels_are_mirrored_and_zoomed_as_the_clips_were(tmp_path):
    domain = target(tmp_path)
    clip = collate([ClipDataset(domain, labels=True)[k] for k in (0, 3, 5, 6)])
    for seed in range(4):
        torch.manual_seed(seed)
        placement = draw_placement(clip, GeometricParameters(flip=0.5, scale=(0.7, 1.6)))
        seen = transform(clip, *placement).labels_now
        said = torch.where(seen == 255, 0, seen)
        diagnosis = Diagnosis(domain)
        diagnosis.see(Guess(clip.names, said, torch.ones(said.shape), placement))
        assert diagnosis.numbers()["diagnosis/pl_miou"] == 1.0
        diagnosis.see(Guess(clip.names, said, torch.ones(said.shape), nowhere(4)))
        assert diagnosis.numbers()["diagnosis/pl_miou"] < 0.95


def test_the_numbers_are_scikit_learn_s_over_the_pixels_that_got_a_label(tmp_path):
    domain = target(tmp_path)
    clip = collate([ClipDataset(domain, labels=True)[k] for k in (1, 2)])
    rng = np.random.default_rng(0)
    said = torch.from_numpy(np.where(rng.random((2, 32, 48)) < 0.3, 255, rng.integers(0, 4, (2, 32, 48))))
    confidence = torch.from_numpy(rng.random((2, 32, 48)))
    counted = ((said != 255) & (clip.labels_now != 255)).numpy()
    truth, prediction = clip.labels_now.numpy()[counted], said.numpy()[counted]
    diagnosis = Diagnosis(domain)
    for k in range(2):
        diagnosis.see(Guess(clip.names[k : k + 1], said[k : k + 1], confidence[k : k + 1], nowhere(1)))
    numbers = diagnosis.numbers()
    by_class = jaccard_score(truth, prediction, labels=range(3), average=None)
    assert numbers["diagnosis/pl_miou"] == pytest.approx(by_class.mean())
    assert numbers["diagnosis/pl_accuracy"] == pytest.approx(accuracy_score(truth, prediction))
    assert numbers["diagnosis/pl_confidence"] == pytest.approx(confidence.numpy()[counted].mean(), rel=1e-5)
    assert numbers["diagnosis/pl_kept"] == pytest.approx(counted.sum() / (clip.labels_now != 255).sum().item())
    assert diagnosis.numbers() == {}  # asked once, forgotten


def test_the_bound_chooses_by_the_truth_between_the_frame_s_own_label_and_the_warped_one(tmp_path):
    domain = target(tmp_path)
    clip = collate([ClipDataset(domain, labels=True)[k] for k in (1, 2)])
    rng = np.random.default_rng(0)
    own = torch.from_numpy(rng.integers(0, 3, (2, 32, 48)))
    warped = torch.from_numpy(np.where(rng.random((2, 32, 48)) < 0.2, 255, rng.integers(0, 3, (2, 32, 48))))
    said = torch.where((own != warped) & (warped != 255), 255, own)  # agreement
    diagnosis = Diagnosis(domain)
    for k in range(2):
        part = slice(k, k + 1)
        guess = Guess(clip.names[part], said[part], torch.ones(1, 32, 48), nowhere(1), own[part], warped[part])
        diagnosis.see(guess)
    numbers = diagnosis.numbers()
    known = (clip.labels_now != 255).numpy()
    truth, own, warped, said = (labels.numpy()[known] for labels in (clip.labels_now, own, warped, said))
    best = np.where((own == truth) | (warped == truth), truth, own)

    def miou(labels):
        return jaccard_score(truth, labels, labels=range(3), average="macro")

    assert numbers["diagnosis/pl_miou_before"] == pytest.approx(miou(own))
    assert numbers["diagnosis/pl_bound"] == pytest.approx(miou(best))
    assert miou(own) + 0.1 < miou(best) < 0.9
    assert numbers["diagnosis/pl_kept"] == pytest.approx((said != 255).mean())
    assert numbers["diagnosis/pl_found"] == pytest.approx((said[own == truth] == truth[own == truth]).mean())


def test_a_filter_that_drops_everything_is_seen(tmp_path):
    diagnosis = Diagnosis(target(tmp_path))
    diagnosis.see(Guess(("train/a/1",), torch.full((1, 32, 48), 255), torch.zeros(1, 32, 48), nowhere(1)))
    assert diagnosis.numbers() == {"diagnosis/pl_kept": 0.0}


def test_labels_of_the_evaluation_split_are_never_read(tmp_path, monkeypatch):
    domain = target(tmp_path, ("train", "val"))
    pair = Pair(source="a", target="b", label_space="camvid11", size=(32, 48), adapt_on=("train", "val"))
    diagnosis = Diagnosis(_labelled_target(domain, pair))
    read = []
    monkeypatch.setattr(Domain, "label", lambda _, ref: read.append(ref) or np.zeros((32, 48), np.uint8))
    guess = Guess(("val/a/1", "val/a/4"), torch.zeros(2, 32, 48).long(), torch.ones(2, 32, 48), nowhere(2))
    diagnosis.see(guess)
    assert (read, diagnosis.numbers()) == ([], {})
    diagnosis.see(replace(guess, names=("val/a/1", "train/a/4")))
    assert read == ["video/4-label.png"]
    assert not math.isnan(diagnosis.numbers()["diagnosis/pl_miou"])


@pytest.mark.parametrize("value", ["1", "true", "ON", ""])
def test_only_on_and_off_are_said(monkeypatch, value):
    monkeypatch.setenv("CROSSFADE_DIAGNOSE", value)
    with pytest.raises(UserError, match=rf"CROSSFADE_DIAGNOSE is '{value}': set it to on or off"):
        adapt(Place(), read_params(SHIPPED), "street", "stcl", 0, Knobs())  # before anything is read
    for known in ("on", "off"):
        monkeypatch.setenv("CROSSFADE_DIAGNOSE", known)
        assert is_asked_for() == (known == "on")
    monkeypatch.delenv("CROSSFADE_DIAGNOSE")
    assert not is_asked_for()


def test_frames_without_labels_are_passed_over(tmp_path):
    domain = target(tmp_path)
    videos = tuple(replace(v, frames=tuple(replace(f, label=None) for f in v.frames)) for v in domain.manifest.videos)
    diagnosis = Diagnosis(replace(domain, manifest=replace(domain.manifest, videos=videos)))
    diagnosis.see(Guess(("train/a/1",), torch.zeros(1, 32, 48).long(), torch.ones(1, 32, 48), nowhere(1)))
    assert diagnosis.numbers() == {}
