"""DAVSS's stages: each trains its own networks, none touches the one that sees key frames, and they help."""

import copy

import pytest
import torch
from toy_network import CLASSES, TOY, ToyFrame, toy_clip

from crossfade.data.augment import NO_GEOMETRIC
from crossfade.data.clip import Clip
from crossfade.errors import UserError
from crossfade.methods import build_method
from crossfade.motion.field import Motion
from crossfade.temporal.davss import DAVSS
from crossfade.temporal.video_network import VideoNetwork


def build(raw=None, **arguments):
    torch.manual_seed(0)
    frame = ToyFrame()
    network = VideoNetwork(frame, DAVSS(frame, 5, **TOY["davss"] | arguments))
    return build_method("davss", raw or {}, network, CLASSES)


def clips(method, seed):
    return [toy_clip(n, seed=seed) if n else None for n in (method.source_needs, method.target_needs)]


def train(method, steps, data=None, lr=1e-3):
    optimizer, values = torch.optim.Adam(method.network.parameters(), lr=lr), []
    for step in range(steps):
        torch.manual_seed(step)
        output = method.step(step, steps, *(data or clips(method, step)))
        optimizer.zero_grad()
        torch.stack(list(output.terms.values())).sum().backward()
        optimizer.step()
        values.append({name: float(value.detach()) for name, value in output.terms.items()})
    return values


def changed(before, after):
    return {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        ("motion", {"motion"}),
        ("distortion", {"distortion"}),
        ("correction", {"motion", "correction"}),
        ("both", {"motion", "correction", "distortion"}),
        ("all", {"motion", "correction", "distortion"}),
    ],
)
def test_each_stage_trains_its_own_networks(stage, trained):
    """Weights and batch-norm statistics of all others, those of the per-frame network too, stay bit-identical."""
    method = build({"stage": stage})
    before = copy.deepcopy(method.network.state_dict())
    train(method, 8)
    after = method.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("frame."))
    assert changed(before, after) == trained


@pytest.mark.parametrize("interval", [1, 5])
def test_supervised_leaves_the_network_of_key_frames_as_it_is(interval):
    """Weights and statistics alike, unless every frame is a key frame."""
    method = build_method("supervised", {}, build(interval=interval).network, CLASSES)
    before = copy.deepcopy(method.network.state_dict())
    train(method, 2)
    assert method.network.temporal.correction.training
    after = method.network.state_dict()
    still = [key for key in before if key.startswith("frame.") or ".motion." in key]
    assert all(torch.equal(before[key], after[key]) for key in still) == (interval == 5)
    assert changed(before, after) >= ({"correction", "distortion"} if interval == 5 else {"classifier"})


def test_stages_in_turn():
    method = build({"stage": "all", "motion_share": 0.5, "distortion_share": 0.25})
    assert [method.stage_at(k, 8) for k in (0, 3, 4, 5, 6, 7)] == [
        *["motion"] * 2,
        *["distortion"] * 2,
        *["correction"] * 2,
    ]
    method = build({"stage": "both", "distortion_share": 0.25})
    assert [method.stage_at(k, 8) for k in (0, 1, 2, 7)] == ["distortion", "distortion", "correction", "correction"]
    clipped = build({"stage": "all"}, motion="clip")
    assert clipped.stage_at(0, 10) == "distortion"


def test_labels_serve_on_the_source_alone():
    assert build().source_needs is None
    assert not build().target_needs.labels
    assert not build({"domain": "source", "stage": "distortion"}).source_needs.labels
    method = build({"domain": "source", "stage": "correction", "geometric": {"flip": 0.0, "scale": [1.0, 1.0]}})
    assert method.target_needs is None
    source = toy_clip(method.source_needs)
    other = Clip(source.frames, (source.labels + 1) % 5, source.motion, source.names)
    terms = []
    for clip in (source, other):
        torch.manual_seed(0)
        terms.append(method.step(0, 1, clip, None).terms["semantic"])
    assert not torch.equal(*terms)


