"""DAVSS against the published networks' numbers, and what its key frames, its state and its motion are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_rule import key_list, normal, synthetic, uniform, worst

from crossfade.importing import IMPORTERS
from crossfade.importing.convert import converted
from crossfade.inference import predict_frame
from crossfade.motion.field import Motion
from crossfade.networks import NetworkParameters
from crossfade.networks.base import upsample
from crossfade.objectives.propagation import correction_loss, semantic_loss
from crossfade.temporal import ModelParameters, build_video_network

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def published():
    return converted(IMPORTERS["davss"], synthetic(key_list("davss")), "synthetic").network


@pytest.fixture(scope="module")
def images():
    return [uniform(seed, 1, 3, 128, 256) for seed in (1, 2, 3)]


def test_published_numbers(published, images):
    """Every network, the propagation and both losses, as the published modules give them."""
    temporal, losses = published.temporal, []
    with torch.no_grad():
        key = published.frame(images[0])
        found = {"keyframe_logits": key.logits, "flow": temporal.motion(images[1], images[0])}
        slot, seen = temporal.encode(key), [published.frame(image).logits for image in images]
        labels = torch.from_numpy(np.random.RandomState(4).randint(0, 19, (1, 128, 256)))
        labels[:, :7] = 255
        for k in (1, 2):
            slot = temporal.advance(slot, images[k], None)
            reading = temporal.read(published.light(images[k]), [slot])
            maps = {name: temporal.resized(value, (128, 256)) for name, value in reading.maps.items()}
            truth = labels if k == 2 else temporal.resized(seen[k], (128, 256)).argmax(1)
            semantic = semantic_loss(maps["propagated"], reading.logits, truth)
            losses.append((semantic, correction_loss(maps["correction"], maps["distortion"], truth)))
            if k == 1:
                found |= {"warped_logits": slot["logits"], "warped_img": slot["small"]}
                found |= {name: reading.maps[name] for name in ("distortion", "correction")}
    found["loss_semantic"], found["loss_cf"] = torch.tensor(losses).mean(0).split(1)
    gaps = {name: worst("davss", name, value) for name, value in found.items()}
    assert len(gaps) == 8
    assert max(gaps.values()) < TOLERANCE, gaps


def test_published_sizes(published):
    temporal = published.temporal
    parts = (published.frame, temporal.motion, temporal.light, temporal.distortion)
    sizes = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert sizes == [41_054_899, 5_462_306, 9_487_699, 764]


def small(size=(64, 96), frames=5, **arguments):
    torch.manual_seed(0)
    network = NetworkParameters(kind="deeplab", pretrained=False, channels=16, skip_channels=8)
    temporal = {"kind": "davss", "width": 0.1, **arguments}
    built = build_video_network(ModelParameters(network=network, temporal=temporal), 4).eval()
    return built, torch.rand(1, frames, 3, *size)


@pytest.mark.parametrize("kind", ["deeplab", "deeplab_v2", "psp", "correction"])
def test_any_network_may_see_the_key_frames(kind):
    """Logits at stride 8, or at odd sizes, are brought to the grid they are propagated on."""
    arguments = {} if kind in ("deeplab_v2", "correction") else {"pretrained": False}
    network = NetworkParameters(kind=kind, **arguments)
    temporal = {"kind": "davss", "width": 0.1, "interval": 2}
    built = build_video_network(ModelParameters(network=network, temporal=temporal), 4).eval()
    stream = built.stream()
    with torch.no_grad():
        logits = [stream.step(torch.rand(1, 3, 65, 97), None) for _ in range(2)]
    assert logits[0].shape[-1] < 97
    assert logits[1].shape == (1, 4, 65, 97)
    assert stream.slots[0]["logits"].shape == (1, 4, 17, 25)


def test_the_heavy_network_runs_on_key_frames_alone_and_nothing_else_does_there():
    network, frames = small(interval=3)
    calls = []
    network.frame.register_forward_hook(lambda *_: calls.append("heavy"))
    network.light.register_forward_hook(lambda *_: calls.append("light"))
    network.temporal.motion.register_forward_hook(lambda *_: calls.append("motion"))
    stream = network.stream()
    with torch.no_grad():
        for t in range(5):
            stream.step(frames[:, t], None)
    assert sorted(calls) == ["heavy"] * 2 + ["light"] * 3 + ["motion"] * 3
    assert [name for name in calls if name != "motion"] == ["heavy", "light", "light", "heavy", "light"]


def test_what_was_corrected_is_never_fed_back():
    network, frames = small()
    streams = [network.stream() for _ in range(2)]
    with torch.no_grad():
        for t in range(3):
            streams[0].step(frames[:, t], None)
        for module in network.light.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(-3)
        for t in range(3):
            streams[1].step(frames[:, t], None)
    assert torch.equal(streams[0].slots[0]["logits"], streams[1].slots[0]["logits"])


def test_doubt_makes_key_frames():
    still, _ = small(threshold=0.5)
    jumpy, frames = small(threshold=0.0)
    for network in (still, jumpy):
        torch.manual_seed(1)
        for parameter in network.temporal.distortion.parameters():
            torch.nn.init.normal_(parameter)  # by default so small that all images look alike
    stream, restless = still.stream(), jumpy.stream()
    with torch.no_grad():
        for t in range(4):
            stream.step(frames[:, t], None)
            restless.step(frames[:, t], None)
    assert (list(stream.slots), list(restless.slots)) == ([0], [3])


def test_motion_of_the_clip_in_place_of_a_network():
    """Eight pixels to the left are two on the grid of the slot; unknown motion moves nothing."""
    network, frames = small(motion="clip")
    temporal = network.temporal
    assert network.uses_motion
    assert temporal.motion is None
    assert not small()[0].uses_motion
    flow = torch.tensor([8.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 64, 96)
    motion = Motion(flow, torch.ones(1, 1, 64, 96, dtype=torch.bool))
    with torch.no_grad():
        slot = temporal.encode(network.frame(frames[:, 0]))
        moved, still = (temporal.advance(slot, frames[:, 1], m) for m in (motion, None))
    for name in ("logits", "small"):
        torch.testing.assert_close(moved[name][..., :-2], slot[name][..., 2:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(still[name], slot[name], rtol=1e-4, atol=1e-5)
    assert torch.equal(moved["image"], frames[:, 1])


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("heavy", [True, False])
def test_a_still_scene_stays_as_the_heavy_network_saw_it(aligned, heavy):
    """From one frame to the next nothing moves, whatever the heavy network does by itself and the frames' own size."""
    network, frames = small(motion="clip", align_corners=aligned)
    network.frame.align_corners = heavy
    assert network.align_corners == aligned
    stream, still = network.stream(), Motion(torch.zeros(1, 2, 64, 96), torch.ones(1, 1, 64, 96) > 0)
    with torch.no_grad():
        key, again = stream.step(frames[:, 0], None), stream.step(frames[:, 0], still)
    assert key.shape[-2:] == (16, 24)
    torch.testing.assert_close(again, upsample(key, (64, 96), network.align_corners), rtol=1e-4, atol=1e-5)
    # What an evaluation asks for, of classes that change with every few pixels.
    network.frame.register_forward_hook(lambda *a: replace(a[2], logits=4 * normal(5, 1, 4, 16, 24)))
    stream = network.stream()
    for size in ((64, 96), (128, 192), (90, 130)):
        key, again = (predict_frame(stream, frames[:, 0], motion, size, "cpu") for motion in (None, still))
        assert (key == again).float().mean() > (0.999 if size == (64, 96) else 0.98)
        stream = network.stream()
