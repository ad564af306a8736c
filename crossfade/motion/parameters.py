"""What a user chooses about motion: one entry of `motion:` in params.yaml."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crossfade.errors import UserError, unknown_name
from crossfade.motion import validity

PRESETS: dict[str, tuple[str, ...]] = {
    "exact": (),
    "dis": ("medium", "fast", "ultrafast"),
    "farneback": (),
    "raft": ("small", "large"),
}
"""The presets of each estimator; the first is the default."""


class MotionParameters(BaseModel):
    """How the motion of a data set is found.

    Attributes:
        estimator: "exact" copies the renderer's truth; the others look at the frames.
        preset: one of `PRESETS[estimator]`; none takes the first.
        weights: RAFT only: a state-dict file; none lets torchvision download its own once.
        spans: motion is found between frames i and i - s, both ways, for each span s.
        max_gap: frames further apart than this, in seconds, are no neighbours.
        relative_tolerance, absolute_tolerance: of the forward-backward check (`validity.py`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    estimator: str = "dis"
    preset: str | None = None
    weights: str | None = None
    spans: tuple[int, ...] = (1, 2)
    max_gap: float = Field(default=0.25, gt=0)
    relative_tolerance: float = Field(default=validity.RELATIVE, ge=0)
    absolute_tolerance: float = Field(default=validity.ABSOLUTE, ge=0)

    @model_validator(mode="after")
    def _known(self) -> "MotionParameters":
        if self.estimator not in PRESETS:
            raise unknown_name("motion estimator", self.estimator, PRESETS)
        if self.preset is not None and self.preset not in PRESETS[self.estimator]:
            raise unknown_name(f"preset of motion estimator '{self.estimator}'", self.preset, PRESETS[self.estimator])
        if self.weights is not None and self.estimator != "raft":
            raise UserError(f"motion estimator '{self.estimator}' has no weights: leave out the key 'weights'")
        if not self.spans or min(self.spans) < 1 or len(set(self.spans)) != len(self.spans):
            raise UserError(f"the motion spans {list(self.spans)} must be different whole numbers from 1 up")
        return self

    @property
    def chosen_preset(self) -> str | None:
        """The preset asked for, or the estimator's first."""
        return self.preset or next(iter(PRESETS[self.estimator]), None)
