"""`crossfade doctor`: everything that is wrong with a pair's data and recipes, found before a GPU is touched.

The index stage stops at the first problem; this collects them all, looks at what no rule can forbid (motion of the
wrong direction or scale, frames without neighbours, classes that are never shown), builds every network and recipe,
and draws a sheet to look at. The target's labels are only checked for ids outside their table; nothing about them is
counted or told.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from crossfade import visualise
from crossfade.data.checks import (
    check_files,
    check_length,
    check_motion,
    check_times,
    check_videos,
    count_classes,
    motion_file,
)
from crossfade.data.labels import LabelSpace, load_label_space
from crossfade.data.loading import STRETCHED, Domain, stretch
from crossfade.data.manifest import UNLABELLED, Manifest, Video
from crossfade.errors import UserError, unknown_name
from crossfade.experiment import SOURCE, TARGET, Place
from crossfade.files import atomic_path
from crossfade.motion.field import Motion
from crossfade.motion.store import MotionArchive
from crossfade.motion.suspicion import suspicion
from crossfade.motion.warp import warp
from crossfade.pair_index import FRAMES
from crossfade.params import Params
from crossfade.rehearsal import rehearse

SHOWN = 3
"""Findings of one kind that are told in full."""

SHEET_HEIGHT = 150
"""Pixels of one picture of the sheet."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong ("error": the graph would stop or learn nonsense) or should be known ("warning")."""

    kind: str
    severity: Literal["error", "warning"]
    sentence: str


