"""DTERN, TMANet and STCL's transformer: importer and network together; numbers of the published modules where known."""

import pytest
import torch
import torch.nn.functional as F
from golden_rule import key_list, normal, synthetic, uniform, worst
from published_forward import block, fused, resampled
from toy_video import COLOURS, scene

from crossfade.cli import main
from crossfade.data.video import VideoWriter
from crossfade.errors import UserError
from crossfade.importing import IMPORTERS
from crossfade.importing.convert import converted
from crossfade.model_folder import load_model
from crossfade.motion.field import Motion

TOLERANCE = 1e-4
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(scope="module")
def dtern():
    return converted(IMPORTERS["dtern"], synthetic(key_list("dtern_b0")), "dtern_b0")


@pytest.fixture(scope="module")
def tmanet():
    return converted(IMPORTERS["tmanet"], synthetic(key_list("tmanet_cityscapes")), "tmanet_cityscapes")


def image(normalised):
    """What a network that normalises has to be given."""
    return normalised * STD + MEAN


def test_dtern(dtern):
    network = dtern.network
    with torch.no_grad():
        outputs = [network.frame(image(frame)[None]) for frame in normal(7, 4, 3, 96, 128)]
        reading = network.temporal.read(outputs[-1], [network.temporal.encode(output) for output in outputs[:-1]])
        size = reading.logits.shape[-2:]
        exemplar = F.interpolate(reading.also["exemplar"][0], size, mode="bilinear")
    stack = torch.cat([*(output.logits for output in outputs), reading.logits, exemplar])[None]
    assert worst("dtern_b0", "stage4", torch.cat([output.features[32] for output in outputs])) < TOLERANCE
    assert worst("dtern_b0", "single_frame_logits", outputs[-1].logits) < TOLERANCE
    assert worst("dtern_b0", "clip_logits", reading.logits) < TOLERANCE
    assert worst("dtern_b0", "train_stack", stack) < TOLERANCE


def test_dtern_drops_what_the_published_code_never_uses(dtern):
    assert len(dtern.dropped) == 2 + 4 + 4
    assert {"decode_head.conv_seg.weight", "decode_head.dtern.cluster_blocks.0.prompt1"} <= set(dtern.dropped)
    assert (dtern.classes, dtern.parameters.network.arguments["encoder"]) == (124, "mit_b0")
    assert dtern.parameters.temporal.arguments["kernels"] == [13, 11, 9, 7]


def test_dtern_predicts_a_video(tmp_path, capsys):
    classes = {key: [19 if n == 124 else n for n in shape] for key, shape in key_list("dtern_b0").items()}
    torch.save({"meta": {}, "state_dict": synthetic(classes)}, tmp_path / "dtern.pth")
    imported = ["import-weights", "dtern", str(tmp_path / "dtern.pth"), "--out", str(tmp_path / "model")]
    assert main([*imported, "--label-space", "camvid11"]) == 2
    assert "has 19 classes, but label space 'camvid11' has 11" in capsys.readouterr().err
    assert main([*imported, "--size", "64", "96"]) == 0
    assert "left out, because the published code never uses them: decode_head.conv_seg" in capsys.readouterr().out
    with VideoWriter(tmp_path / "in.mp4", 5.0) as writer:
        for k in range(5):
            writer.add(COLOURS[scene(k)])
    labels = tmp_path / "labels"
    arguments = [tmp_path / "in.mp4", "--model", tmp_path / "model", "--out", tmp_path / "out.mp4", "--labels", labels]
    assert main(["predict", *map(str, arguments), "--device", "cpu", "--quiet"]) == 0
    assert len(list(labels.iterdir())) == 5


def test_tmanet(tmanet):
    network = tmanet.network
    with torch.no_grad():
        slots = [network.temporal.encode(network.frame(image(normal(20 + i, 1, 3, 97, 129)))) for i in range(2)]
        now = network.frame(image(normal(7, 1, 3, 97, 129)))
        reading = network.temporal.read(now, slots)
    assert worst("tmanet_cityscapes", "stage4", now.features[8]) < TOLERANCE
    assert worst("tmanet_cityscapes", "aux", now.logits) < TOLERANCE
    assert worst("tmanet_cityscapes", "logits", reading.logits) < TOLERANCE


def test_tmanet_becomes_a_model_that_streams(tmanet, tmp_path, capsys):
    file = tmp_path / "tmanet.pth"
    torch.save({"meta": {"CLASSES": ("road",)}, "state_dict": synthetic(key_list("tmanet_cityscapes"))}, file)
    out = tmp_path / "model"
    assert main(["import-weights", "tmanet", str(file), "--out", str(out), "--size", "97", "129"]) == 0
    assert "TMANet, 19 classes, 32,112,006 parameters" in capsys.readouterr().out
    model = load_model(out)
    assert (model.label_space, model.size, model.network.align_corners) == ("cityscapes19", (97, 129), True)
    stream = model.network.stream()
    frames = [image(normal(seed, 1, 3, 97, 129)) for seed in (20, 21, 7)]
    with torch.inference_mode():
        logits = [stream.step(frame, None) for frame in frames]
    assert worst("tmanet_cityscapes", "logits", logits[-1]) < TOLERANCE


