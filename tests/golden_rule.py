"""Synthetic weights and inputs, and the numbers that the published modules gave for them (tests/golden).

Each `*.npz` holds, by name of a tensor, its `.shape`, every `.stride`-th value as `.sample`, its `.absmax`. Each key
list is a JSON of name → shape.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"


def key_list(name):
    """{key: shape} of a published checkpoint."""
    return json.loads((FOLDER / f"{name}_keys.json").read_text())


def synthetic(shapes):
    """A checkpoint of these shapes; each tensor is a function of its key alone."""
    return {key: torch.from_numpy(np.asarray(_tensor(key, tuple(shape)))) for key, shape in shapes.items()}


def normal(seed, *shape):
    """Standard normal input."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def uniform(seed, *shape):
    """Input in [0, 1)."""
    return torch.from_numpy(np.random.RandomState(seed).random_sample(shape).astype(np.float32))


def worst(fixture, name, tensor):
    """Largest difference to the published module's output, as a share of its largest value."""
    with np.load(FOLDER / f"{fixture}.npz") as golden:
        shape, stride = tuple(golden[f"{name}.shape"]), int(golden[f"{name}.stride"])
        sample, largest = golden[f"{name}.sample"], float(golden[f"{name}.absmax"])
    assert tuple(tensor.shape) == shape
    return float(np.abs(tensor.detach().contiguous().numpy().ravel()[::stride] - sample).max()) / largest


def _tensor(key, shape):
    random, last = np.random.RandomState(zlib.crc32(key.encode())), key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        value = 1 + 0.2 * random.random_sample(shape)
    elif last in ("running_mean", "bias"):
        value = 0.05 * random.standard_normal(shape)
    elif len(shape) >= 2:
        value = random.standard_normal(shape) * math.sqrt(1 / math.prod(shape[1:]))
    elif last == "weight":
        value = 1 + 0.1 * random.standard_normal(shape)
    else:
        value = 0.5 * random.standard_normal(shape)
    return value.astype(np.float32)
