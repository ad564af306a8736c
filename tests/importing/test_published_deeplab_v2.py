"""ADVENT, DA-VSN, TPS and STCL: importer, network and fusion together against `published_forward`."""

import pytest
import torch
from golden_rule import normal, synthetic, uniform
from published_forward import deeplab_keys, fused, main_logits, pushed, resampled, summed, trunk

from crossfade.importing import IMPORTERS
from crossfade.importing.convert import converted
from crossfade.motion.field import Motion

SYSTEMS = {
    "advent": ("layer6", 19, None),
    "da_vsn": ("layer6", 15, pushed),
    "tps": ("layer6", 12, resampled),
    "stcl": ("layer7", 12, resampled),
}
TENSORS = {"advent": 640, "da_vsn": 641, "tps": 641, "stcl": 642}
SIZE, GRID = (24, 216), (4, 28)
"""Wide enough for a dilation of 24, of a height that the max-pool rounds up."""


@pytest.fixture(scope="module")
def trunks():
    """The weights that all have in common, two frames, and what layers 3 and 4 make of them."""
    shapes = deeplab_keys("layer6", 1, fusion=False)
    state = synthetic({key: shape for key, shape in shapes.items() if not key.startswith(("layer5", "layer6"))})
    frames = torch.stack([uniform(seed, 3, *SIZE) for seed in (1, 2)], 0)[None]
    with torch.no_grad():
        return state, frames, [trunk(state, frames[:, t]) for t in (0, 1)]


def gap(ours, theirs):
    """Largest difference, as a share of the largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("system", SYSTEMS)
def test_published_outputs(trunks, system):
    shared, frames, maps = trunks
    head, classes, bring = SYSTEMS[system]
    shapes = deeplab_keys(head, classes, fusion=bring is not None)
    state = shared | synthetic({key: shape for key, shape in shapes.items() if key not in shared})
    assert len(state) == len(shapes) == TENSORS[system]
    network = converted(IMPORTERS[system], state, "file").network
    flow = 2 * normal(9, 1, 2, *GRID)
    valid = uniform(10, 1, 1, *GRID) > 0.9  # nobody asked for it
    with torch.no_grad():
        before, now = (main_logits(state, deep) for _, deep in maps)
        output = network.unroll(frames, {(1, 0): Motion(flow, valid)})
        assert now.shape[-2:] == GRID
        assert gap(output.now.logits, now) < 1e-4
        assert gap(output.now.aux, summed(state, "layer5", maps[1][0])) < 1e-4
        expected = now if bring is None else fused(state["sf_layer.weight"], now, before, flow, bring)
        assert gap(output.logits, expected) < 1e-4
        stream = network.stream()
        stream.step(frames[:, 0], None)
        assert gap(stream.step(frames[:, 1], Motion(flow, valid)), expected) < 1e-4
    assert network.align_corners
