"""Motion estimators: two frames in, the optical flow from the first to the second out."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from crossfade.errors import UserError
from crossfade.motion.parameters import MotionParameters

SMALLEST_FRAME = 16
"""Pixels a side below which no estimator here finds anything."""


class Estimator(ABC):
    """Finds motion between two frames. Built in the process that uses it; holds no state between calls."""

    @abstractmethod
    def __init__(self, parameters: MotionParameters, device: torch.device | str) -> None: ...

    @abstractmethod
    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The motion first→second.

        Args:
            first: (H, W, 3) uint8 RGB.
            second: (H, W, 3) uint8 RGB, of the same size.

        Returns:
            (2, H, W) float32, pixels of the first frame's grid: x to the right, y down.
        """


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if min(frame.shape[:2]) < SMALLEST_FRAME:
        raise UserError(
            f"frames of {frame.shape[1]}x{frame.shape[0]} are too small to find motion in: at least {SMALLEST_FRAME} "
            "pixels a side are needed"
        )
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


@final
class Dis(Estimator):
    """Dense inverse search (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016), of OpenCV."""

    PRESETS = {  # noqa: RUF012
        "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
        "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
        "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    }

    def __init__(self, parameters: MotionParameters, device: torch.device | str) -> None:
        del device
        self._dis = cv2.DISOpticalFlow.create(self.PRESETS[str(parameters.chosen_preset)])

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Estimator.estimate`."""
        flow: Any = None
        return np.ascontiguousarray(self._dis.calc(_grey(first), _grey(second), flow).transpose(2, 0, 1), np.float32)


@final
class Farneback(Estimator):
    """Polynomial expansion (Farnebäck, "Two-frame motion estimation based on polynomial expansion", SCIA 2003)."""

    LEVELS, WINDOW, ITERATIONS, NEIGHBOURHOOD, SIGMA = 5, 15, 3, 7, 1.5

    def __init__(self, parameters: MotionParameters, device: torch.device | str) -> None:
        del parameters, device  # it has no presets

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Estimator.estimate`."""
        start: Any = None
        flow = cv2.calcOpticalFlowFarneback(
            _grey(first),
            _grey(second),
            start,
            0.5,
            self.LEVELS,
            self.WINDOW,
            self.ITERATIONS,
            self.NEIGHBOURHOOD,
            self.SIGMA,
            0,
        )
        return np.ascontiguousarray(flow.transpose(2, 0, 1), np.float32)


@final
class Raft(Estimator):
    """RAFT (Teed, Deng, ECCV 2020) of torchvision, with weights of the user or torchvision's own download.

    Raises:
        UserError: there are no weights, or they are not of this network.
    """

    STRIDE, SMALLEST = 8, 128

    def __init__(self, parameters: MotionParameters, device: torch.device | str) -> None:
        from torchvision.models import optical_flow

        large = parameters.chosen_preset == "large"
        self._device = device
        network = (optical_flow.raft_large if large else optical_flow.raft_small)(weights=None, progress=False)
        download = (optical_flow.Raft_Large_Weights if large else optical_flow.Raft_Small_Weights).DEFAULT
        state = _raft_weights(parameters.weights, download)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(
                f"the weights {parameters.weights} are not those of RAFT '{parameters.chosen_preset}': give the "
                "file of that network or choose the other preset"
            ) from error
        self._network = network.eval().to(self._device)

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Estimator.estimate`."""
        height, width = first.shape[:2]
        down, right = self._padding(height), self._padding(width)
        pair = torch.from_numpy(np.stack([first, second])).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        pair = F.pad(pair, (0, right, 0, down), mode="replicate")
        with torch.inference_mode():
            flow = self._network(pair[:1], pair[1:])[-1]
        return np.ascontiguousarray(flow[0, :, :height, :width].cpu().numpy(), np.float32)

    def _padding(self, length: int) -> int:
        return max(-length % self.STRIDE, self.SMALLEST - length)


def _raft_weights(file: str | None, download: Any) -> dict[str, torch.Tensor]:
    """The state dict of a user's file, or torchvision's own (kept in torch's cache folder)."""
    if file is None:
        try:
            return dict(download.get_state_dict(progress=False, check_hash=True))
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"RAFT's weights cannot be downloaded ({error}): give a file with the key 'weights' of this data set's "
                "motion, or choose the estimator 'dis', which needs none"
            ) from error
    if not Path(file).is_file():
        raise UserError(f"RAFT's weights {file} are missing: mend the key 'weights' of this data set's motion")
    try:
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a file that holds no tensors
        raise UserError(
            f"RAFT's weights {file} cannot be read ({type(error).__name__}): fetch the file again"
        ) from error


ESTIMATORS: dict[str, type[Estimator]] = {"dis": Dis, "farneback": Farneback, "raft": Raft}
"""Estimators that look at frames; "exact" copies the truth (`estimate.py`), "archive" files (`published.py`)."""


def build_estimator(parameters: MotionParameters, device: torch.device | str = "cpu") -> Estimator:
    """The estimator that the parameters name, on `device` if it is a network.

    Raises:
        UserError: it is "exact" or "archive", which look at no frame, or its weights are missing.
    """
    if parameters.estimator not in ESTIMATORS:
        raise UserError(
            f"motion '{parameters.estimator}' is not estimated from frames: choose one of {', '.join(ESTIMATORS)}"
        )
    return ESTIMATORS[parameters.estimator](parameters, device)
