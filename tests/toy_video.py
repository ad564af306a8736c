"""A video a network can read perfectly: every class has its own colour, and the network reads colours."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from crossfade.data.labels import LabelSpace
from crossfade.data.loading import Domain
from crossfade.data.manifest import Frame, Manifest, Video
from crossfade.motion.store import MotionWriter
from crossfade.networks.base import Edits, FrameNetwork, FrameOutput
from crossfade.temporal.base import NoMemory
from crossfade.temporal.fusion import ScoreFusion
from crossfade.temporal.video_network import VideoNetwork

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 60]], np.uint8)
CLASSES = ("Red", "Green", "Blue", "Never")
SPACE = LabelSpace("toy4", CLASSES, COLOURS, {"toy": {0: 0, 1: 1, 2: 2, 3: 3, 9: 255}})


class ColourReader(FrameNetwork):
    """Logits = closeness to each class's colour; `wrong` maps what it sees to what it says."""

    def __init__(self, wrong: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        super().__init__()
        self.num_classes = 4
        self.colours = nn.Parameter(torch.from_numpy(COLOURS[list(np.argsort(wrong))]).float() / 255)

    channels = {1: 3}  # noqa: RUF012
    embedding_channels = 3

    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        return {1: image}

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        distance = (features[1][:, None] - self.colours[None, :, :, None, None]).abs().sum(2)
        return FrameOutput(-distance, features, features[1])

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"encoder": [], "head": [self.colours]}


def reader(wrong: tuple[int, ...] = (0, 1, 2, 3), fusion: bool = False) -> VideoNetwork:
    frame = ColourReader(wrong)
    return VideoNetwork(frame, ScoreFusion(frame, 4) if fusion else NoMemory())


def scene(k: int, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Class ids of frame k: a blue block walks 2 pixels a frame to the right over green under red."""
    labels = np.zeros(size, np.uint8)
    labels[size[0] // 2 :] = 1
    labels[10:22, 4 + 2 * k : 14 + 2 * k] = 2
    return labels


def video_on_disk(
    root: Path, frames: int = 8, size: tuple[int, int] = (32, 48), motion: bool = True, labelled: bool = True
) -> Domain:
    """A domain with one video of `scene`s, its labels (a row is ignored) and the exact motion now → previous."""
    (root / "video").mkdir(parents=True)
    entries = []
    for k in range(frames):
        labels = scene(k, size)
        cv2.imwrite(str(root / f"video/{k}.png"), cv2.cvtColor(COLOURS[labels], cv2.COLOR_RGB2BGR))
        labels[0] = 9
        cv2.imwrite(str(root / f"video/{k}-label.png"), labels)
        entries.append(Frame(f"video/{k}.png", f"video/{k}-label.png" if labelled else None, k / 10))
    manifest = Manifest("toy", "toy", root, (Video("a", "val", size, tuple(entries)),))
    folder = root / "motion"
    if motion:
        write_motion(folder, frames, size)
    return Domain(manifest, folder if motion else None, SPACE, size, ("val",))


def write_motion(folder: Path, frames: int, size: tuple[int, int]) -> None:
    (folder / "val").mkdir(parents=True)
    with MotionWriter(folder / "val" / "a.motion", size) as writer:
        for k in range(1, frames):
            flow = np.zeros((2, *size), np.float32)
            flow[0][scene(k, size) == 2] = -2
            came_into_view = (scene(k - 1, size) == 2) & (scene(k, size) != 2)
            writer.add(k, k - 1, flow, ~came_into_view)
    (folder / "index.json").write_text('{"estimator": "exact"}')
