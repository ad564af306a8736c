"""STCL's CNN: DeepLab-v2 with `layer7` and two-frame score fusion; 642 tensors."""

from crossfade.importing.base import System, renamer

STCL = System(
    title="STCL",
    sign=("layer7.conv2d_list.0.weight", "sf_layer.weight"),
    classifier="layer7.head.1.weight",
    model=lambda _: {
        "network": {"kind": "deeplab_v2", "head": "layer7", "align_corners": True},
        "temporal": {"kind": "fusion", "validity": False},
    },
    rename=renamer((r"^(conv1|bn1|layer[1-57])\.", r"frame.\g<0>"), (r"^sf_layer\.", "temporal.sf_layer.")),
    published={12: ("synthia12", (512, 1024)), 15: ("viper15", (512, 1024))},
)
