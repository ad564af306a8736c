"""TMANet (Wang et al., ICIP 2021), an mmcv checkpoint: 418 tensors with two frames of memory, 466 with four.

Published for Cityscapes it enlarges logits corner-aligned, for CamVid (twelve classes, the void one among them) not.
"""

from crossfade.importing.base import State, System, renamer

CITYSCAPES = 19
"""Classes."""


def _model(state: State) -> dict[str, object]:
    slots = {key.split(".")[3] for key in state if key.startswith("decode_head.memory_key_conv.0.")}
    keys = state["decode_head.query_key_conv.0.conv.weight"].shape[0]
    values = state["decode_head.query_value_conv.0.conv.weight"].shape[0]
    aligned = state["decode_head.conv_seg.weight"].shape[0] == CITYSCAPES
    return {
        "network": {"kind": "fcn", "encoder": "resnet50c", "pretrained": False, "align_corners": aligned},
        "temporal": {"kind": "tmanet", "frames": len(slots), "key_channels": keys, "value_channels": values},
    }


TMANET = System(
    title="TMANet",
    sign=("decode_head.query_key_conv.0.conv.weight", "decode_head.query_value_conv.0.conv.weight"),
    classifier="decode_head.conv_seg.weight",
    model=_model,
    rename=renamer(
        (r"^backbone\.stem\.7\.", "frame.encoder.body.bn1."),
        (r"^backbone\.stem\.", "frame.encoder.body.conv1."),
        (r"^backbone\.layer", "frame.encoder.body.layer"),
        (r"^auxiliary_head\.convs\.0\.", "frame.embed."),
        (r"^auxiliary_head\.conv_seg\.", "frame.classifier."),
        (r"^decode_head\.conv_seg\.", "temporal.classifier."),
        (r"^decode_head\.bottleneck\.", "temporal.bottleneck."),
        (r"^decode_head\.query_(key|value)_conv\.", r"temporal.query_\1."),
        (r"^decode_head\.memory_(key|value)_conv\.(\d)\.(\d)\.", r"temporal.memory_\1s.\3.\2."),
        (r"^(frame\.embed|temporal\..*)\.conv\.", r"\1.0."),
        (r"^(frame\.embed|temporal\..*)\.bn\.", r"\1.1."),
    ),
    published={CITYSCAPES: ("cityscapes19", (1024, 2048)), 12: ("camvid12", (720, 960))},
)
