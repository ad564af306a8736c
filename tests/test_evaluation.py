import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score
from toy_video import COLOURS, reader, scene, video_on_disk

from crossfade.data.loading import frames_in_order
from crossfade.data.video import open_frames
from crossfade.evaluation import Options, evaluate
from crossfade.metrics.accuracy import ConfusionMatrix
from crossfade.metrics.video_consistency import VideoConsistency
from crossfade.propagation import propagation_curve

LAST = {"which": "last", "rule": "no selection"}


def test_a_perfect_reader_scores_one(tmp_path):
    metrics = evaluate(reader(), video_on_disk(tmp_path), checkpoint=LAST).metrics
    assert metrics["miou"] == 1.0
    assert metrics["pixel_accuracy"] == 1.0
    assert metrics["iou"] == {"Red": 1.0, "Green": 1.0, "Blue": 1.0, "Never": None}
    assert metrics["frames"] == 8
    assert metrics["checkpoint"] == LAST
    consistency = metrics["temporal_consistency"]
    assert (consistency["value"], consistency["agreement"], consistency["motion"]) == (1.0, 1.0, "exact")
    came_into_view = sum(((scene(k - 1) == 2) & (scene(k) != 2)).sum() for k in range(1, 8))
    assert consistency["pixels"] == 7 * 32 * 48 - came_into_view
    json.dumps(metrics, allow_nan=False)


def test_what_is_wrong_is_counted_as_scikit_learn_counts(tmp_path):
    network = reader(wrong=(0, 2, 1, 3))  # takes green for blue and blue for green
    metrics = evaluate(network, video_on_disk(tmp_path), checkpoint=LAST).metrics
    truth = np.concatenate([scene(k)[1:].ravel() for k in range(8)])
    said = np.array([0, 2, 1, 3])[truth]
    assert metrics["miou"] == pytest.approx(jaccard_score(truth, said, average="macro"), abs=1e-6)
    assert metrics["pixel_accuracy"] == pytest.approx((truth == said).mean(), abs=1e-6)
    assert metrics["temporal_consistency"]["value"] == 1.0  # wrong, but steadily so


def test_published_readings_are_told_beside_ours(tmp_path):
    network = reader(wrong=(0, 1, 3, 2))  # a fourth class for blue, of which the truth has none
    metrics = evaluate(network, video_on_disk(tmp_path), checkpoint=LAST).metrics
    assert metrics["miou"] == pytest.approx(2 / 3)
    assert metrics["miou_over"] == {"either": pytest.approx(1 / 2), "all": pytest.approx(1 / 2)}
    steady = metrics["temporal_consistency"]
    assert steady["value"] == 1.0
    assert 0.8 < steady["vspw"] < 1.0  # what the block hides and the border count
    assert 0.5 < steady["etc"] <= 0.75  # as a mean over four classes of which three are shown


def test_video_consistency_needs_labels_in_a_row(tmp_path):
    domain = video_on_disk(tmp_path / "dense")
    metrics = evaluate(reader(), domain, checkpoint=LAST).metrics["video_consistency"]
    assert (metrics["vc8"], metrics["vec8"], metrics["windows8"]) == (1.0, 1.0, 1)
    assert (metrics["vc16"], metrics["vec16"], metrics["vec16_matrix"], metrics["windows16"]) == (None, None, None, 0)
    assert metrics["vec8_matrix"] == 1.0
    (video,) = domain.videos
    slow = tuple(replace(frame, time=float(k)) for k, frame in enumerate(video.frames))  # one frame a second
    gaps = tuple(replace(frame, label=None if k == 3 else frame.label) for k, frame in enumerate(video.frames))
    for frames in (slow, gaps):
        sparse = replace(domain, manifest=replace(domain.manifest, videos=(replace(video, frames=frames),)))
        found = evaluate(reader(), sparse, checkpoint=LAST).metrics["video_consistency"]
        assert (found["vc8"], found["vec8"], found["windows8"]) == (None, None, 0)


def test_the_two_readings_of_vec_are_both_kept(tmp_path):
    network = reader(wrong=(1, 0, 2, 3))  # red and green, each taken for the other
    found = evaluate(network, video_on_disk(tmp_path, frames=9), checkpoint=LAST).metrics["video_consistency"]
    metric = VideoConsistency(4)
    for k in range(9):
        truth = torch.from_numpy(scene(k).astype(np.int64))
        truth[0] = 255
        metric.update(torch.tensor([1, 0, 2, 3, *[0] * 252])[truth], truth)
    metric.end_video()
    assert found["vec8"] == pytest.approx(metric.vec(8), abs=1e-6)
    assert found["vec8_matrix"] == pytest.approx(metric.vec(8, "matrix"), abs=1e-6)


def test_without_motion_consistency_is_unknown_not_zero(tmp_path):
    metrics = evaluate(reader(), video_on_disk(tmp_path, motion=False), checkpoint=LAST).metrics
    unknown = {"value": None, "agreement": None, "vspw": None, "etc": None, "motion": None, "pixels": 0}
    assert metrics["temporal_consistency"] == unknown


