"""ADVENT (Vu et al., CVPR 2019): DeepLab-v2 with `layer6`, frame by frame; 640 tensors."""

from crossfade.importing.base import System, renamer

ADVENT = System(
    title="ADVENT",
    sign=("layer5.conv2d_list.0.weight",),
    classifier="layer6.conv2d_list.0.weight",
    model=lambda _: {
        "network": {"kind": "deeplab_v2", "head": "layer6", "align_corners": True},
    },
    rename=renamer((r"^(conv1|bn1|layer[1-6])\.", r"frame.\g<0>")),
    published={19: ("cityscapes19", (512, 1024)), 12: ("synthia12", (512, 1024)), 15: ("viper15", (512, 1024))},
)