def test_frames_and_other_encoders_are_told_from_the_shapes():
    three = {key: torch.zeros(shape) for key, shape in key_list("tmanet_cityscapes").items()}
    three["decode_head.memory_key_conv.0.2.conv.weight"] = torch.zeros(64, 2048, 1, 1)
    assert IMPORTERS["tmanet"].model(three)["temporal"]["frames"] == 3
    blocks = {f"backbone.block3.{k}.norm1.weight": torch.zeros(1) for k in range(18)}
    wide = {"backbone.patch_embed1.proj.weight": torch.zeros(64, 3, 7, 7)}
    dtern = {key: torch.zeros(shape) for key, shape in key_list("dtern_b0").items() if not key.startswith("backbone")}
    assert IMPORTERS["dtern"].model(dtern | wide | blocks)["network"]["encoder"] == "mit_b3"
    del dtern["decode_head.dtern.cluster_blocks.0.clustering.cam.conv2_3.0.weight"]
    with pytest.raises(UserError, match=r"file is not a whole checkpoint of DTERN: .*conv2_3\.0\.weight is missing"):
        converted(IMPORTERS["dtern"], dtern | wide | blocks, "file")


def test_stcl_vit():
    """On MiT-B0, whose key names are those of B5 and whose features are held against golden numbers above."""
    backbone = {
        k.replace("backbone.", "model."): s for k, s in key_list("dtern_b0").items() if k.startswith("backbone")
    }
    state = synthetic(backbone | daformer_keys(12))
    imported = converted(IMPORTERS["stcl_vit"], state, "file")
    network = imported.network
    assert imported.parameters.network.arguments["encoder"] == "mit_b0"
    assert network.align_corners
    frames, flow = uniform(1, 1, 2, 3, 64, 224), 2 * normal(9, 1, 2, 16, 56)
    valid = uniform(10, 1, 1, 16, 56) > 0.9  # nobody asked for it
    with torch.no_grad():
        output = network.unroll(frames, {(1, 0): Motion(flow, valid)})
        before, now = (daformer_logits(state, frame.features) for frame in (output.past[-1], output.now))
        both = fused(state["decoder.sf_layer.weight"], now, before, flow, resampled)
    assert now.shape[-2:] == (16, 56)
    torch.testing.assert_close(output.now.logits, now, rtol=0, atol=TOLERANCE * float(now.abs().max()))
    torch.testing.assert_close(output.logits, both, rtol=0, atol=TOLERANCE * float(both.abs().max()))


ASPP = "decoder.fuse_layer.aspp_modules"


def daformer_keys(classes):
    """The decoder's keys: the MLP of each level, four branches, the bottleneck, both classifiers."""
    keys = {"decoder.conv_seg.weight": (classes, 256, 1, 1), "decoder.conv_seg.bias": (classes,)}
    keys["decoder.sf_layer.weight"] = (classes, 2 * classes, 1, 1)
    for k, width in enumerate((32, 64, 160, 256)):
        keys |= {f"decoder.embed_layers.{k}.proj.weight": (256, width), f"decoder.embed_layers.{k}.proj.bias": (256,)}
    blocks = {f"{ASPP}.0": (256, 1024, 1, 1), "decoder.fuse_layer.bottleneck": (256, 1024, 3, 3)}
    for k in (1, 2, 3):
        blocks[f"{ASPP}.{k}.depthwise_conv"] = (1024, 1, 3, 3)
        blocks[f"{ASPP}.{k}.pointwise_conv"] = (256, 1024, 1, 1)
    for name, shape in blocks.items():
        keys[f"{name}.conv.weight"] = shape
        keys |= {f"{name}.bn.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")}
    return keys


def daformer_logits(state, features):
    """DAFormer's head, said again in plain functions: features at strides 4 to 32 → logits at stride 4."""
    maps = []
    for k, stride in enumerate((4, 8, 16, 32)):
        weight, bias = (state[f"decoder.embed_layers.{k}.proj.{name}"] for name in ("weight", "bias"))
        tokens = F.linear(features[stride].permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
        maps.append(F.interpolate(tokens, features[4].shape[-2:], mode="bilinear", align_corners=False))
    levels = torch.cat(maps, 1)
    branches = [block(state, f"{ASPP}.0", levels)]
    for k, dilation in ((1, 6), (2, 12), (3, 18)):
        x = block(state, f"{ASPP}.{k}.depthwise_conv", levels, padding=dilation, dilation=dilation, groups=1024)
        branches.append(block(state, f"{ASPP}.{k}.pointwise_conv", x))
    x = block(state, "decoder.fuse_layer.bottleneck", torch.cat(branches, 1), padding=1)
    return F.conv2d(x, state["decoder.conv_seg.weight"], state["decoder.conv_seg.bias"])
