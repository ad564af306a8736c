"""Streaming equals unrolling; no memory means the frame's own logits; fusion keeps out what is not valid."""

import pytest
import torch

from crossfade.errors import UserError
from crossfade.motion.field import Motion
from crossfade.motion.splat import splat
from crossfade.motion.warp import warp
from crossfade.networks import NetworkParameters
from crossfade.temporal import TEMPORAL, ModelParameters, build_video_network
from crossfade.temporal.fusion import ScoreFusion
from crossfade.temporal.schedule import KeyFrames
from crossfade.temporal.video_network import VideoNetwork

SMALL = NetworkParameters(kind="deeplab", pretrained=False, channels=16, skip_channels=8)


SETTINGS: dict[str, dict] = {
    "tmanet": {"key_channels": 8, "value_channels": 8},
    "dtern": {"exemplars": 5, "channels": 8, "kernels": [5, 3]},
    "davss": {"width": 0.1, "interval": 5, "reach": 3},
}
"""Arguments that make a temporal module small enough for these tests, by kind."""


def network_of(kind):
    torch.manual_seed(1)
    temporal = {"kind": kind, **SETTINGS.get(kind, {})}
    network = build_video_network(ModelParameters(network=SMALL, temporal=temporal), 4).eval()
    if network.temporal.starts_as_identity:  # or nothing below would see its memory
        for parameter in network.temporal.parameters():
            torch.nn.init.normal_(parameter)
    return network


def clip(frames=4, size=(64, 96)):
    torch.manual_seed(2)
    motion = {(t, t - 1): Motion(torch.randn(1, 2, *size) * 4, torch.rand(1, 1, *size) > 0.2) for t in range(1, frames)}
    return torch.rand(1, frames, 3, *size), motion


@pytest.mark.parametrize("kind", TEMPORAL)
def test_streaming_equals_unrolling(kind):
    network = network_of(kind)
    frames, motion = clip(network.past + 3)
    stream = network.stream()
    with torch.no_grad():
        for t in range(frames.shape[1]):
            stored = sorted(stream.slots)
            streamed = stream.step(frames[:, t], motion.get((t, t - 1)))
            read = network.temporal.schedule.reads(t, stored, lambda _: 0.0)
            unrolled = network.unroll(frames[:, : t + 1], motion, offsets=[k - t for k in read]).logits
            torch.testing.assert_close(streamed, unrolled, rtol=1e-5, atol=1e-5)
            if t <= network.past or network.temporal.light is None:  # what training does by itself
                torch.testing.assert_close(streamed, network.unroll(frames[:, : t + 1], motion).logits)


@pytest.mark.parametrize("kind", [kind for kind in TEMPORAL if kind != "none"])
def test_what_came_before_is_looked_at(kind):
    network = network_of(kind)
    frames, motion = clip(network.past + 1)
    other = frames.clone()
    other[:, :-1] = torch.rand_like(other[:, :-1])
    with torch.no_grad():
        assert not torch.allclose(network.unroll(frames, motion).logits, network.unroll(other, motion).logits)


@pytest.mark.parametrize("kind", [kind for kind, module in TEMPORAL.items() if module.starts_as_identity])
def test_identity_modules_give_the_frames_own_logits(kind):
    network = build_video_network(ModelParameters(network=SMALL, temporal=kind), 4).eval()
    frames, motion = clip()
    with torch.no_grad():
        output = network.frame(frames[:, 0])
        assert torch.equal(network_of(kind).temporal.read(output, []).logits, output.logits)
        alone, unrolled = network.unroll(frames[:, :1], motion), network.unroll(frames, motion)
    torch.testing.assert_close(alone.logits, alone.now.logits)
    torch.testing.assert_close(unrolled.logits, unrolled.now.logits)


