"""DTERN, an mmcv checkpoint: SegFormer and the temporal exemplars; 394 tensors with MiT-B0 and B1."""

from crossfade.importing.base import State, System, renamer
from crossfade.importing.mit import mit_of, mit_rules

_LAYER = "decode_head.dtern.cluster_blocks.0."


def _model(state: State) -> dict[str, object]:
    around = [state[f"{_LAYER}clustering.cam.conv2_{k}.0.weight"].shape[-1] for k in (1, 2, 3, 4)]
    exemplars, channels = state[f"{_LAYER}clustering.Clustering.0.weight"].shape[:2]
    return {
        "network": {"kind": "segformer", "encoder": mit_of(state, "backbone"), "channels": channels},
        "temporal": {"kind": "dtern", "exemplars": exemplars, "channels": channels, "kernels": around},
    }


DTERN = System(
    title="DTERN",
    sign=(f"{_LAYER}clustering.Clustering.0.weight", "decode_head.dtern.gtem.FCC", "backbone.patch_embed1.proj.weight"),
    classifier="decode_head.linear_pred1.weight",
    model=_model,
    rename=renamer(
        *mit_rules("backbone"),
        *((rf"^decode_head\.linear_c{k}\.proj\.", f"frame.embed.{k - 1}.") for k in range(1, 5)),
        *((rf"^decode_head\.dtern\.convs\.{k}\.", f"temporal.embed.{3 - k}.") for k in range(4)),
        (r"^decode_head\.linear_fuse\.", "frame.fuse."),
        (r"^decode_head\.linear_pred\.", "frame.classifier."),
        (r"^decode_head\.linear_pred1\.", "temporal.classifier."),
        (r"^decode_head\.dtern\.fusion_conv\.", "temporal.fuse."),
        (r"^decode_head\.dtern\.cluster_blocks\.0\.", "temporal.first."),
        (r"^decode_head\.dtern\.cluster_blocks\.1\.", "temporal.second."),
        (r"^decode_head\.dtern\.gtem\.", "temporal.overall."),
        (r"^(temporal\.\w+)\.sim_alpha$", r"\1.slope"),
        (r"^(temporal\.\w+)\.sim_beta$", r"\1.offset"),
        (r"^(temporal\.\w+)\.prompt1$", r"\1.below.prompt"),
        (r"^(temporal\.\w+)\.prompt2$", r"\1.own.prompt"),
        (r"^(temporal\.\w+)\.top_down_transform1$", r"\1.below.transform"),
        (r"^(temporal\.\w+)\.top_down_transform2$", r"\1.own.transform"),
        (r"^(temporal\.\w+)\.norm1\.", r"\1.norm."),
        (r"^(temporal\.\w+)\.q\.", r"\1.query."),
        (r"^(temporal\.\w+)\.k\.", r"\1.key."),
        (r"^(temporal\.\w+)\.v\.", r"\1.value."),
        (r"^(temporal\.\w+)\.proj\.", r"\1.project."),
        (r"^(temporal\.\w+)\.mlp\.fc1\.", r"\1.widen."),
        (r"^(temporal\.\w+)\.mlp\.dwconv\.dwconv\.", r"\1.mix."),
        (r"^(temporal\.\w+)\.mlp\.fc2\.", r"\1.narrow."),
        (r"\.clustering\.Clustering\.0\.", ".assignment."),
        (r"\.clustering\.cam\.", ".context."),
        (r"\.context\.conv1_1\.0\.", ".context.plain."),
        (r"\.context\.conv1_2\.", ".context.smooth."),
        *((rf"\.context\.conv2_{k}\.0\.", f".context.around.{k - 1}.") for k in range(1, 5)),
        (r"\.context\.conv2_5\.", ".context.local."),
        (r"\.context\.conv3_1\.", ".context.across."),
        (r"\.context\.conv3_2\.", ".context.down."),
        (r"\.context\.excite\.", ".context.strip."),
        (r"\.context\.conv\.", ".context.out."),
        (r"^temporal\.overall\.FCC$", "temporal.overall.class_keys"),
        (r"^temporal\.overall\.VCC$", "temporal.overall.class_values"),
        (r"\.cross_attn\.(query|key|value)_project\.", r".pixel_\1."),
        (r"\.cross_attn\.out_project\.", ".out."),
        (r"^((?:frame|temporal)\..*)\.conv\.", r"\1.0."),
        (r"^((?:frame|temporal)\..*)\.bn\.", r"\1.1."),
        dead=(
            r"^decode_head\.conv_seg\.",
            r"cluster_blocks\.0\.(prompt|top_down_transform)\d$",
            r"cluster_blocks\.\d\.clustering\.norm1\.",
        ),
    ),
    published={124: ("vspw124", (480, 864)), 19: ("cityscapes19", (512, 1024))},
)
