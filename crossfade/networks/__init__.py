"""Per-frame networks by name."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from crossfade.errors import UserError, unknown_name
from crossfade.networks.arguments import argument_names, checked_arguments
from crossfade.networks.base import FrameNetwork
from crossfade.networks.correction import Correction
from crossfade.networks.daformer import DAFormer
from crossfade.networks.deeplab import DeepLab
from crossfade.networks.deeplab_v2 import DeepLabV2
from crossfade.networks.fcn import FCN
from crossfade.networks.hrda import HRDA
from crossfade.networks.psp import PSPNet
from crossfade.networks.segformer import SegFormer
from crossfade.networks.xception_deeplab import XceptionDeepLab

FRAME_NETWORKS: dict[str, Callable[..., FrameNetwork]] = {
    "deeplab": DeepLab,
    "deeplab_v2": DeepLabV2,
    "deeplab_xception": XceptionDeepLab,
    "psp": PSPNet,
    "correction": Correction,
    "segformer": SegFormer,
    "daformer": DAFormer,
    "fcn": FCN,
    "hrda": HRDA,
}


class NetworkParameters(BaseModel):
    """A section of `networks` in params.yaml: `kind` names the class, everything else is that class's arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    @property
    def arguments(self) -> dict[str, Any]:
        """All but `kind`."""
        return dict(self.model_extra or {})

    def untrained(self) -> "NetworkParameters":
        """The same without pretrained weights."""
        if self.kind not in FRAME_NETWORKS or "pretrained" not in argument_names(FRAME_NETWORKS[self.kind], 1):
            return self
        return self.model_validate({**self.model_dump(), "pretrained": False})


def build_frame_network(parameters: NetworkParameters, num_classes: int) -> FrameNetwork:
    """Build a per-frame network, with its pretrained encoder if the parameters say so.

    Raises:
        UserError: unknown kind, an argument that kind does not have, or a value that is not allowed.
    """
    if parameters.kind not in FRAME_NETWORKS:
        raise unknown_name("network kind", parameters.kind, FRAME_NETWORKS)
    build = FRAME_NETWORKS[parameters.kind]
    try:
        arguments = checked_arguments(build, 1, parameters.arguments)
    except UserError as error:
        raise UserError(f"network kind '{parameters.kind}' in params.yaml: {error}") from error
    return build(num_classes, **arguments)
