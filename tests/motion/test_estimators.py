from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crossfade.errors import UserError
from crossfade.motion.estimators import ESTIMATORS, build_estimator
from crossfade.motion.parameters import PRESETS, MotionParameters

SHIFT = (3.0, -2.0)


def shifted_pair(height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A textured frame, and the same 3 px further right and 2 px further up."""
    noise = np.random.default_rng(0).random((height + 32, width + 32, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2.5)
    texture = ((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)

    def crop(x: int, y: int) -> np.ndarray:
        return np.ascontiguousarray(texture[16 + y : 16 + y + height, 16 + x : 16 + x + width])

    return crop(0, 0), crop(-int(SHIFT[0]), -int(SHIFT[1]))


@pytest.mark.parametrize(
    ("estimator", "preset", "tolerance"),
    [("dis", "ultrafast", 0.5), ("dis", "fast", 0.3), ("dis", "medium", 0.2), ("farneback", None, 0.2)],
)
def test_a_known_shift_is_found(estimator: str, preset: str | None, tolerance: float) -> None:
    first, second = shifted_pair()
    flow = build_estimator(MotionParameters(estimator=estimator, preset=preset)).estimate(first, second)
    assert flow.shape == (2, 96, 128)
    assert flow.dtype == np.float32
    inner = flow[:, 12:-12, 12:-12]
    assert np.abs(inner - np.array(SHIFT)[:, None, None]).mean() < tolerance
    back = build_estimator(MotionParameters(estimator=estimator, preset=preset)).estimate(second, first)
    assert np.abs(back[:, 12:-12, 12:-12] + np.array(SHIFT)[:, None, None]).mean() < tolerance


@pytest.mark.parametrize("estimator", ["dis", "farneback"])
def test_tiny_frames(estimator: str) -> None:
    first, second = shifted_pair(16, 24)
    assert np.isfinite(build_estimator(MotionParameters(estimator=estimator)).estimate(first, second)).all()
    with pytest.raises(UserError, match="too small to find motion in"):
        build_estimator(MotionParameters(estimator=estimator)).estimate(first[:8], second[:8])


def test_raft_with_given_weights(tmp_path: Path) -> None:
    """Random weights: no use, but shapes, padding and the file are as with real ones."""
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    network = raft_small(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    parameters = MotionParameters(estimator="raft", preset="small", weights=str(tmp_path / "raft.pth"))
    first, second = shifted_pair(128, 130)
    flow = build_estimator(parameters).estimate(first, second)
    assert flow.shape == (2, 128, 130)
    assert flow.dtype == np.float32
    elsewhere = build_estimator(parameters, "meta")
    assert {parameter.device.type for parameter in elsewhere._network.parameters()} == {"meta"}
    with pytest.raises(UserError, match="not those of RAFT 'large'"):
        build_estimator(parameters.model_copy(update={"preset": "large"}))


def test_raft_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UserError, match="cannot be downloaded") as caught:
        build_estimator(MotionParameters(estimator="raft"))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="are missing"):
        build_estimator(MotionParameters(estimator="raft", weights=str(tmp_path / "none.pth")))
    (tmp_path / "bad.pth").write_bytes(b"not tensors")
    with pytest.raises(UserError, match="cannot be read"):
        build_estimator(MotionParameters(estimator="raft", weights=str(tmp_path / "bad.pth")))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"estimator": "diss"}, "did you mean 'dis'"),
        ({"estimator": "dis", "preset": "mediun"}, "did you mean 'medium'"),
        ({"estimator": "farneback", "preset": "fast"}, "unknown preset of motion estimator 'farneback'"),
        ({"estimator": "dis", "weights": "raft.pth"}, "has no weights"),
        ({"spans": (0, 1)}, "spans"),
        ({"spans": ()}, "spans"),
        ({"spans": (1, 1)}, "spans"),
    ],
)
def test_wrong_parameters(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MotionParameters(**wrong)


def test_defaults() -> None:
    assert MotionParameters().chosen_preset == "medium"
    assert MotionParameters(estimator="farneback").chosen_preset is None


def test_every_estimator_has_presets_and_every_preset_an_estimator() -> None:
    assert set(PRESETS) == {*ESTIMATORS, "exact", "archive"}
    with pytest.raises(UserError, match="not estimated from frames"):
        build_estimator(MotionParameters(estimator="exact"))
