"""A video network with a few hundred weights."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from crossfade.data.clip import Clip
from crossfade.motion.field import Motion
from crossfade.networks.base import FrameNetwork, FrameOutput
from crossfade.temporal import TEMPORAL
from crossfade.temporal.video_network import VideoNetwork

TOY = {
    "davss": {"width": 0.1},
    "tmanet": {"frames": 2, "key_channels": 4, "value_channels": 4},
    "dtern": {"exemplars": 3, "channels": 4, "offsets": [-3, -1], "kernels": [3]},
}
"""Arguments of temporal modules that are too large otherwise."""
CLASSES = ("road", "building", "pole", "sign", "car")


class ToyFrame(FrameNetwork):
    def __init__(self, num_classes=5, norm=True):
        super().__init__()
        self.num_classes = num_classes
        bn = nn.BatchNorm2d if norm else nn.Identity
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), bn(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), bn(8), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU())
        self.classifier = nn.Conv2d(6, num_classes, 1)
        self.aux = nn.Conv2d(8, num_classes, 1)

    channels = {2: 8, 4: 8}  # noqa: RUF012
    embedding_channels = 6

    def encode(self, image, edits=None):
        edits = edits or {}
        two = self.stem(image)
        two = edits[2](two) if 2 in edits else two
        four = self.deep(two)
        return {2: two, 4: edits[4](four) if 4 in edits else four}

    def decode(self, features):
        embedding = self.head(features[4])
        return FrameOutput(self.classifier(embedding), features, embedding, self.aux(features[2]))

    def published_encoder(self):
        with torch.random.fork_rng():
            torch.manual_seed(11)
            return _Stages(ToyFrame())

    def parameter_groups(self):
        return {"encoder": list(self.stem.parameters()), "head": list(self.head.parameters())}


class _Stages(nn.Module):
    def __init__(self, frame):
        super().__init__()
        self.frame = frame

    def forward(self, image):
        return self.frame.encode(image)


class FineFrame(ToyFrame):
    """Its logits are finer than its deepest features, and so than those of a module that works on these."""

    def decode(self, features):
        output = super().decode(features)
        return replace(output, logits=F.interpolate(output.logits, scale_factor=2))


def toy_video(temporal="fusion", norm=True, kind=ToyFrame):
    frame = kind(norm=norm)
    return VideoNetwork(frame, TEMPORAL[temporal](frame, 5, **TOY.get(temporal, {})))


def toy_clip(needs, batch=2, size=(24, 32), valid=0.8, seed=0):
    """Random frames, labels and motion as a method's `ClipNeeds` asks."""
    g = torch.Generator().manual_seed(seed)
    length = len(needs.offsets)
    labels = torch.randint(0, 5, (batch, length, size[0] // 8, size[1] // 8), generator=g)
    labels = F.interpolate(labels.float(), scale_factor=8, mode="nearest").long()
    labels[:, :, :2] = 255
    frames = torch.rand(batch, length, 3, *size, generator=g) * 0.2 + labels.clamp(0, 5)[:, :, None] / 8
    motion = {
        pair: Motion(torch.randn(batch, 2, *size, generator=g), torch.rand(batch, 1, *size, generator=g) < valid)
        for pair in needs.motion
    }
    return Clip(frames, labels if needs.labels else None, motion, tuple(f"train/{i}/0" for i in range(batch)))
