"""A training small enough to be killed many times: run as ``python toy_training.py FOLDER OUT [ranks]``."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.parts.teacher import update_ema
from crossfade.networks.base import FrameNetwork, FrameOutput
from crossfade.optimisation import OptimiserParameters
from crossfade.temporal.base import NoMemory
from crossfade.temporal.video_network import VideoNetwork
from crossfade.training import Knobs, TrainingParameters, make_accelerator, train

STEPS = 60


class ToyNetwork(FrameNetwork):
    def __init__(self):
        super().__init__()
        self.num_classes = 3
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout2d(0.2), nn.Conv2d(8, 3, 1))

    channels = {2: 8}  # noqa: RUF012
    embedding_channels = 8

    def encode(self, image, edits=None):
        return {2: self.body(image)}

    def decode(self, features):
        return FrameOutput(self.head(features[2]), features, features[2])

    def parameter_groups(self):
        return {"encoder": list(self.body.parameters()), "head": list(self.head.parameters())}


class ToyMethod(Method):
    """Random augmentation, a teacher, and something kept from the step before: all that resume could forget."""

    def __init__(self, network):
        super().__init__(network, ("a", "b", "c"))
        self.teacher = VideoNetwork(ToyNetwork(), NoMemory())
        self.teacher.load_state_dict(network.state_dict())
        self.before = torch.zeros(1)

    @property
    def source_needs(self):
        return ClipNeeds(labels=True)

    @property
    def target_needs(self):
        return None

    def step(self, step, total, source, target, draw=False):
        self.network.train()
        noisy = source.now + 0.1 * torch.randn_like(source.now)
        logits = self.network.frame(noisy).logits
        loss = nn.functional.cross_entropy(logits, source.labels_now[:, ::2, ::2])
        kept = (logits.mean() - self.before) ** 2
        self.before = logits.mean().detach().view(1)
        return StepOutput({"ce": loss, "kept": kept.squeeze()}, {"mean": self.before})

    def after_step(self, step):
        update_ema(self.teacher, self.network, 0.9, buffers=True)

    def state_dict(self):
        return {"teacher": self.teacher.state_dict(), "before": self.before}

    def load_state_dict(self, state):
        self.teacher.load_state_dict(state["teacher"])
        self.before = state["before"]

    @property
    def rule(self):
        return "last step"


class ToyClips(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, k):
        rng = np.random.default_rng(k)
        labels = torch.from_numpy(rng.integers(0, 3, (1, 1, 8, 8))).repeat_interleave(2, 2).repeat_interleave(2, 3)
        frames = torch.from_numpy(rng.random((1, 1, 3, 16, 16), dtype=np.float32)) + labels[:, :, None] / 3
        return Clip(frames, labels, {}, (f"toy/{k}",))


def main(folder, out, pause=0.0):
    torch.set_num_threads(1)
    parameters = TrainingParameters(
        steps=STEPS, batch=2, accumulate=2, deterministic=True, optimiser=OptimiserParameters(lr=1e-2, warmup=5)
    )
    knobs = Knobs(device="cpu", checkpoint_every=7, log_every=20, figure_every=0)
    accelerator = make_accelerator(parameters, knobs)
    torch.manual_seed(0)
    method = ToyMethod(VideoNetwork(ToyNetwork(), NoMemory()))
    if pause:
        after = method.after_step
        method.after_step = lambda step: (after(step), __import__("time").sleep(pause))[0]
    first = train(method, ToyClips(), None, parameters, 3, folder, accelerator, knobs)
    state = {"network": method.network.state_dict(), "method": method.state_dict(), "resumed": first}
    torch.save(state, out.with_suffix(f".{accelerator.process_index}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(os.environ.get("PAUSE", "0")))
