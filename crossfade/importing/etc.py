"""ETC (Liu et al., ECCV 2020): PSPNet-18, frame by frame; 160 tensors beside what only its training needed."""

from crossfade.importing.base import System, renamer

ETC = System(
    title="ETC",
    sign=("layer0.0.weight", "ppm.features.0.1.weight"),
    classifier="cls.4.weight",
    model=lambda _: {"network": {"kind": "psp", "encoder": "resnet18", "pretrained": False, "align_corners": True}},
    rename=renamer(
        (r"^layer0\.0\.", "frame.encoder.body.conv1."),
        (r"^layer0\.1\.", "frame.encoder.body.bn1."),
        (r"^layer([1-4])\.", r"frame.encoder.body.layer\1."),
        (r"^ppm\.features\.", "frame.pyramid."),
        (r"^cls\.4\.", "frame.classifier."),
        (r"^cls\.", "frame.project."),
        (r"^aux\.", "frame.aux."),
        dead=("flow", "teacher", "criterion"),
    ),
    published={19: ("cityscapes19", (1024, 2048))},
    prefixes=("student.",),
)