@dataclass
class Report:
    """What an examination found.

    Attributes:
        findings: in the order of the checks.
        looked_at: lines that say what was examined.
        rows: pictures of a few clips, each a strip.
    """

    findings: list[Finding] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)

    def add(self, kind: str, sentence: str, severity: Literal["error", "warning"] = "error") -> None:
        """Note something."""
        self.findings.append(Finding(kind, severity, sentence))

    def attempt(self, kind: str, check: Callable[..., object], *arguments: object) -> bool:
        """Run a check whose failure is a sentence for the user; returns whether it passed."""
        try:
            check(*arguments)
        except UserError as error:
            self.add(kind, str(error))
            return False
        return True

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """Every kind's first few findings, and how many more there are."""
        yield from self.looked_at
        told: Counter[str] = Counter()
        for finding in self.findings:
            told[finding.kind] += 1
            if told[finding.kind] <= SHOWN:
                yield f"{finding.severity}: {finding.sentence}"
        for kind, count in told.items():
            if count > SHOWN:
                yield f"… and {count - SHOWN} more of the kind '{kind}'"

    def sheet(self) -> np.ndarray | None:
        """The rows under one another, (H, W, 3) uint8."""
        if not self.rows:
            return None
        width = max(row.shape[1] for row in self.rows)
        padded = [np.pad(r, ((0, 6), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in self.rows]
        return np.concatenate(padded)


def examine(place: Place, params: Params, pair_name: str, sample: int | None = 200, clips: int = 3) -> Report:
    """Examine both sides of a pair, and what is to be trained on them.

    Args:
        place: where data and motion lie.
        params: params.yaml.
        pair_name: which pair.
        sample: frames of each side that are decoded, evenly spread; None = all.
        clips: clips of each side that are drawn.

    Raises:
        UserError: there is no such pair.
    """
    if pair_name not in params.pairs:
        raise unknown_name("pair", pair_name, params.pairs)
    pair = params.pairs[pair_name]
    report = Report()
    space = load_label_space(pair.label_space)
    sides = [
        (SOURCE, pair.source, (pair.source_split,), (pair.source_split,)),
        (TARGET, pair.target, pair.adapt_on, tuple(dict.fromkeys((*pair.adapt_on, pair.evaluate_on)))),
    ]
    whole: dict[str, Domain] = {}
    for side, name, trained_on, splits in sides:
        labelled = side == SOURCE
        before = report.errors
        try:
            manifest = Manifest.load(place.data(name))
            manifest.split(*splits)
        except UserError as error:
            report.add("data", str(error))
            continue
        _examine_shape(report, manifest, splits, pair.size)
        _examine_side(report, manifest, splits, space, place.motion(name), labelled, sample)
        if report.errors == before:
            gap = params.motion[name].max_gap
            _examine_time(report, manifest, splits, gap)
            shown = space if labelled else None
            report.attempt("picture", _draw, report, manifest, splits, shown, place.motion(name), clips)
            whole[side] = Domain(manifest, place.motion(name), space, pair.size, trained_on)
    for sentence in rehearse(params, pair_name, whole):
        report.add("recipe", sentence)
    report.looked_at.append(f"tried: {len(params.networks)} networks, {len(params.recipe_names)} recipes")
    return report


def _examine_shape(report: Report, manifest: Manifest, splits: tuple[str, ...], size: tuple[int, int]) -> None:
    """Whether frames keep their shape at the pair's size."""
    height, width = size
    for rows, columns in sorted({video.size for video in manifest.split(*splits)}):
        factor = stretch((rows, columns), size)
        if factor > STRETCHED:
            report.add(
                "shape",
                f"frames of {manifest.data_set} are {columns} pixels wide and {rows} high, brought to {width} by "
                f"{height}: their shape changes by a factor of {factor:.1f} (a pair's `size` is "
                "[height, width])",
                "warning",
            )


def _examine_side(
    report: Report,
    manifest: Manifest,
    splits: tuple[str, ...],
    space: LabelSpace,
    motion: Path,
    labelled: bool,
    sample: int | None,
) -> None:
    """Files, lengths, pictures, labels, motion."""
    name, videos = manifest.data_set, manifest.split(*splits)
    frames = sum(len(video.frames) for video in videos)
    for file, known in (manifest.files or {}).items():
        report.attempt("file", check_files, replace(manifest, files={file: known}))
    for video in videos:
        one = replace(manifest, videos=(video,))
        report.attempt("time", check_times, manifest, video)
        report.attempt("length", check_length, one, (video.split,), FRAMES)
        report.attempt("motion", check_motion, one, (video.split,), motion)
    counts = np.zeros(len(space.classes), np.int64)
    looked = _evenly([(video, k) for video in videos for k in range(len(video.frames))], sample)
    for video, k in looked:
        one = replace(manifest, videos=(replace(video, frames=(video.frames[k],)),))
        if report.attempt("picture", check_videos, one, (video.split,)):
            try:
                counts += count_classes(one, (video.split,), space)
            except UserError as error:
                report.add("label", str(error))
    report.looked_at.append(
        f"{name}: {len(videos)} videos, {frames} frames ({'+'.join(splits)}); {len(looked)} of them decoded"
    )
    if labelled and manifest.labels == UNLABELLED:
        report.add("label", f"the source '{name}' has no labels: choose another source for the pair")
    elif labelled:
        absent = [c for c, n in zip(space.classes, counts.tolist(), strict=True) if n == 0]
        if len(absent) == len(space.classes):
            report.add("class", f"no pixel of '{name}' is of a class of '{space.name}': the label spaces do not meet")
        elif absent:
            sentence = f"the {len(looked)} frames of '{name}' that were looked at show no {', '.join(absent)}"
            report.add("class", f"{sentence}: what the whole source never shows cannot be learned from it", "warning")


def _examine_time(report: Report, manifest: Manifest, splits: tuple[str, ...], max_gap: float) -> None:
    """How many frames have no neighbour that motion leads to."""
    videos = manifest.split(*splits)
    alone = total = 0
    for video in videos:
        near = [b.time - a.time <= max_gap + 1e-6 for a, b in pairwise(video.frames)]
        alone += sum(not (left or right) for left, right in zip([False, *near], [*near, False], strict=True))
        total += len(video.frames)
    if alone:
        report.add(
            "time",
            f"{alone} of {total} frames of '{manifest.data_set}' have no neighbour within {max_gap} s (max_gap): they "
            "are used as single frames, without motion",
            "warning",
        )


def _draw(
    report: Report, manifest: Manifest, splits: tuple[str, ...], space: LabelSpace | None, motion: Path, clips: int
) -> None:
    """Draw a few clips, and hold their motion against what else it could be."""
    moving = []
    for video in manifest.split(*splits):
        with MotionArchive(motion_file(motion, video)) as archive:
            moving += [(video, i) for i, j in sorted(archive.pairs) if i - j == 1]
    for video, i in _evenly(moving, clips):
        j = i - 1
        with MotionArchive(motion_file(motion, video)) as archive:
            flow, valid = archive.read(i, j)
        now, before = manifest.image(video.frames[i].image), manifest.image(video.frames[j].image)
        moved = Motion(torch.from_numpy(flow)[None], torch.from_numpy(valid)[None, None]).resized(video.size)
        where = f"{manifest.data_set} {video.split}/{video.name} {i} to {j}"
        suspected = suspicion(now, before, moved)
        if suspected:
            report.add(
                "direction",
                f"the motion of {where} does not bring frame {j} onto frame {i}; {suspected} would fit better: run the "
                f"motion stage again, or check where the files come from",
            )
        report.rows.append(_row(where, now, before, moved, _painted(manifest, video, i, now, space)))


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()


def _painted(manifest: Manifest, video: Video, k: int, now: np.ndarray, space: LabelSpace | None) -> np.ndarray | None:
    """The frame under its labels; None where it has none or they must not be looked at."""
    ref = video.frames[k].label
    if ref is None or space is None:
        return None
    mapped = space.map(manifest.label(ref), manifest.labels, ref)
    return visualise.overlay(now, mapped, space.colours, 0.6)


def _row(where: str, now: np.ndarray, before: np.ndarray, motion: Motion, painted: np.ndarray | None) -> np.ndarray:
    brought, _ = warp(_tensor(before), motion.flow)
    valid = motion.valid[0, 0].numpy()
    warped = brought[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    difference = np.abs(warped.astype(np.int16) - now).astype(np.uint8)
    panels = {
        where: now,
        "labels": painted,
        "motion": visualise.motion_colours(motion.flow[0].numpy(), valid=valid),
        "neighbour, warped": warped,
        "difference": np.where(valid[..., None], difference, np.uint8(128)),
    }
    shown = {caption: panel for caption, panel in panels.items() if panel is not None}
    return visualise.strip(list(shown.values()), list(shown), SHEET_HEIGHT)


def write_sheet(report: Report, path: Path) -> bool:
    """Write the sheet as PNG; returns whether there was one."""
    sheet = report.sheet()
    if sheet is None:
        return False
    _, content = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.tobytes())
    return True


def _evenly(places: Sequence[tuple[Video, int]], count: int | None) -> list[tuple[Video, int]]:
    """`count` of them, evenly spread; None = all."""
    if count is None or count >= len(places):
        return list(places)
    return [places[int(k)] for k in np.linspace(0, len(places) - 1, count).round()]
