"""TPS (Xing et al., ECCV 2022): DeepLab-v2 with `layer6` and two-frame score fusion; 641 tensors."""

from crossfade.importing.base import System, renamer

TPS = System(
    title="TPS",
    sign=("layer6.conv2d_list.0.weight", "sf_layer.weight"),
    classifier="layer6.conv2d_list.0.weight",
    model=lambda _: {
        "network": {"kind": "deeplab_v2", "head": "layer6", "align_corners": True},
        "temporal": {"kind": "fusion", "validity": False},
    },
    rename=renamer((r"^(conv1|bn1|layer[1-6])\.", r"frame.\g<0>"), (r"^sf_layer\.", "temporal.sf_layer.")),
    published={12: ("synthia12", (512, 1024)), 15: ("viper15", (512, 1024))},
)
