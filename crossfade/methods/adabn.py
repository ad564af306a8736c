"""AdaBN (Li et al., 2016): the batch-norm statistics of the target, nothing else. What costs nothing must be beaten."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.parts.unroll import estimate_between, statistics_needs

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork


class AdaBNParameters(BaseModel):
    """Parameters of `adabn`.

    Attributes:
        statistics_batches: how many batches of target frames the statistics are averaged over.
        source_share: share of the source's statistics that is kept, see `blend_statistics`; 0 as in the paper.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    statistics_batches: PositiveInt = 60
    source_share: float = Field(default=0.0, ge=0.0, lt=1.0)


class AdaBN(Method):
    """Re-estimates the statistics on the target; there is nothing to train."""

    trains: ClassVar[bool] = False

    def __init__(self, parameters: AdaBNParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(network, class_names)
        self.parameters = parameters

    @property
    def source_needs(self) -> ClipNeeds | None:
        """Nothing."""
        return None

    @property
    def target_needs(self) -> ClipNeeds | None:
        """What the network has to see for its statistics, without labels."""
        return statistics_needs(self.network)

    def prepare(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Average the statistics over `statistics_batches` target batches.

        Raises:
            UserError: the network has no batch norm.
        """
        assert target is not None
        estimate_between(self.network, target, self.parameters.statistics_batches, self.parameters.source_share)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """Never called: `trains` is False."""
        raise RuntimeError("adabn has no training steps")

    @property
    def rule(self) -> str:
        """No training, hence no checkpoint to choose."""
        return "no training"
