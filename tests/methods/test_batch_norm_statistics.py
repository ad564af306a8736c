"""Batch-norm statistics: estimated, followed, copied."""

import pytest
import torch
from torch import nn
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.errors import UserError
from crossfade.methods import build_method
from crossfade.methods.base import ClipNeeds
from crossfade.methods.parts.batch_norm import following_statistics, reestimate_statistics, statistics_of, train_mode
from crossfade.networks import NetworkParameters, build_frame_network


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def test_reestimation_is_the_mean_over_batches_and_leaves_weights_modes_and_momentum():
    net = network().eval()
    before = [p.clone() for p in net.parameters()]
    batches = [torch.randn(4, 3, 5, 6) * 2 + 1 for _ in range(3)]
    assert reestimate_statistics(net, net, iter(batches)) == 3
    mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    variance = torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0)
    torch.testing.assert_close(net[0].running_mean, mean)
    torch.testing.assert_close(net[0].running_var, variance)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert not any(m.training for m in net.modules())
    assert net[0].momentum == 0.3


def test_following_moves_statistics_but_a_prediction_does_not_depend_on_the_batch():
    net = network().eval()
    images = torch.randn(4, 3, 5, 6) + 2
    plain = net(images)
    with following_statistics(net, 0.5):
        net(images)
    torch.testing.assert_close(net[0].running_mean, images.mean((0, 2, 3)) / 2)
    assert not torch.equal(net(images), plain)
    moved = net[0].running_mean.clone()
    net(images)
    assert torch.equal(net[0].running_mean, moved)


def test_network_without_batch_norm():
    adabn = build_method("adabn", {}, toy_video(norm=False), CLASSES)
    with pytest.raises(UserError, match="no batch-norm"):
        adabn.prepare(None, iter([toy_clip(adabn.target_needs)]))


def test_adabn_changes_statistics_alone():
    net = toy_video()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    adabn = build_method("adabn", {"statistics_batches": 2}, net, CLASSES)
    taken = [toy_clip(adabn.target_needs, seed=s) for s in range(5)]
    adabn.prepare(None, iter(taken))
    changed = {k for k, v in adabn.deployed().state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all("running" in k or "num_batches" in k for k in changed)


def test_fixed_statistics_stay_in_training():
    net = network()
    train_mode(net, "fixed")
    net(torch.randn(4, 3, 5, 6) + 2)
    assert torch.equal(net[0].running_mean, torch.zeros(3))
    assert net[1].training


@pytest.mark.parametrize("passes", [1, 2])
def test_followed_statistics_come_to_rest_between_inputs_and_anchor_however_often_a_layer_runs(passes):
    net = network().eval()
    images = torch.randn(8, 3, 9, 9) * 3 + 2
    anchor = [(torch.full_like(m, -1.0), torch.full_like(v, 5.0)) for m, v in statistics_of(net)]
    for _ in range(200):
        with following_statistics(net, 0.1, anchor, 0.25):
            for _ in range(passes):
                net(images)
    torch.testing.assert_close(net[0].running_mean, 0.75 * images.mean((0, 2, 3)) - 0.25)
    torch.testing.assert_close(net[0].running_var, 0.75 * images.var((0, 2, 3)) + 1.25)


@pytest.mark.parametrize("name", ["adabn", "advent", "da_vsn", "self_training", "stcl", "tps"])
def test_a_share_of_the_source_s_statistics_is_kept(name):
    def final(share):
        torch.manual_seed(0)
        net = toy_video()
        key = {"source_share": share}
        plain = name in ("adabn", "advent", "da_vsn")
        method = build_method(name, key if plain else {"teacher": key}, net, CLASSES)
        source = (toy_clip(ClipNeeds.of(1, labels=True), seed=s) for s in range(1000, 1200))
        target = [toy_clip(method.target_needs, seed=s) for s in range(60)]
        method.prepare(source, iter(target))
        started = statistics_of(method.network.frame)[0][0]
        method.finish(source, iter(target))
        return started, statistics_of(method.deployed().frame)[0][0]

    (none, none_end), (some, some_end), (most, most_end) = (final(share) for share in (0.0, 0.5, 0.9))
    origin = torch.zeros_like(none)  # of the untrained network
    torch.testing.assert_close(some, (none + origin) / 2)
    torch.testing.assert_close(most, 0.1 * none)
    if name != "adabn":
        end = [10 * (most_end - none_end) / 9, 2 * (some_end - none_end)]
        torch.testing.assert_close(end[0], end[1], rtol=1e-3, atol=1e-4)
        assert not torch.equal(some_end, none_end)


@pytest.mark.parametrize("kind", ["psp", "deeplab_xception", "hrda"])
def test_what_pools_a_frame_needs_two_clips_a_step_wherever_statistics_are_taken(kind):
    inner = {"inner": {"kind": "psp", "encoder": "resnet18"}} if kind == "hrda" else {}
    net = build_frame_network(NetworkParameters(kind=kind, pretrained=False, **inner), 3).eval()
    image = torch.rand(1, 3, 64, 64)
    with pytest.raises(UserError, match="raise `batch`"), following_statistics(net, 0.1):
        net(image)
    with pytest.raises(UserError, match="raise `batch`"):
        reestimate_statistics(net, net, [image])
    with pytest.raises(UserError, match="raise `batch`"):
        net.train()(image)
    assert torch.isfinite(net.eval()(image).logits).all()
    assert reestimate_statistics(net, net, [image.expand(2, -1, -1, -1)]) == 1


def test_pooled_maps_of_several_values_can_be_normalised_alone():
    arguments = {"encoder": "resnet18", "pretrained": False, "channels": 8, "bins": [2, 3]}
    net = build_frame_network(NetworkParameters(kind="psp", **arguments), 3).train()
    assert torch.isfinite(net(torch.rand(1, 3, 64, 64)).logits).all()
