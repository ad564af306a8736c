"""ETC: importer, network and losses together against numbers of the published modules (tests/golden_rule.py)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_rule import key_list, normal, synthetic, worst

from crossfade.errors import UserError
from crossfade.importing import IMPORTERS
from crossfade.importing.convert import converted, import_weights
from crossfade.model_folder import load_model
from crossfade.motion.field import Motion
from crossfade.objectives.cross_entropy import cross_entropy
from crossfade.objectives.temporal_loss import DEVIATION, temporal_loss

TOLERANCE = 1e-4
SIZE = (97, 193)
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor(DEVIATION).view(3, 1, 1)
RARITY = [0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116, 0.9037]
RARITY += [1.0865, 1.0955, 1.0865, 1.1529, 1.0507]


@pytest.fixture(scope="module")
def checkpoint():
    return synthetic(key_list("etc_psp18"))


@pytest.fixture(scope="module")
def imported(checkpoint):
    return converted(IMPORTERS["etc"], checkpoint, "synthetic")


def enlarged(logits):
    """As published, corner-aligned."""
    return F.interpolate(logits, SIZE, mode="bilinear", align_corners=True)


def test_published_numbers(imported):
    frame = imported.network.frame
    images = [normal(seed, 2, 3, *SIZE) * STD + MEAN for seed in (7, 8)]
    motion = Motion(2 * normal(9, 2, 2, *SIZE), torch.ones(2, 1, *SIZE, dtype=torch.bool))
    labels = torch.from_numpy(np.random.RandomState(4).randint(0, 19, (2, *SIZE)))
    labels[:, :7] = 255
    with torch.no_grad():
        now, neighbour = (frame(image) for image in images)
        logits, aux = enlarged(now.logits), enlarged(now.aux)
        weights = torch.tensor(RARITY)[labels.clamp(max=18)]
        scale = (labels != 255).sum() / (weights * (labels != 255)).sum()  # torch divides weighted losses by weights
        entropy = scale * (cross_entropy(logits, labels, weights) + 0.4 * cross_entropy(aux, labels, weights))
        temporal = 0.1 * temporal_loss(logits, enlarged(neighbour.logits), tuple(images), motion, compat=True)
        found = {"logits": now.logits, "aux": now.aux, "ppm": frame.pooled(now.features[8])}
    found |= {"ce_loss": entropy[None], "st_loss": temporal[None]}
    gaps = {name: worst("etc_psp18", name, value) for name, value in found.items()}
    assert max(gaps.values()) < TOLERANCE, gaps
    assert sum(p.numel() for p in frame.parameters()) == 14_399_590


def test_what_only_training_needed_is_dropped(checkpoint, imported, tmp_path):
    """Keys as the trainer saves them, with the network it takes motion from and the teacher beside the student."""
    raw = {f"module.student.{key}": value for key, value in checkpoint.items()}
    raw |= {"module.flownet.conv1.0.weight": torch.zeros(2), "module.teacher.cls.4.weight": torch.zeros(2)}
    torch.save({"state_dict": raw, "epoch": 3}, tmp_path / "etc.pth")
    found = import_weights("etc", tmp_path / "etc.pth", tmp_path / "model")
    assert set(found.dropped) == {"flownet.conv1.0.weight", "teacher.cls.4.weight"}
    model = load_model(tmp_path / "model")
    assert (model.label_space, model.size, model.network.uses_motion) == ("cityscapes19", (1024, 2048), False)
    weights = imported.network.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in model.network.state_dict().items())


def test_half_a_checkpoint_is_a_sentence(checkpoint, tmp_path):
    torch.save({key: value for key, value in checkpoint.items() if "layer4" not in key}, tmp_path / "etc.pth")
    with pytest.raises(UserError, match="not a whole checkpoint of ETC"):
        import_weights("etc", tmp_path / "etc.pth", tmp_path / "model")
