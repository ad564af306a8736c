"""Published checkpoints for which there are key lists but no numbers: TMANet's for CamVid, the larger DTERNs."""

import pytest
import torch
from golden_rule import key_list, normal, synthetic
from published_forward import block

from crossfade.importing import IMPORTERS
from crossfade.importing.convert import converted, import_weights
from crossfade.model_folder import load_model


def test_tmanet_of_camvid_has_four_places_and_void_as_a_class(tmp_path):
    keys = key_list("tmanet_camvid")
    state = synthetic(keys)
    assert len(state) == 466
    torch.save({"state_dict": state}, tmp_path / "tmanet.pth")
    import_weights("tmanet", tmp_path / "tmanet.pth", tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert (model.label_space, model.size, model.network.align_corners) == ("camvid12", (720, 960), False)
    assert model.classes[0] == "void"
    temporal = model.network.temporal
    assert model.network.offsets == (-4, -3, -2, -1)
    for slot in range(4):  # by hand: 1x1 and 3x3, batch norm and ReLU after both
        x = deep = normal(30 + slot, 1, 2048, 5, 7)
        for layer in (0, 1):
            x = block(state, f"decode_head.memory_key_conv.{layer}.{slot}", x, padding=layer)
        with torch.no_grad():
            torch.testing.assert_close(temporal.memory_keys[slot](deep), x, rtol=1e-4, atol=1e-4)
    stream = model.network.stream()
    with torch.inference_mode():
        logits = [stream.step(normal(20 + k, 1, 3, 33, 65), None) for k in range(5)]
    assert logits[-1].shape == (1, 12, 5, 9)
    assert logits[-1].isfinite().all()


@pytest.mark.parametrize(
    ("variant", "tensors", "exemplars", "kernels"),
    [("b1", 394, 200, [11, 9, 7, 5]), ("b2", 550, 150, [11, 9, 7, 5]), ("b5", 1270, 124, [11, 9, 7, 5])],
)
def test_every_published_dtern_fits(variant, tensors, exemplars, kernels):
    state = {key: torch.zeros(shape) for key, shape in key_list(f"dtern_{variant}").items()}
    assert len(state) == tensors
    imported = converted(IMPORTERS["dtern"], state, variant)
    assert (imported.classes, len(imported.dropped)) == (124, 10)
    network, temporal = imported.parameters.network.arguments, imported.parameters.temporal.arguments
    assert network == {"encoder": f"mit_{variant}", "channels": 256}
    assert (temporal["exemplars"], temporal["kernels"]) == (exemplars, kernels)
    assert not any(value.any() for value in imported.network.state_dict().values())  # nothing is left as it was born
