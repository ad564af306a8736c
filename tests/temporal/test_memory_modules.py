"""What DTERN and TMANet remember, what they do where a video begins, and on which networks they stand."""

import pytest
import torch

from crossfade.errors import UserError
from crossfade.networks import NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

NETWORKS = {
    "deeplab": {"kind": "deeplab", "pretrained": False, "channels": 16, "skip_channels": 8},
    "segformer": {"kind": "segformer", "channels": 16},
    "fcn": {"kind": "fcn", "encoder": "resnet18", "pretrained": False, "channels": 16},
}
TMANET = {"kind": "tmanet", "frames": 3, "key_channels": 8, "value_channels": 16}
DTERN = {"kind": "dtern", "exemplars": 5, "channels": 8, "kernels": [5, 3], "offsets": [-4, -2]}


def network_of(temporal, frame="deeplab"):
    torch.manual_seed(1)
    parameters = ModelParameters(network=NetworkParameters(**NETWORKS[frame]), temporal=temporal)
    return build_video_network(parameters, 4).eval()


@pytest.mark.parametrize("frame", NETWORKS)
@pytest.mark.parametrize("temporal", [TMANET, DTERN], ids=lambda t: t["kind"])
def test_they_stand_on_any_network_and_learn(temporal, frame):
    network = network_of(temporal, frame).train()
    reading = network.unroll(torch.rand(2, 5, 3, 64, 96), {}).reading
    own = reading.also["frame"][0]
    if temporal is DTERN:
        assert reading.logits.shape == own.shape
        assert [weight for _, weight in reading.also.values()] == [2.0, 1.0]
    else:
        assert reading.also["frame"][1] == 0.4
    sum(logits.sum() for logits in (reading.logits, *(logits for logits, _ in reading.also.values()))).backward()
    assert all(p.grad is not None for p in network.temporal.parameters() if p.requires_grad)


def test_where_a_video_begins_tmanet_repeats_its_oldest_frame():
    network = network_of(TMANET)
    first, second, third = (network.frame(torch.rand(1, 3, 64, 96)) for _ in range(3))
    a, b = network.temporal.encode(first), network.temporal.encode(second)

    def read(output, slots):
        return network.temporal.read(output, slots).logits

    with torch.no_grad():
        assert torch.equal(read(third, [a, b]), read(third, [a, a, b]))
        assert torch.equal(read(first, []), read(first, [a, a, a]))
        assert not torch.allclose(read(third, [a, a, b]), read(third, [b, a, a]), atol=1e-6)  # places have weights


def test_attention_of_tmanet_is_a_softmax_over_all_positions_of_all_frames():
    network = network_of(TMANET)
    temporal = network.temporal
    with torch.no_grad():
        outputs = [network.frame(torch.rand(1, 3, 64, 96)) for _ in range(4)]
        slots = [temporal.encode(output) for output in outputs[:3]]
        now = outputs[3].features[temporal.stride]
        keys = torch.cat([e(s["features"]).flatten(2) for e, s in zip(temporal.memory_keys, slots, strict=True)], 2)
        values = torch.cat([e(s["features"]).flatten(2) for e, s in zip(temporal.memory_values, slots, strict=True)], 2)
        share = (temporal.query_key(now).flatten(2).transpose(1, 2) @ keys).softmax(-1)
        value = temporal.query_value(now)
        read = (values @ share.transpose(1, 2)).view_as(value)
        expected = temporal.classifier(temporal.bottleneck(torch.cat([value, read], 1)))
        torch.testing.assert_close(temporal.read(outputs[3], slots).logits, expected)


def test_a_slot_of_dtern_is_two_small_sets_of_exemplars():
    network = network_of(DTERN)
    with torch.no_grad():
        output = network.frame(torch.rand(2, 3, 64, 96))
        slot = network.temporal.encode(output)
    assert {name: tuple(value.shape) for name, value in slot.items()} == {"first": (2, 5, 8), "second": (2, 5, 8)}


def test_where_a_video_begins_dtern_gives_the_frames_own_logits():
    network = network_of(DTERN)
    stream = network.stream()
    with torch.no_grad():
        for t in range(3):
            frame = torch.rand(1, 3, 64, 96)
            own = network.frame(frame).logits
            assert torch.equal(stream.step(frame, None), own) == (t < 2)


def test_mistakes_are_sentences():
    for wrong, said in (
        ({"heads": [3, 4]}, "heads are two numbers that divide"),
        ({"offsets": [-2, -4]}, "offsets are .*ascending"),
        ({"offsets": []}, "offsets: .*at least 1 item"),
        ({"offsets": [-2, 0]}, r"offsets\.1: .*less than 0 \(it is 0\)"),
        ({"kernels": [5, 4]}, r"kernels\.1: Input should be odd.* \(it is 4\)"),
        ({"heads": [2]}, "heads: .*at least 2 items"),
        ({"exemplars": 0}, "exemplars: .*greater than 0"),
        ({"channels": 0}, "channels: .*greater than 0"),
        ({"dropout": 1.0}, "dropout: .*less than 1"),
    ):
        with pytest.raises(UserError, match=f"temporal module 'dtern' in params.yaml: {said}"):
            network_of({**DTERN, **wrong})
    for key, value in (("frames", 0), ("frames", 2.5), ("key_channels", 0), ("value_channels", -1), ("dropout", 2.0)):
        with pytest.raises(UserError, match=rf"temporal module 'tmanet' in params.yaml: {key}: .*\(it is {value}\)"):
            network_of({**TMANET, key: value})
    for key, value in (("interval", 2.5), ("interval", 0), ("reach", 0), ("threshold", "a"), ("threshold", -1.0),
                       ("width", 0.0), ("width", float("nan")), ("motion", "clips"), ("align_corners", 1)):  # fmt: skip
        with pytest.raises(UserError, match=rf"temporal module 'davss' in params.yaml: {key}: .*\(it is {value!r}\)"):
            network_of({"kind": "davss", key: value})
    with pytest.raises(UserError, match="unknown key 'intervall'; did you mean 'interval'"):
        network_of({"kind": "davss", "intervall": 2})
