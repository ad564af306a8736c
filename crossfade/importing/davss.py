"""DAVSS (Zhuang et al., TCSVT 2021): DeepLabv3+ on Xception-65 and the three networks beside it; 1041 tensors."""

import re

from crossfade.importing.base import System, renamer

_XCEPTION = r"^deeplab\.xception_features\."
_PARTS = {"depthwise": "conv_dw", "depthwise_bn": "bn_dw", "pointwise": "conv_pw", "pointwise_bn": "bn_pw"}
_LAYERS = {"depthwise": "0", "depthwise_bn": "1", "pointwise": "3", "pointwise_bn": "4"}
_BLOCKS = {"entry_flow_block": -1, "middle_flow_block1_unit_": 2, "exit_flow_block": 18}

_head = renamer(
    (r"^deeplab\.aspp0\.atrous_convolution\.conv\.", "frame.plain.0."),
    (r"^deeplab\.aspp0\.atrous_convolution\.bn\.", "frame.plain.1."),
    (r"^deeplab\.aspp1\.atrous_convolution\.", "frame.dilated.0."),
    (r"^deeplab\.aspp2\.atrous_convolution\.", "frame.dilated.1."),
    (r"^deeplab\.aspp3\.atrous_convolution\.", "frame.dilated.2."),
    (r"^deeplab\.image_pooling\.1\.", "frame.pool.0."),
    (r"^deeplab\.image_pooling\.2\.", "frame.pool.1."),
    (r"^deeplab\.concat_projection\.", "frame.project."),
    (r"^deeplab\.feature_projection0_conv\.", "frame.lateral.0."),
    (r"^deeplab\.feature_projection0_bn\.", "frame.lateral.1."),
    (r"^deeplab\.decoder\.", "frame.refine."),
    (r"^deeplab\.logits\.", "frame.classifier."),
    (r"^flownet\.", "temporal.motion."),
    (r"^cfnet\.", "temporal.correction."),
    (r"^dmnet\.conv1\.", "temporal.distortion.layers.0."),
    (r"^dmnet\.conv2\.", "temporal.distortion.layers.1."),
    (r"^dmnet\.conv3\.", "temporal.distortion.layers.2."),
    (r"^dmnet\.conv4\.", "temporal.distortion.layers.3."),
    (r"^(temporal\.distortion\.layers\.\d\.)1\.", r"\g<1>6."),
    (r"^(temporal\.distortion\.layers\.\d\.)0\.(?=\D)", r"\g<1>"),
)


def _rename(key: str) -> str:
    body = re.sub(_XCEPTION, "", key)
    if body == key:
        return _within(str(_head(key)), _LAYERS)
    if stem := re.match(r"entry_flow_(conv|bn)1_(\d)\.(.*)", body):
        place = f"frame.body.stem.{int(stem[2]) - 1}."
        return place + (stem[3] if stem[1] == "conv" else f"bn.{stem[3]}")
    block = re.match(r"(entry_flow_block|middle_flow_block1_unit_|exit_flow_block)(\d+)(?:_unit_1)?\.(.*)", body)
    if block is None:
        return key
    rest = re.sub(r"^separable_conv(\d)\.", r"stack.conv\1.", block[3])
    rest = re.sub(r"^shortcut\.0\.", "shortcut.conv.", re.sub(r"^shortcut\.1\.", "shortcut.bn.", rest))
    return _within(f"frame.body.blocks.{int(block[2]) + _BLOCKS[block[1]]}.{rest}", _PARTS)


def _within(key: str, names: dict[str, str]) -> str:
    """The parts of a separable convolution under other names."""
    return re.sub(r"\b(depthwise_bn|depthwise|pointwise_bn|pointwise)\.", lambda part: names[part[1]] + ".", key)


DAVSS = System(
    title="DAVSS",
    sign=("deeplab.concat_projection.0.weight", "flownet.conv1.0.weight", "cfnet.predict_cc.weight"),
    classifier="deeplab.logits.weight",
    model=lambda _: {
        "network": {"kind": "deeplab_xception", "pretrained": False, "align_corners": True},
        "temporal": {"kind": "davss", "align_corners": True},
    },
    rename=_rename,
    published={19: ("cityscapes19", (1024, 2048)), 11: ("camvid11", (720, 960))},
)
