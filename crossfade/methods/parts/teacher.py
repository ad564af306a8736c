"""The EMA teacher (Mean Teacher, Tarvainen & Valpola, NeurIPS 2017) and its batch-norm statistics.

Whose statistics should a network have that is run on the target? Those of the target under its present weights. The
student's running ones mix source and mixed batches and would pull an averaged teacher back towards the source (in the
pilot, starting from target statistics alone was worth six points). So by default the statistics start as the target's,
follow the clean target frames that the teacher labels (in eval mode), and are estimated once more at the end.
"""

import copy
from abc import ABC
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Method
from crossfade.methods.parts.batch_norm import (
    batch_norms,
    copy_statistics,
    following_statistics,
    statistics_of,
)
from crossfade.methods.parts.unroll import estimate_between, needs_of, run
from crossfade.motion.field import Motion

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class TeacherParameters(BaseModel):
    """Parameters of the EMA teacher.

    Attributes:
        decay: of the moving average of the weights.
        statistics: batch-norm statistics of the teacher: "target": they follow the clean target frames it labels;
            "student": moving average of the student's; "fixed": those it started with.
        statistics_momentum: how fast they follow the target.
        start_from_target_statistics: before step 0, estimate the statistics of student and teacher on the target.
        final_target_statistics: after the last step, estimate the deployed network's on the target.
        statistics_batches: batches of target frames for either estimate.
        source_share: share of the source's statistics in all of these, see `blend_statistics`; 0: the target's alone,
            which are poorly known where its frames are few or look alike.
        deploy: which network is saved and evaluated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decay: float = Field(default=0.99, ge=0.0, le=1.0)
    statistics: Literal["target", "student", "fixed"] = "target"
    statistics_momentum: float = Field(default=0.05, gt=0.0, le=1.0)
    start_from_target_statistics: bool = True
    final_target_statistics: bool = True
    statistics_batches: PositiveInt = 60
    source_share: float = Field(default=0.5, ge=0.0, lt=1.0)
    deploy: Literal["teacher", "student"] = "teacher"


def frozen_copy(network: NetworkT) -> NetworkT:
    """A copy in eval mode whose parameters take no gradient."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update_ema(teacher: nn.Module, student: nn.Module, decay: float, buffers: bool) -> None:
    """θ' ← decay·θ' + (1 − decay)·θ over parameters and, if `buffers`, over floating-point buffers as well.

    Args:
        teacher, student: networks of the same structure.
        decay: in [0, 1].
        buffers: average the batch-norm statistics too; False leaves the teacher's alone.
    """
    mine: list[Tensor] = list(teacher.parameters())
    theirs: list[Tensor] = list(student.parameters())
    if buffers:
        mine += [b for b in teacher.buffers() if b.is_floating_point()]
        theirs += [b for b in student.buffers() if b.is_floating_point()]
    torch._foreach_lerp_([p.data for p in mine], [p.data for p in theirs], 1.0 - decay)


class Teacher:
    """An EMA copy of a video network."""

    def __init__(self, parameters: TeacherParameters, student: "VideoNetwork") -> None:
        self.parameters = parameters
        self.network = frozen_copy(student)
        self.origin = statistics_of(student) if parameters.source_share > 0 else None

    def start(self, student: "VideoNetwork", target: Iterable[Clip]) -> None:
        """Give student and teacher the statistics of the target, if asked and if the network keeps any."""
        p = self.parameters
        if p.start_from_target_statistics and batch_norms(student):
            estimate_between(student, target, p.statistics_batches, p.source_share)
            copy_statistics(self.network, student)

    def following(self) -> AbstractContextManager[None]:
        """The context in which the teacher labels: its statistics follow what it sees, if asked."""
        p = self.parameters
        if p.statistics == "target":
            return following_statistics(self.network, p.statistics_momentum, self.origin, p.source_share)
        return nullcontext()

    @torch.no_grad()
    def predict(self, frames: Tensor, motion: dict[tuple[int, int], Motion]) -> Tensor:
        """Probabilities (B, K, H, W) of "now" at the frames' size."""
        with self.following():
            output = run(self.network, frames, motion)
        return self.network.enlarged(output.logits.float(), (frames.shape[-2], frames.shape[-1])).softmax(1)

    def update(self, student: "VideoNetwork") -> None:
        """Move towards the student."""
        update_ema(self.network, student, self.parameters.decay, buffers=self.parameters.statistics == "student")

    def finish(self, student: "VideoNetwork", target: Iterable[Clip], source: Iterable[Clip] | None = None) -> None:
        """Estimate the deployed network's statistics on the target, if asked; with `source_share` on the source too."""
        p = self.parameters
        if p.final_target_statistics and batch_norms(student):
            assert source is not None or p.source_share == 0  # what the network has by now is not the source's
            estimate_between(self.deployed(student), target, p.statistics_batches, p.source_share, source)

    def deployed(self, student: "VideoNetwork") -> "VideoNetwork":
        """The network that is saved and evaluated."""
        return self.network if self.parameters.deploy == "teacher" else student


class TaughtMethod(Method, ABC):
    """A method with an EMA teacher: what happens to the teacher around a step, and what it keeps for a resumed run."""

    def __init__(self, teacher: TeacherParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(network, class_names)
        self.teacher = Teacher(teacher, network)

    @property
    def source_needs(self) -> ClipNeeds | None:
        """As many frames as the network reads, labelled."""
        return needs_of(self.network, labels=True)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """As many frames as the network reads, without labels."""
        return needs_of(self.network, labels=False)

    def prepare(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Start from the batch-norm statistics of the target, if asked."""
        assert target is not None
        self.teacher.start(self.network, target)

    def after_step(self, step: int) -> None:
        """Move the teacher towards the student."""
        self.teacher.update(self.network)

    def finish(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Estimate the deployed network's statistics on the target, if asked."""
        assert target is not None
        self.teacher.finish(self.network, target, source)

    def state_dict(self) -> dict[str, Any]:
        """The teacher."""
        return {"teacher": self.teacher.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the teacher."""
        self.teacher.network.load_state_dict(state["teacher"])

    def deployed(self) -> "VideoNetwork":
        """The teacher or the student."""
        return self.teacher.deployed(self.network)

    @property
    def rule(self) -> str:
        """Last step, teacher or student."""
        return f"last step, {self.teacher.parameters.deploy}"