def test_labels_are_scored_at_their_own_size(tmp_path):
    domain = video_on_disk(tmp_path)
    half = type(domain)(domain.manifest, domain.motion, domain.label_space, (8, 12), domain.splits)
    evaluation = evaluate(reader(), half, checkpoint=LAST)
    metrics = evaluation.metrics
    assert evaluation.confusion.sum() == 8 * 31 * 48
    assert 0.8 < metrics["pixel_accuracy"] < 1.0
    assert metrics["temporal_consistency"]["pixels"] <= 7 * 8 * 12


@pytest.mark.parametrize("aligned", [True, False])
def test_logits_are_enlarged_as_the_network_says(tmp_path, aligned):
    domain = replace(video_on_disk(tmp_path), size=(8, 12))
    network = reader(wrong=(0, 2, 1, 3)).eval()  # or too little would depend on it
    network.frame.align_corners = aligned
    (video,) = domain.videos
    matrix = ConfusionMatrix(4)
    for seen in frames_in_order(domain, video):
        logits = network.frame(seen.frame).logits
        said = F.interpolate(logits, (32, 48), mode="bilinear", align_corners=aligned).argmax(1)
        matrix.update(said, seen.label.view_as(said))
    assert np.array_equal(evaluate(network, domain, checkpoint=LAST).confusion, matrix.counts.numpy())
    assert propagation_curve(network, domain, (0,)).compute() == {0: matrix.miou("either")}


def test_a_network_with_memory_is_streamed(tmp_path):
    domain = video_on_disk(tmp_path)
    network = reader(fusion=True)
    weight = network.temporal.sf_layer.weight.data
    weight[:, :4], weight[:, 4:] = 0.0, weight[:, :4].clone()  # says what the frame before said, warped
    metrics = evaluate(network, domain, checkpoint=LAST).metrics
    assert metrics["miou"] == 1.0
    still = video_on_disk(tmp_path / "still", motion=False)
    assert evaluate(network, still, checkpoint=LAST).metrics["miou"] == 1.0  # unknown motion: its own logits


def test_a_split_without_labels_is_measured_by_what_needs_none(tmp_path):
    metrics = evaluate(reader(), video_on_disk(tmp_path, labelled=False), checkpoint=LAST).metrics
    assert metrics["miou"] is None
    assert metrics["pixel_accuracy"] is None
    assert metrics["frames"] == 0
    assert metrics["temporal_consistency"]["value"] == 1.0
    labelled = evaluate(reader(), video_on_disk(tmp_path / "labelled"), checkpoint=LAST).metrics
    assert metrics["label_free"] == labelled["label_free"]
    assert 0 < metrics["label_free"]["entropy"] < 1


def test_pictures_show_both_networks(tmp_path):
    options = Options(recipe="stcl", strips=2, clip_frames=5)
    domain = video_on_disk(tmp_path / "data")
    evaluation = evaluate(reader(), domain, checkpoint=LAST, reference=reader(wrong=(1, 0, 2, 3)), options=options)
    assert [strip.name for strip in evaluation.strips] == ["val/a/2", "val/a/6"]
    panels = evaluation.strips[0].panels
    assert list(panels) == ["frame", "truth", "source_only", "stcl"]
    assert panels["stcl"][40, 40].tolist() == COLOURS[0].tolist()
    assert panels["source_only"][40, 40].tolist() == COLOURS[1].tolist()
    assert len(evaluation.clip) == 5
    evaluation.save(tmp_path / "out")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    for entry in index["strips"]:
        for file in [entry["strip"], *entry["panels"].values()]:
            assert cv2.imread(str(tmp_path / "out" / file)) is not None
    video = open_frames(tmp_path / "out" / index["video"])
    assert len(list(video)) == 5
    assert video.size[1] > 4 * 200


def test_the_tables_on_disk_say_the_same(tmp_path):
    evaluation = evaluate(reader(wrong=(0, 2, 1, 3)), video_on_disk(tmp_path / "data"), checkpoint=LAST)
    evaluation.save(tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "classes.csv").open()))
    assert [row["class"] for row in rows] == ["Red", "Green", "Blue", "Never"]
    assert rows[3]["iou"] == ""
    assert float(rows[0]["iou"]) == 1.0
    assert sum(float(row["true_share"]) for row in rows) == pytest.approx(1.0)
    table = list(csv.reader((tmp_path / "out" / "confusion.csv").open()))
    assert np.array_equal(np.array(table)[1:, 1:].astype(int), evaluation.confusion)
    assert table[0][1:] == [row[0] for row in table[1:]] == ["Red", "Green", "Blue", "Never"]
    assert evaluation.confusion[1, 2] > 0


def test_a_prediction_that_flickers_is_less_consistent(tmp_path):
    domain = video_on_disk(tmp_path)
    for k in (2, 5):
        path = tmp_path / "video" / f"{k}.png"
        image = cv2.imread(str(path))
        image[20:] = COLOURS[0][::-1]
        cv2.imwrite(str(path), image)
    consistency = evaluate(reader(), domain, checkpoint=LAST).metrics["temporal_consistency"]
    assert consistency["value"] < 0.9
    assert consistency["agreement"] < 0.9
