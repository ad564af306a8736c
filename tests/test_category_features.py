from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from toy_video import COLOURS, reader, video_on_disk

from crossfade.category_features import category_features
from crossfade.data.loading import Domain
from crossfade.scoring import measure_gap


def test_a_vector_is_the_mean_embedding_of_a_class_in_a_frame(tmp_path):
    found = category_features(reader().eval(), video_on_disk(tmp_path), labels=True)
    assert found.vectors.shape == (24, 3)  # eight frames, three classes, RGB as the embedding
    assert found.classes.tolist() == [0, 1, 2] * 8
    assert found.vectors == pytest.approx(COLOURS[found.classes] / 255, abs=1e-4)
    assert found.groups[::3].tolist() == [0, 0, 1, 1, 2, 3, 3, 4]  # of one video, stretches of frames


def test_of_the_target_no_label_is_opened(tmp_path, monkeypatch):
    domain = video_on_disk(tmp_path)
    monkeypatch.setattr(Domain, "label", lambda *_: pytest.fail("a label was read"))
    found = category_features(reader(wrong=(0, 3, 2, 1)).eval(), domain, labels=False, frames=4)
    assert found.classes.tolist() == [0, 2, 3] * 4


def test_frames_without_labels_are_passed_over_where_labels_count(tmp_path):
    domain = video_on_disk(tmp_path)
    (video,) = domain.videos
    frames = tuple(replace(f, label=f.label if k == 5 else None) for k, f in enumerate(video.frames))
    domain = replace(domain, manifest=replace(domain.manifest, videos=(replace(video, frames=frames),)))
    assert len(category_features(reader().eval(), domain, labels=True).classes) == 3
    nothing = replace(video, frames=tuple(replace(f, label=None) for f in frames))
    domain = replace(domain, manifest=replace(domain.manifest, videos=(nothing,)))
    assert len(category_features(reader().eval(), domain, labels=True).classes) == 0


def test_a_class_of_few_pixels_has_no_vector(tmp_path):
    domain = video_on_disk(tmp_path)
    enough, few = (
        category_features(reader().eval(), replace(domain, size=size), labels=True) for size in ((8, 12), (2, 3))
    )
    assert 2 in enough.classes
    assert 2 not in few.classes


def test_the_gap_of_a_domain_to_itself_and_to_one_in_other_colours(tmp_path):
    domain = video_on_disk(tmp_path, frames=16, size=(32, 64))
    short = replace(domain.videos[0], frames=domain.videos[0].frames[:2])
    few = replace(domain, manifest=replace(domain.manifest, videos=(short,)))
    gap, arrays = measure_gap({"after": reader().eval()}, few, few, torch.device("cpu"))
    assert gap == {"after": None}  # two frames a side: nothing to test on
    videos = tuple(
        replace(domain.videos[0], name=str(k), frames=domain.videos[0].frames[k::5], split="val") for k in range(5)
    )
    both = replace(domain, manifest=replace(domain.manifest, videos=videos))
    gap, arrays = measure_gap({"after": reader().eval()}, both, both, torch.device("cpu"))
    assert gap["after"] < 0.7
    assert arrays["after_source_vectors"].dtype == np.float16
    assert arrays["after_target_classes"].tolist() == [0, 1, 2] * 16
    for path in (tmp_path / "video" / f"{k}.png" for k in range(16)):
        cv2.imwrite(str(path), cv2.imread(str(path)) // 8 * 7)  # a little darker, and still read rightly
    other = video_on_disk(tmp_path / "bright", frames=16, size=(32, 64))
    bright = replace(both, manifest=replace(both.manifest, root=other.manifest.root))
    gap, _ = measure_gap({"after": reader().eval()}, bright, both, torch.device("cpu"))
    assert gap["after"] == 2.0
