"""How methods run a video network on clips of frames."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from crossfade.data.clip import Clip
from crossfade.motion.field import Motion
from crossfade.objectives.cross_entropy import cross_entropy

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork, VideoOutput

Edits = dict[int, Callable[[Tensor], Tensor]]


def past_frames(network: "VideoNetwork") -> int:
    """How many frames before now a network reads: 0 for a per-frame network, 1 for the two-frame score fusion."""
    return network.past


def run(
    network: "VideoNetwork", frames: Tensor, motion: dict[tuple[int, int], Motion], edits: Edits | None = None
) -> "VideoOutput":
    """Unroll a network over the newest frames of a clip; frames it does not read are left out.

    Args:
        network: in the mode (train or eval) it should run in.
        frames: (B, T, 3, H, W), T at least the network's.
        motion: {(i, j): Motion i→j} by positions in `frames`.
        edits: replacements of encoder features of the newest frame, by stride.
    """
    spare = frames.shape[1] - 1 - past_frames(network)
    kept = {(i - spare, j - spare): m for (i, j), m in motion.items() if min(i, j) >= spare}
    return network.unroll(frames[:, spare:], kept, edits=edits)


def supervised_terms(
    network: "VideoNetwork", clip: Clip, name: str, aux_weight: float
) -> tuple["VideoOutput", dict[str, Tensor]]:
    """Cross-entropy of "now" on the fused logits as term `name` and, if there are auxiliary logits, `name`_aux."""
    output = run(network, clip.frames, clip.motion)
    terms = {name: cross_entropy(output.logits, clip.labels_now)}
    if output.now.aux is not None and aux_weight > 0:
        terms[f"{name}_aux"] = aux_weight * cross_entropy(output.now.aux, clip.labels_now)
    return output, terms


def upsampled_probabilities(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Softmax of bilinearly upsampled logits: (B, K, h, w) → (B, K, H, W)."""
    return F.interpolate(logits.float(), size, mode="bilinear", align_corners=False).softmax(1)
