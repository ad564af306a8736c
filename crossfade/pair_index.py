"""The index of a pair: all checks that need no training, and the hashes later stages depend on."""

from typing import Any

from crossfade.data.checks import check_files, check_length, check_motion, check_videos, count_classes
from crossfade.data.labels import FOLDER, LabelSpace, load_label_space
from crossfade.data.manifest import UNLABELLED, Manifest
from crossfade.data.manifest_files import read_about
from crossfade.errors import UserError
from crossfade.experiment import SOURCE, TARGET, Place
from crossfade.files import atomic_folder, read_json, sha256, write_json
from crossfade.params import Pair

FRAMES = 2
"""The shortest video that a two-frame network can be trained on."""


def index_pair(place: Place, name: str, pair: Pair) -> list[str]:
    """Check both sides and write pairs/<name>/source.json and target.json.

    Only the *source's* labels are counted; the target's are checked for ids outside the table, and nothing
    about them is written down.

    Returns:
        What there is to say, a line each.

    Raises:
        UserError: the first thing that is wrong.
    """
    space = load_label_space(pair.label_space)
    source, counts = _side(place, pair.source, (pair.source_split,), space, count=True)
    target, _ = _side(place, pair.target, tuple(dict.fromkeys((*pair.adapt_on, pair.evaluate_on))), space, count=False)
    _check_apart(place, pair)
    absent = [c for c, n in zip(space.classes, counts, strict=True) if n == 0]
    if len(absent) == len(space.classes):
        raise UserError(f"no pixel of '{pair.source}' is of a class of '{space.name}': the label spaces do not meet")
    lines = [f"{name}: the source shows no {', '.join(absent)}: they cannot be learned"] if absent else []
    ids = Manifest.load(place.data(pair.target)).labels
    if ids != UNLABELLED:
        space.table(ids)  # refuses ids that do not meet the label space
    for side in (source, target):
        side["label_space_hash"] = sha256(FOLDER / f"{pair.label_space}.json")
    source["class_pixels"] = {c: int(n) for c, n in zip(space.classes, counts, strict=True)}
    with atomic_folder(place.side(name, SOURCE).parent) as temporary:
        write_json(temporary / f"{SOURCE}.json", source)
        write_json(temporary / f"{TARGET}.json", target)
    return [*lines, f"{name}: {pair.source} → {pair.target} checked, {len(space.classes)} classes ({space.name})"]


def _check_apart(place: Place, pair: Pair) -> None:
    """No frame whose label is scored is one whose label may be trained on: the source's, or the oracle's.

    Raises:
        UserError: splits of different names share such a frame.
    """
    scored = _labels(place, pair.target, (pair.evaluate_on,))
    others = tuple(split for split in pair.adapt_on if split != pair.evaluate_on)
    for data_set, splits in ((pair.source, (pair.source_split,)), (pair.target, others)):
        shared = sorted(scored & _labels(place, data_set, splits))
        if shared:
            raise UserError(
                f"{len(shared)} labels of {pair.target}'s split '{pair.evaluate_on}', which is scored, are in "
                f"{data_set}'s '{'+'.join(splits)}' too ({shared[0]}) and would be trained on: make splits that share "
                "no frame"
            )


def _labels(place: Place, data_set: str, splits: tuple[str, ...]) -> set[str]:
    """Where the labels of the named splits lie."""
    if not splits:
        return set()
    manifest = Manifest.load(place.data(data_set))
    frames = (frame for video in manifest.split(*splits) for frame in video.frames)
    return {str(manifest.root.resolve() / frame.label) for frame in frames if frame.label is not None}


def _side(
    place: Place, data_set: str, splits: tuple[str, ...], space: LabelSpace, count: bool
) -> tuple[dict[str, Any], list[int]]:
    manifest = Manifest.load(place.data(data_set))
    motion = place.motion(data_set)
    check_files(manifest)
    check_length(manifest, splits, FRAMES)
    check_videos(manifest, splits)
    counts = count_classes(manifest, splits, space)
    check_motion(manifest, splits, motion)
    index = {
        "data_set": data_set,
        "data": str(place.data(data_set).relative_to(place.root)),
        "motion": str(motion.relative_to(place.root)),
        "data_hash": read_about(place.data(data_set))["content"],
        "motion_hash": sha256(motion / "index.json"),
        "estimator": read_json(motion / "index.json")["estimator"],
        "splits": {s: sum(len(v.frames) for v in manifest.split(s)) for s in splits},
    }
    return index, counts.tolist() if count else []
