"""What a user chooses about motion: one entry of `motion:` in params.yaml."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from crossfade.errors import UserError, unknown_name
from crossfade.motion import validity
from crossfade.motion.formats import READERS

PRESETS: dict[str, tuple[str, ...]] = {
    "exact": (),
    "dis": ("medium", "fast", "ultrafast"),
    "farneback": (),
    "raft": ("small", "large"),
    "archive": (),
}
"""The presets of each estimator; the first is the default."""


Folders = Annotated[
    tuple[Path, ...] | None, Field(min_length=1), BeforeValidator(lambda v: (v,) if isinstance(v, str | Path) else v)
]
"""Several folders, or one."""


class MotionParameters(BaseModel):
    """How the motion of a data set is found.

    Attributes:
        estimator: "exact" copies the renderer's truth; "archive" takes published files; the others look at the frames.
        preset: one of `PRESETS[estimator]`; none takes the first.
        weights: RAFT only: a state-dict file; none lets torchvision download its own once.
        spans: motion is found between frames i and i - s, both ways, for each span s.
        max_gap: frames further apart than this, in seconds, are no neighbours.
        relative_tolerance, absolute_tolerance: of the forward-backward check (`validity.py`).
        kind: archive only: the form of its files, a key of `formats.READERS`.
        root: archive only: the folder of the motion from each frame to an earlier one, or several, searched in order.
        ahead: archive only: likewise of the motion from the earlier frame to the later, where `root` has it not.
        names: archive only: how its files are called, where no published way fits (`archive_names.py`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    estimator: str = "dis"
    preset: str | None = None
    weights: str | None = None
    spans: tuple[int, ...] = (1, 2)
    max_gap: float = Field(default=0.25, gt=0)
    relative_tolerance: float = Field(default=validity.RELATIVE, ge=0)
    absolute_tolerance: float = Field(default=validity.ABSOLUTE, ge=0)
    kind: str | None = None
    root: Folders = None
    ahead: Folders = None
    names: str | None = None

    @model_validator(mode="after")
    def _known(self) -> "MotionParameters":
        if self.estimator not in PRESETS:
            raise unknown_name("motion estimator", self.estimator, PRESETS)
        if self.preset is not None and self.preset not in PRESETS[self.estimator]:
            raise unknown_name(f"preset of motion estimator '{self.estimator}'", self.preset, PRESETS[self.estimator])
        if self.weights is not None and self.estimator != "raft":
            raise UserError(f"motion estimator '{self.estimator}' has no weights: leave out the key 'weights'")
        self._check_archive()
        if not self.spans or min(self.spans) < 1 or len(set(self.spans)) != len(self.spans):
            raise UserError(f"the motion spans {list(self.spans)} must be different whole numbers from 1 up")
        return self

    def _check_archive(self) -> None:
        given = [key for key in ("kind", "root", "ahead", "names") if vars(self)[key] is not None]
        if self.estimator != "archive":
            if given:
                raise UserError(
                    f"motion estimator '{self.estimator}' has no {', '.join(given)}: leave it out, or choose 'archive'"
                )
        elif self.kind is None or self.root is None:
            raise UserError(f"motion estimator 'archive' needs 'kind' ({', '.join(READERS)}) and 'root' (folders)")
        elif self.kind not in READERS:
            raise unknown_name("kind of motion archive", self.kind, READERS)

    @property
    def chosen_preset(self) -> str | None:
        """The preset asked for, or the estimator's first."""
        return self.preset or next(iter(PRESETS[self.estimator]), None)
