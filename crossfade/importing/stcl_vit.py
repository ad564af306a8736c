"""STCL's transformer: MiT-B5, DAFormer's head, two-frame score fusion. Key names as its classes define them."""

from crossfade.importing.base import State, System, renamer
from crossfade.importing.mit import mit_of, mit_rules


def _model(state: State) -> dict[str, object]:
    return {
        "network": {"kind": "daformer", "encoder": mit_of(state, "model"), "align_corners": True},
        "temporal": {"kind": "fusion", "validity": False},
    }


_ASPP = r"^decoder\.fuse_layer\.aspp_modules\.(\d)\."

STCL_VIT = System(
    title="STCL (transformer)",
    sign=("model.patch_embed1.proj.weight", "decoder.fuse_layer.bottleneck.conv.weight", "decoder.sf_layer.weight"),
    classifier="decoder.conv_seg.weight",
    model=_model,
    rename=renamer(
        *mit_rules("model"),
        (r"^decoder\.embed_layers\.(\d)\.proj\.", r"frame.embed.\1."),
        (_ASPP + r"(?:depthwise_conv\.)?conv\.", r"frame.branches.\1.0."),
        (_ASPP + r"(?:depthwise_conv\.)?bn\.", r"frame.branches.\1.1."),
        (_ASPP + r"pointwise_conv\.conv\.", r"frame.branches.\1.3."),
        (_ASPP + r"pointwise_conv\.bn\.", r"frame.branches.\1.4."),
        (r"^decoder\.fuse_layer\.bottleneck\.conv\.", "frame.fuse.0."),
        (r"^decoder\.fuse_layer\.bottleneck\.bn\.", "frame.fuse.1."),
        (r"^decoder\.conv_seg\.", "frame.classifier."),
        (r"^decoder\.sf_layer\.", "temporal.sf_layer."),
    ),
    published={12: ("synthia12", (512, 1024)), 15: ("viper15", (512, 1024))},
)
