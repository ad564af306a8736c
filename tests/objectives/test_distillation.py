"""Distillation against the published losses' numbers, a cosine, and torch's LSTM."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_rule import FOLDER, normal

from crossfade.networks.conv_lstm import ConvLSTM
from crossfade.objectives.distillation import (
    affinity,
    class_distillation,
    pair_distillation,
    self_distillation,
    sequence_distillation,
)


def features(seed):
    return normal(seed, 1, 16, 20, 20)


def logits(seed):
    return normal(seed + 1, 1, 19, 20, 20)


def test_published_numbers():
    """Arguments in the order of the published calls: student frame, teacher frame, student now, teacher now."""
    found = {
        "kd": class_distillation(logits(1), logits(3)) + class_distillation(logits(5), logits(7)),
        "pair": pair_distillation([features(1), features(5)], [features(3), features(7)], compat=True),
        "self_aff": self_distillation([features(s) for s in (9, 1, 5)], [features(s) for s in (11, 3, 7)]),
    }
    with np.load(FOLDER / "etc_kd.npz") as golden:
        for name, value in found.items():
            assert float(value) == pytest.approx(float(golden[f"{name}.sample"][0]), rel=1e-5), name


def test_affinity_is_the_cosine_and_the_published_one_is_not():
    x, y = torch.randn(2, 2, 6, 3, 4)
    flat = [maps.flatten(2).transpose(1, 2) for maps in (x, y)]
    cosine = F.cosine_similarity(flat[0][:, :, None], flat[1][:, None], dim=-1)
    torch.testing.assert_close(affinity(x, y), cosine)
    assert (affinity(x, y, compat=True) - cosine).abs().max() > 0.1
    torch.testing.assert_close(affinity(x, x, compat=True), affinity(x, x))


def test_a_perfect_student_learns_nothing_and_widths_may_differ():
    torch.manual_seed(0)
    teacher = [torch.randn(2, 8, 16, 24) for _ in range(3)]
    turned = [torch.einsum("dc,bchw->bdhw", torch.linalg.qr(torch.randn(12, 8))[0], t) for t in teacher]
    memory = ConvLSTM()
    for student, wrong in ((turned, False), ([torch.randn(2, 12, 16, 24) for _ in range(3)], True)):
        losses = [
            pair_distillation(student[:2], teacher[:2]),
            self_distillation(student, teacher),
            sequence_distillation(student, teacher, memory),
        ]
        if wrong:
            assert all(loss > 1e-4 for loss in losses)
        else:  # each frame turned by its own rotation: only the affinity of one with another sees that
            assert losses[0] > 1e-4
            assert all(loss < 1e-8 for loss in losses[1:])
    assert class_distillation(teacher[0], teacher[0] + 3) < 1e-6


def test_the_memory_is_torchs_where_images_are_one_pixel():
    torch.manual_seed(0)
    ours, theirs = ConvLSTM(3, 4, size=1), torch.nn.LSTMCell(3, 4)
    with torch.no_grad():
        weight = torch.cat([theirs.weight_ih, theirs.weight_hh], 1)
        ours.gates.weight.copy_(weight[:, :, None, None])
        ours.gates.bias.copy_(theirs.bias_ih + theirs.bias_hh)
        images = torch.randn(5, 2, 3)
        state = None
        for image in images:
            state = theirs(image, state)
        hidden, cell = ours([image[:, :, None, None] for image in images])
    torch.testing.assert_close(hidden[..., 0, 0], state[0])
    torch.testing.assert_close(cell[..., 0, 0], state[1])
    assert ConvLSTM()([torch.rand(1, 1, 5, 5)])[0].shape == (1, 4, 5, 5)
