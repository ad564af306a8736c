"""What STCL's parts are given: whose frames change their colours, whose labels are believed."""

import numpy as np
import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.data.augment import NO_GEOMETRIC, NO_PHOTOMETRIC
from crossfade.methods import build_method
from crossfade.methods.parts.unroll import fuse, run
from crossfade.motion.field import Motion

PLAIN = {
    "source_geometric": NO_GEOMETRIC.model_dump(),
    "target_geometric": NO_GEOMETRIC.model_dump(),
    "source_photometric": NO_PHOTOMETRIC.model_dump(),
    "colour_transfer": "off",
    "alignment": {"kind": "off"},
}


def stcl(**raw):
    torch.manual_seed(0)
    return build_method("stcl", PLAIN | raw, toy_video(), CLASSES)


@pytest.mark.parametrize(
    ("form", "blackened", "patches_keep_their_colours"),
    [({}, "mix", False), ({"augment": "base"}, "base", True), ({"strong_aug": "legacy_wrap"}, "base", True)],
    ids=["mix", "base", "legacy_wrap"],
)
def test_strong_colour_changes_are_of_the_mix_or_as_published_of_the_target_beneath_it(
    form, blackened, patches_keep_their_colours, monkeypatch
):
    shown = {}

    def look(pictures, classes):
        shown.update(pictures)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr("crossfade.methods.stcl.mixed_figure", look)
    method = stcl(mixing={"directions": ["S->T"], "long_tail": 0}, **form)
    if blackened == "base":
        method.strong = torch.zeros_like
    else:
        monkeypatch.setattr("crossfade.methods.stcl.photometric_frames", lambda frames, _: torch.zeros_like(frames))
    source, target = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    method.step(0, 10, source, target, draw=True)
    frames, _ = shown["target_fused"]
    black = (frames == 0).all(2)
    patch = (frames == source.frames.roll(1, 0)).all(2)
    assert (black | patch).all()
    assert bool(patch.any()) == patches_keep_their_colours
    assert black.any()


def test_a_true_label_vetoes_a_prediction_in_the_centroids_and_a_pseudo_label_does_not():
    method = stcl(alignment={"kind": "mmd", "min_pixels": 1})
    source, target = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    of_source = run(method.network, source.frames, source.motion)
    of_target = run(method.network, target.frames, target.motion)
    never = next(k for k in range(len(CLASSES)) if k not in torch.cat([of_source.logits, of_target.logits]).argmax(1))
    source.labels[:] = never
    believed = method._source_view(of_source, source)
    _, present = method.aligner._centroids(method.network, believed)
    assert not present.any()
    labels = torch.full_like(target.frames[:, -1, 0], never).long()
    guessed = method.target_view(of_target, labels, None, target, target.frames)
    _, present = method.aligner._centroids(method.network, guessed)
    assert present.any()
    assert not present[never]


def test_under_a_still_patch_the_neighbour_is_the_frame_itself_by_the_published_sum():
    network = toy_video().eval()
    torch.nn.init.normal_(network.temporal.sf_layer.weight)
    clip = toy_clip(build_method("stcl", {}, network, CLASSES).source_needs)
    now, past = network.frame(clip.frames[:, 1]), network.frame(clip.frames[:, 0])
    valid = torch.ones(2, 1, 24, 32, dtype=torch.bool)
    valid[..., 16:, :] = False
    motion = Motion(torch.zeros(2, 2, 24, 32), valid)
    still = torch.zeros(2, 1, 24, 32)
    still[..., 8:12, :], still[..., 12:16, :], still[..., 16:20, :] = 1.0, 2.0, 0.5
    fused = fuse(network, now, past, motion, still)
    w, z = past.logits, now.logits
    for rows, neighbour in (
        (slice(0, 2), w),
        (slice(2, 3), z),
        (slice(3, 4), 2 * z - w),
        (slice(4, 5), (w + z) / 2),
        (slice(5, 6), z),
    ):
        expected = network.temporal.sf_layer(torch.cat([z, neighbour], 1))
        torch.testing.assert_close(fused[..., rows, :], expected[..., rows, :], atol=1e-5, rtol=1e-4)
