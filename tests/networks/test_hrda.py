"""HRDA: windows, attention, and what is supervised where."""

import pytest
import torch

from crossfade.errors import UserError
from crossfade.methods import build_method
from crossfade.networks import NetworkParameters, build_frame_network
from crossfade.networks.hrda import HRDA, _spread
from crossfade.temporal.base import NoMemory
from crossfade.temporal.video_network import VideoNetwork

INNER = {"kind": "deeplab", "pretrained": False, "channels": 16, "skip_channels": 8}


def hrda(**raw):
    torch.manual_seed(0)
    return HRDA(5, INNER, width=8, **raw)


def attending(network, value):
    with torch.no_grad():
        network.attention[-1].weight.zero_()
        network.attention[-1].bias.fill_(value)
    return network


def test_without_attention_it_is_the_context_and_with_all_of_it_the_detail():
    image = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        context = attending(hrda().eval(), -50.0)
        small = context.inner(torch.nn.functional.avg_pool2d(image, 2)).logits
        wide = torch.nn.functional.interpolate(small, (16, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(context(image).logits, wide)
        detail = attending(hrda(overlap=False).eval(), 50.0)
        parts = [detail.inner(image[:, :, y : y + 32, x : x + 64]).logits for y in (0, 32) for x in (0, 64)]
        sewn = torch.cat([torch.cat(parts[:2], 3), torch.cat(parts[2:], 3)], 2)
        output = detail(image)
    torch.testing.assert_close(output.logits, sewn, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.aux, sewn, rtol=1e-4, atol=1e-5)


def test_windows_cover_the_frame_and_overlap():
    network = hrda().eval()
    corners, size = network._windows(128, 192)
    assert size == (64, 96)
    assert len(corners) == 9
    laid, seen = _spread(torch.ones(9, 1, 16, 24), [(y // 4, x // 4) for y, x in corners], (32, 48))
    assert seen.all()
    torch.testing.assert_close(laid, torch.ones(1, 1, 32, 48))
    assert len(hrda(overlap=False).eval()._windows(128, 192)[0]) == 4


def test_in_training_one_random_window_is_looked_at():
    network = attending(hrda().train(), 50.0)
    corners = set()
    for seed in range(12):
        torch.manual_seed(seed)
        corner, size = network._windows(128, 192)
        assert len(corner) == 1
        corners |= set(corner)
        assert all(place % 16 == 0 for place in corner[0])
        assert corner[0][0] + size[0] <= 128
        assert corner[0][1] + size[1] <= 192
    assert len(corners) > 6
    image = torch.rand(2, 3, 128, 192)
    torch.manual_seed(1)
    ((y, x),), _ = network._windows(128, 192)
    torch.manual_seed(1)
    output = network(image)
    inside = torch.zeros(32, 48, dtype=torch.bool)
    inside[y // 4 : y // 4 + 16, x // 4 : x // 4 + 24] = True
    torch.testing.assert_close(output.logits, output.aux)  # all attention on the detail: fused = detail or context
    grad = torch.autograd.grad(output.logits[..., ~inside].sum(), network.attention[-1].bias, retain_graph=True)[0]
    assert not grad.any()
    network = hrda().train()
    output = network(image)
    output.logits.square().sum().backward()
    assert network.attention[-1].bias.grad.abs().sum() > 0


def test_published_encoder_gives_the_features_of_the_context():
    network = HRDA(5, INNER | {"pretrained": True}, width=8).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        known, own = network.published_encoder().eval()(image), network.encode(image)
    assert set(known) == set(network.channels)
    for stride, maps in known.items():
        torch.testing.assert_close(maps, own[stride])


def test_a_method_trains_it():
    torch.manual_seed(0)
    network = VideoNetwork(hrda(), NoMemory())
    method = build_method("mic", {}, network, ("road", "sky", "car", "tree", "pole"))
    from crossfade.data.clip import Clip

    labels = torch.randint(0, 5, (2, 1, 64, 96))
    source = Clip(torch.rand(2, 1, 3, 64, 96), labels, {}, ("a", "b"))
    output = method.step(0, 10, source, source.without_labels())
    torch.stack(list(output.terms.values())).sum().backward()
    assert {"source_aux", "feature_distance", "masked"} <= set(output.terms)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert network.frame.attention[0].weight.grad.abs().sum() > 0


def test_mistakes_are_sentences():
    with pytest.raises(UserError, match="cannot look through itself"):
        build_frame_network(NetworkParameters(kind="hrda", inner={"kind": "hrda", "inner": INNER}), 5)
    with pytest.raises(UserError, match="did you mean 'deeplab'"):
        build_frame_network(NetworkParameters(kind="hrda", inner={"kind": "deplab"}), 5)
    assert (
        NetworkParameters(kind="hrda", inner=INNER | {"pretrained": True}).untrained().arguments["pretrained"] is False
    )
