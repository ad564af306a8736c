"""Contracts over every per-frame network, and the published key names of DeepLab-v2."""

import pytest
import timm
import torch

from crossfade.errors import UserError
from crossfade.networks import FRAME_NETWORKS, NetworkParameters, build_frame_network, deeplab_v2
from crossfade.networks.deeplab_v2 import DeepLabV2
from crossfade.networks.encoders import packaged_weights
from crossfade.temporal import ModelParameters, build_video_network
from crossfade.temporal.fusion import ScoreFusion

SMALL = {
    "deeplab": {"encoder": "tf_efficientnet_lite0", "pretrained": False, "channels": 16, "skip_channels": 8},
    "deeplab_v2": {},
    "hrda": {
        "inner": {
            "kind": "deeplab",
            "encoder": "tf_efficientnet_lite0",
            "pretrained": False,
            "channels": 16,
            "skip_channels": 8,
        },
        "width": 8,
    },
    "deeplab_xception": {"pretrained": False},
    "psp": {"pretrained": False, "channels": 16},
    "correction": {"width": 0.1},
    "segformer": {"encoder": "mit_b0", "channels": 16},
    "daformer": {"encoder": "mit_b0", "channels": 16},
    "fcn": {"encoder": "resnet18", "pretrained": False, "channels": 16},
}
EDITED = {
    "deeplab": (4, 8, 16),
    "deeplab_v2": (4, 8),
    "deeplab_xception": (4, 16),
    "psp": (4, 8),
    "correction": (2, 4, 8, 16, 32, 64),
    "segformer": (4, 8, 16, 32),
    "daformer": (4, 8, 16, 32),
    "fcn": (2, 4),  # its head sits on the stage before the last, which is the one at stride 8
    "hrda": (8, 16, 32),
}


def test_what_stands_around_a_network_enlarges_as_it_does():
    inner = {"kind": "psp", **SMALL["psp"], "align_corners": True}
    assert build_frame_network(NetworkParameters(kind="hrda", inner=inner, width=8), 5).align_corners
    network = NetworkParameters(**inner)
    for asked, expected in ({}, True), ({"align_corners": False}, False):
        temporal = {"kind": "davss", "width": 0.1, **asked}
        assert build_video_network(ModelParameters(network=network, temporal=temporal), 5).align_corners == expected


def test_an_unknown_kind_is_a_sentence_without_pretrained_weights_too():
    with pytest.raises(UserError, match="did you mean 'deeplab'"):
        build_video_network(ModelParameters(network=NetworkParameters(kind="deplab")).untrained(), 5)