def test_correction_moves_the_motion_through_the_distortion():
    """The distortion network is fixed, but not detached, as published."""
    method = build({"stage": "correction"})
    torch.manual_seed(1)
    for parameter in method.temporal.distortion.parameters():
        torch.nn.init.normal_(parameter)
    method.step(0, 1, *clips(method, 0)).terms["correction"].backward()
    assert method.temporal.motion.predict_flow2.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in method.temporal.distortion.parameters())


def test_the_light_network_may_learn_from_every_pixel():
    gradients = []
    for weight in (0.0, 2.0):
        method = build({"stage": "correction", "light_weight": weight})
        torch.manual_seed(0)
        terms = method.step(0, 1, *clips(method, 0)).terms
        assert ("light" in terms) == (weight > 0)
        sum(terms.values()).backward()
        gradients.append(method.temporal.correction.predict_cc.bias.grad.abs().sum())
    assert gradients[1] > gradients[0]


def panning(method, shift=4, size=(64, 96), seed=0):
    """A textured plane that moves to the left: now(x) = past(x + shift)."""
    needs = method.target_needs
    torch.manual_seed(seed)
    wide = torch.rand(4, 3, size[0] // 8, size[1] // 8 + 8)
    wide = torch.nn.functional.interpolate(wide, scale_factor=8, mode="bilinear")
    frames = torch.stack([wide[..., shift * t : shift * t + size[1]] for t in range(len(needs.offsets))], 1)
    flow = torch.zeros(4, 2, *size)
    flow[:, 0] = -shift
    motion = {pair: Motion(flow, torch.ones(4, 1, *size, dtype=torch.bool)) for pair in needs.motion}
    return None, Clip(frames, None, motion, ("a", "b", "c", "d"))


def test_the_motion_network_learns_motion():
    method = build({"stage": "motion", "geometric": NO_GEOMETRIC.model_dump()})
    values = [v["motion"] for v in train(method, 30, panning(method), lr=2e-3)]
    assert values[0] > 3
    assert values[-1] < values[0] / 2


def test_the_corrected_frame_comes_closer_to_the_heavy_network():
    method = build({"stage": "both", "geometric": NO_GEOMETRIC.model_dump(), "distortion_share": 0.3})
    values = train(method, 50, panning(method), lr=5e-3)
    semantic = [v["semantic"] for v in values if "semantic" in v]
    distortion = [v["distortion"] for v in values if "distortion" in v]
    assert distortion[-1] < distortion[0]
    assert sum(semantic[-5:]) < 0.8 * sum(semantic[:5])


def test_nothing_to_learn_motion_with():
    with pytest.raises(UserError, match="choose stage both"):
        build({"stage": "motion"}, motion="clip")
    train(build(motion="clip"), 3)


def test_no_more_motion_is_read_than_is_looked_at():
    assert build({"stage": "all"}).target_needs.motion == ((4, 3),)  # the newest step, for its own motion network
    assert build({"stage": "both"}).target_needs.motion == ()
    assert build({"stage": "both"}, motion="clip").target_needs.motion == ((1, 0), (2, 1), (3, 2), (4, 3))


def test_the_frame_between_lies_between_the_key_frame_and_now(monkeypatch):
    method, looked_at = build({"stage": "distortion", "distance": 4}), set()
    clip = next(clip for clip in clips(method, 0) if clip is not None)
    clip.frames[:] = torch.arange(clip.length)[None, :, None, None, None]

    def look(network, frames):
        looked_at.add(tuple(int(images.mean()) for images in frames))
        raise StopIteration

    monkeypatch.setattr("crossfade.methods.davss.run_frames", look)
    for _ in range(80):
        with pytest.raises(StopIteration):
            method._propagation_terms(clip, "distortion", draw=False)
    pairs = {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}
    assert looked_at == {(key, between, 4) for key, between in pairs}
