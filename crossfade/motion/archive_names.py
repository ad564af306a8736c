"""What others call the files of the motion they publish: which file belongs to which pair of frames.

The names are built from the numbers in a frame's name, never by replacing text in it: in aachen_000019_000019 the
sequence and the frame have one number, and replacing both leads to the motion of another sequence (as in TPS).
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from crossfade.errors import UserError
from crossfade.motion.parameters import MotionParameters

_FRAME = re.compile(r"(?P<sequence>.*?)_?(?P<number>\d+)(?P<kind>_leftImg8bit)?$")
TENTHS = {
    "Cityscapes": "{sequence}_{t:06d}_{s:06d}_int16_x10.npy",
    "VIPER": "{sequence}_{t:05d}{s:05d}_int16_x10.npy",
    "SYNTHIA": "{t:06d}_int16_x10.npy",
}
"""Names of TPS and STCL, by the data set whose frames are named so: all in one folder."""
BESIDE = {"kitti": ("{folder}/{stem}.png", "{stem}.png"), "flo": ("{folder}/{stem}.flo", "{stem}.flo")}
"""Names of the other kinds: those of the frames the motion lives on (UnifiedVideoDA), the last folder too or not."""


@dataclass(frozen=True)
class FrameName:
    """What a frame's file name says.

    Attributes:
        folder: the last folder it lies in.
        stem: the name without its ending.
        sequence: what stands before its number ("aachen_000019", "001", "").
        number: its own.
        family: whose way of naming this is, a key of `TENTHS`.
    """

    folder: str
    stem: str
    sequence: str
    number: int
    family: str

    @staticmethod
    def parse(ref: str) -> "FrameName":
        """Read the name of a frame.

        Raises:
            UserError: it does not end in a number.
        """
        path = PurePosixPath(ref.replace("!", "/"))
        match = _FRAME.fullmatch(path.stem)
        if match is None:
            raise UserError(f"the frame {ref} does not end in a number, so no published motion can be found for it")
        family = "Cityscapes" if match["kind"] else "VIPER" if match["sequence"] else "SYNTHIA"
        return FrameName(path.parent.name, path.stem, match["sequence"], int(match["number"]), family)


def templates(parameters: MotionParameters, family: str) -> tuple[str, ...]:
    """How the files may be called, best first."""
    if parameters.names is not None:
        return (parameters.names,)
    return (TENTHS[family],) if parameters.kind == "int16x10" else BESIDE[str(parameters.kind)]


def tells_both(parameters: MotionParameters, ref: str) -> bool:
    """Whether a file's name tells the frame its motion leads to, and not only the one it lives on."""
    return all(re.search(r"\{s[:}]", template) for template in templates(parameters, FrameName.parse(ref).family))


def candidates(parameters: MotionParameters, i: str, j: str, backward: bool) -> list[Path]:
    """Where the motion from frame `i` to frame `j` may be, best first; nowhere if the archive has no such direction.

    Args:
        parameters: of an archive.
        i: ref of the frame whose grid it lives on.
        j: ref of the frame it points into.
        backward: whether `j` is the earlier one.

    Raises:
        UserError: the names do not tell the second frame and there is more than one span; `names` is no pattern.
    """
    first, second = FrameName.parse(i), FrameName.parse(j)
    both = tells_both(parameters, i)
    if len(parameters.spans) > 1 and not both:
        raise UserError(
            f"files named {templates(parameters, first.family)[0]} do not tell which frame their motion leads to, so "
            f"they are of one span only: set spans: [{min(parameters.spans)}], or give 'names' with {{s}}"
        )
    folders = parameters.root if backward or (both and parameters.ahead is None) else parameters.ahead
    if folders is None:
        return []
    known = {"folder": first.folder, "stem": first.stem, "sequence": first.sequence}
    try:
        names = [t.format(**known, t=first.number, s=second.number) for t in templates(parameters, first.family)]
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"the motion's 'names' {parameters.names!r} is no pattern ({error}): it may hold {{folder}}, {{stem}}, "
            "{sequence}, {t} and {s}, numbers as {t:06d}"
        ) from error
    return [folder.expanduser() / name for folder in folders for name in names]


def find(parameters: MotionParameters, i: str, j: str, backward: bool) -> Path | None:
    """The file of the motion from frame `i` to frame `j`, None if there is none. Arguments as in `candidates`."""
    return next((path for path in candidates(parameters, i, j, backward) if path.is_file()), None)
