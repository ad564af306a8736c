"""A video network of a few hundred weights that speaks the interface of crossfade/temporal."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from crossfade.data.clip import Clip
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp

CLASSES = ("road", "building", "pole", "sign", "car")


@dataclass
class FrameOutput:
    logits: torch.Tensor
    features: dict
    embedding: torch.Tensor
    aux: torch.Tensor | None


class ToyFrame(nn.Module):
    def __init__(self, num_classes=5, norm=True):
        super().__init__()
        self.num_classes = num_classes
        bn = nn.BatchNorm2d if norm else nn.Identity
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), bn(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), bn(8), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU())
        self.classifier = nn.Conv2d(6, num_classes, 1)
        self.aux = nn.Conv2d(8, num_classes, 1)

    def encode(self, image, edits=None):
        edits = edits or {}
        two = self.stem(image)
        two = edits[2](two) if 2 in edits else two
        four = self.deep(two)
        return {2: two, 4: edits[4](four) if 4 in edits else four}

    def decode(self, features, size):
        embedding = self.head(features[4])
        return FrameOutput(self.classifier(embedding), features, embedding, self.aux(features[2]))

    def forward(self, image):
        return self.decode(self.encode(image), image.shape[-2:])


class ToyFusion(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.fuse = nn.Conv2d(2 * k, k, 1, bias=False)

    def encode(self, out):
        return {"logits": out.logits}

    def advance(self, slot, motion):
        m = motion.resized(slot["logits"].shape[-2:])
        warped, inside = warp(slot["logits"], m.flow)
        return {"logits": warped, "valid": m.valid & inside}

    def read(self, out, slots):
        if not slots:
            return out.logits
        other = torch.where(slots[0]["valid"], slots[0]["logits"], out.logits)
        return self.fuse(torch.cat([out.logits, other], 1))


class ToyNone(nn.Module):
    def read(self, out, slots):
        return out.logits


@dataclass
class VideoOutput:
    now: FrameOutput
    past: list
    logits: torch.Tensor


class ToyVideo(nn.Module):
    def __init__(self, temporal="fusion", num_classes=5, norm=True):
        super().__init__()
        self.frame = ToyFrame(num_classes, norm)
        self.temporal = ToyFusion(num_classes) if temporal == "fusion" else ToyNone()
        self.past = 1 if temporal == "fusion" else 0

    def unroll(self, frames, motion, edits=None, no_grad_past=True):
        past = []
        if self.past:
            with torch.no_grad():
                past = [self.frame(frames[:, t]) for t in range(frames.shape[1] - 1)]
        now = frames[:, -1]
        out = self.frame.decode(self.frame.encode(now, edits), now.shape[-2:])
        slots = [self.temporal.advance(self.temporal.encode(p), motion[1, 0]) for p in past]
        return VideoOutput(out, past, self.temporal.read(out, slots))


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