def test_deeplab_v2_starts_from_torchvision_s_weights(monkeypatch):
    torch.manual_seed(0)
    body = timm.create_model("resnet101").eval()
    body.default_cfg["mean"] = tuple(value / 255 for value in reversed(deeplab_v2.MEAN_BGR))  # caffe's, to compare
    monkeypatch.setattr(deeplab_v2, "create_body", lambda *_, **__: body)
    network = DeepLabV2(5, pretrained=True).eval()
    image = torch.rand(1, 3, 65, 97)  # where rounding up or down in the pooling is the same
    config = {name: torch.tensor(body.default_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std")}
    stem = body.maxpool(body.act1(body.bn1(body.conv1((image - config["mean"]) / config["std"]))))
    torch.testing.assert_close(network.encode(image)[4], body.layer1(stem), atol=1e-4, rtol=1e-4)
    mine, theirs = network.state_dict(), body.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs if key.split(".")[0] not in ("conv1", "fc"))


@pytest.fixture(scope="module", params=FRAME_NETWORKS)
def named(request):
    torch.manual_seed(0)
    network = build_frame_network(NetworkParameters(kind=request.param, **SMALL[request.param]), 5)
    return request.param, network


@pytest.mark.parametrize("kind", ["deeplab_v2", "deeplab_xception", "psp", "daformer", "fcn"])
def test_logits_are_enlarged_as_asked(kind):
    for asked in ({}, {"align_corners": True}):
        parameters = ModelParameters(network=NetworkParameters(kind=kind, **SMALL[kind], **asked))
        assert build_video_network(parameters, 5).align_corners == bool(asked)


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_shapes_at_even_and_odd_sizes(named, size):
    _, network = named
    with torch.no_grad():
        output = network.eval()(torch.rand(1, 3, *size))
    assert output.logits.shape[:2] == (1, 5)
    assert output.embedding.shape[-2:] == output.logits.shape[-2:]
    for stride, features in output.features.items():
        assert abs(features.shape[-1] - size[1] / stride) <= 2


def test_every_parameter_is_in_one_group(named):
    _, network = named
    groups = network.parameter_groups()
    ids = [id(p) for group in groups.values() for p in group]
    assert sorted(ids) == sorted(id(p) for p in network.parameters())


def test_evaluation_is_repeatable_and_does_not_depend_on_batch_mates(named):
    _, network = named
    network.eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        together, alone = network(images).logits, network(images[:1]).logits
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_edits_reach_the_logits_and_gradients_reach_the_edit(named):
    name, network = named
    network.eval()
    image = torch.rand(1, 3, 64, 64)
    plain = network(image).logits
    for stride in EDITED[name]:
        offset = torch.zeros((), requires_grad=True)
        edited = network(image, {stride: lambda f, offset=offset: f * 0.5 + offset}).logits
        assert not torch.equal(plain, edited), stride
        edited.sum().backward()
        assert offset.grad is not None
        assert offset.grad.abs() > 0
    with pytest.raises(ValueError, match="no stride"):
        network(image, {3: lambda f: f})


def test_published_keys_of_deeplab_v2():
    """specs: 641 tensors with layer6 and score fusion, 642 with layer7; parameter counts as published."""
    expected = {
        (12, "layer6"): (641, 43_827_648),
        (12, "layer7"): (642, 61_821_328),
        (15, "layer7"): (642, 61_932_862),
    }
    for (classes, head), (tensors, parameters) in expected.items():
        with torch.device("meta"):
            network = DeepLabV2(classes, head)
            fusion = ScoreFusion(network, classes)
        state = {**network.state_dict(), **fusion.state_dict()}
        assert len(state) == tensors
        assert sum(p.numel() for m in (network, fusion) for p in m.parameters()) == parameters
        assert state["layer1.0.conv3.weight"].shape == (256, 64, 1, 1)
        assert state["layer3.0.conv1.weight"].shape == (256, 512, 1, 1)
        assert state["layer3.22.conv3.weight"].shape == (1024, 256, 1, 1)
        assert state["layer5.conv2d_list.3.weight"].shape == (classes, 1024, 3, 3)
        assert state["sf_layer.weight"].shape == (classes, 2 * classes, 1, 1)
        if head == "layer7":
            assert state["layer7.head.1.weight"].shape == (classes, 256, 1, 1)


def test_output_of_deeplab_v2_has_the_published_size():
    with torch.device("meta"):
        network = DeepLabV2(12)
        output = network(torch.rand(1, 3, 512, 1024))
    assert output.logits.shape[-2:] == (65, 129)


def test_packaged_weights_fit_the_encoder():
    weights = packaged_weights("tf_efficientnet_lite0")
    network = build_frame_network(NetworkParameters(kind="deeplab"), 11)
    loaded = network.state_dict()["encoder.body.conv_stem.weight"]
    assert torch.equal(loaded, weights["conv_stem.weight"])
    assert sum(p.numel() for p in network.parameters()) < 3.5e6


@pytest.mark.parametrize("kind", ["segformer", "daformer"])
def test_heads_of_transformers_sit_on_other_encoders_too(kind):
    network = build_frame_network(NetworkParameters(kind=kind, encoder="resnet18", channels=16), 5).eval()
    with torch.no_grad():
        output = network(torch.rand(1, 3, 64, 96))
    assert output.logits.shape == (1, 5, 16, 24)
    assert network.levels == [4, 8, 16, 32]


def test_parameters_of_mit_are_as_published():
    for name, millions in {"mit_b0": 3.32, "mit_b1": 13.15, "mit_b2": 24.20}.items():
        network = build_frame_network(NetworkParameters(kind="segformer", encoder=name), 5)
        assert sum(p.numel() for p in network.encoder.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_mistakes_are_sentences():
    with pytest.raises(UserError, match="did you mean mit_b5"):
        build_frame_network(NetworkParameters(kind="segformer", encoder="mit_b6"), 5)
    with pytest.raises(UserError, match="no free ImageNet weights of encoder 'mit_b0'"):
        build_frame_network(NetworkParameters(kind="segformer", pretrained=True), 5)
    with pytest.raises(UserError, match="output_stride 16 cannot be built"):
        build_frame_network(NetworkParameters(kind="deeplab", encoder="mit_b0", pretrained=False), 5)
    with pytest.raises(UserError, match="did you mean 'deeplab'"):
        build_frame_network(NetworkParameters(kind="deplab"), 5)
    with pytest.raises(UserError, match="unknown key 'chanels'; did you mean 'channels'"):
        build_frame_network(NetworkParameters(kind="deeplab", chanels=3), 5)
    with pytest.raises(UserError, match="tf_efficientnet_lite0"):
        build_frame_network(NetworkParameters(kind="deeplab", encoder="tf_efficientnet_lit0"), 5)


WRONG = [
    ("deeplab", "dropout", 2.0, "less than 1"),
    ("deeplab", "channels", 0, "greater than 0"),
    ("deeplab", "skip_channels", 2.5, "integer"),
    ("deeplab", "encoder", 3, "string"),
    ("deeplab", "output_stride", 12, "2, 4, 8, 16 or 32"),
    ("psp", "output_stride", 12, "2, 4, 8, 16 or 32"),
    ("psp", "bins", [], "at least 1 item"),
    ("psp", "align_corners", "no way", "boolean"),
    ("deeplab_xception", "dropout", -0.5, "greater than or equal to 0"),
    ("fcn", "dropout", "a", "number"),
    ("fcn", "channels", True, "integer"),
    ("segformer", "channels", 0, "greater than 0"),
    ("daformer", "dilations", [], "at least 1 item"),
    ("correction", "width", 0.0, "greater than 0"),
    ("deeplab_v2", "head", "layer8", "'layer6' or 'layer7'"),
    ("hrda", "width", 0, "greater than 0"),
    ("hrda", "inner", {"kind": "deeplab", "pretrained": False, "dropout": 2.0}, "dropout: .*less than 1"),
    ("hrda", "inner", {"encoder": "resnet18"}, "give `kind`"),
    ("hrda", "inner", {"kind": "hrda", "inner": {}}, "cannot look through itself"),
]


@pytest.mark.parametrize(("kind", "key", "value", "allowed"), WRONG)
def test_a_value_that_is_not_allowed_is_named(kind, key, value, allowed):
    with pytest.raises(UserError, match=f"network kind .*{key}: .*{allowed}" if key != "inner" else allowed):
        build_frame_network(NetworkParameters(kind=kind, **SMALL[kind] | {key: value}), 5)


def test_an_output_stride_that_an_encoder_does_not_have_is_told():
    with pytest.raises(
        UserError, match=r"'resnet18' with output_stride 4 cannot be built .*convolutional ones 8 and 16"
    ):
        build_frame_network(NetworkParameters(kind="psp", pretrained=False, output_stride=4), 5)