def test_where_motion_is_not_valid_the_neighbour_has_no_say():
    network = network_of("fusion")
    frames, motion = clip(2)
    other = frames.clone()
    other[:, 0] = torch.rand_like(other[:, 0])
    invalid = {(1, 0): Motion(motion[1, 0].flow, torch.zeros_like(motion[1, 0].valid))}
    with torch.no_grad():
        assert torch.equal(network.unroll(frames, invalid).logits, network.unroll(other, invalid).logits)
        assert not torch.equal(network.unroll(frames, motion).logits, network.unroll(other, motion).logits)


def fused(**arguments):
    """Score fusion that says what the frame before said, and what two frames and some motion give."""
    network = network_of("fusion").frame
    fusion = ScoreFusion(network, 4, **arguments)
    fusion.sf_layer.weight.data = torch.cat([torch.zeros(4, 4), torch.eye(4)], 1)[..., None, None]
    return VideoNetwork(network, fusion).eval()


@pytest.mark.parametrize("propagate", ["warp", "splat"])
@pytest.mark.parametrize("validity", [True, False])
def test_how_and_where_the_neighbour_comes_here(validity, propagate):
    """Motion on the logits' grid; published: no validity, and holes are 0."""
    network = fused(validity=validity, propagate=propagate)
    torch.manual_seed(3)
    frames, flow, valid = torch.rand(2, 2, 3, 64, 96), torch.randn(2, 2, 16, 24) * 3, torch.rand(2, 1, 16, 24) > 0.5
    with torch.no_grad():
        output = network.unroll(frames, {(1, 0): Motion(flow, valid)})
        before, now = output.past[-1].logits, output.now.logits
        brought, reached = splat(before, flow) if propagate == "splat" else warp(before, flow)
    assert not reached.all()
    known = valid & reached if validity else torch.ones_like(valid)
    torch.testing.assert_close(output.logits, torch.where(known, brought, now))
    assert validity or bool((output.logits == 0).all(1).any()) == (propagate == "splat")


@pytest.mark.parametrize("validity", [True, False])
def test_motion_that_is_valid_nowhere_is_unknown(validity):
    """Clips of a batch whose frame before is missing have such motion."""
    network = fused(validity=validity)
    frames, valid = torch.rand(2, 2, 3, 64, 96), torch.ones(2, 1, 64, 96, dtype=torch.bool)
    valid[1] = False
    with torch.no_grad():
        output = network.unroll(frames, {(1, 0): Motion(torch.zeros(2, 2, 64, 96), valid)})
        unknown = network.unroll(frames, {})
    torch.testing.assert_close(output.logits[0], output.past[-1].logits[0])
    torch.testing.assert_close(output.logits[1], output.now.logits[1])
    torch.testing.assert_close(unknown.logits, unknown.now.logits)


def test_a_way_to_come_here_that_there_is_not():
    temporal = {"kind": "fusion", "propagate": "splatt"}
    with pytest.raises(UserError, match="propagate: Input should be 'warp' or 'splat'"):
        build_video_network(ModelParameters(network=SMALL, temporal=temporal), 4)


@pytest.mark.parametrize("kind", ["fusion", "tmanet", "dtern"])
def test_gradients_reach_past_frames_where_the_module_learns_through_them(kind):
    network = network_of(kind).train()
    frames, motion = clip(network.past + 1)
    frames.requires_grad_()
    for asked, reached in (({}, kind != "fusion"), ({"no_grad_past": True}, False), ({"no_grad_past": False}, True)):
        frames.grad = None
        network.unroll(frames, motion, **asked).logits.square().sum().backward()
        assert bool(frames.grad[:, 0].abs().sum() > 0) == reached


def test_key_frames_alone_are_the_per_frame_network():
    network = network_of("davss")
    network.temporal.schedule = KeyFrames(1)
    frames, motion = clip(2)
    assert network.past == 0
    with torch.no_grad():
        assert torch.equal(network.unroll(frames, motion).logits, network.frame(frames[:, -1]).logits)
