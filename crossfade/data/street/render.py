"""Videos: `render_video` yields frame after frame with labels, depth and exact motion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street.looks import make_look
from crossfade.data.street.motion import exact_motion
from crossfade.data.street.scene import Scene, make_scene
from crossfade.data.street.sensor import develop
from crossfade.data.street.shading import ShadowMap, shade, shadow_map
from crossfade.data.street.view import View, camera_at, look, project

Flow = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True)
class RenderedFrame:
    """One frame with everything known about it.

    Attributes:
        index: number in the video; `time` in seconds.
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, Cityscapes ids 0 … 18.
        depth: (H, W) float32 metres along the camera's axis, infinite for the sky.
        motion: for each pair (i, j) that is complete with this frame, flow (2, H, W) float32 and validity (H, W) bool.
    """

    index: int
    time: float
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    depth: NDArray[np.float32]
    motion: dict[tuple[int, int], Flow] = field(default_factory=dict)


def _picture(
    scene: Scene, view: View, flow: NDArray[np.float32] | None, shadows: ShadowMap | None, index: int
) -> NDArray[np.uint8]:
    """The developed frame, smoothed by a second set of samples at the pixels' corners (quincunx)."""
    if shadows is not None:
        shadows = shadows.with_mesh(view.corners[scene.static :])
    centre = shade(scene, view, shadows)
    corner = shade(scene, look(scene, view.camera, view.corners, view.triangles, -0.5), shadows)
    around = corner[:-1, :-1] + corner[1:, :-1] + corner[:-1, 1:] + corner[1:, 1:]
    light = 0.5 * centre + np.float32(0.125) * around
    return develop(light, scene.look.sensor, flow, scene.seed, index)


def render_video(
    seed: int | Sequence[int],
    look_name: str,
    frames: int,
    size: tuple[int, int] = (192, 256),
    rate: float = 12.0,
    spans: Sequence[int] = (1,),
) -> Iterator[RenderedFrame]:
    """Render one video.

    Args:
        seed: everything follows from it.
        look_name: "plain" or "camera".
        frames: how many.
        size: (H, W).
        rate: frames a second.
        spans: between which frames motion is asked for: (i, i − span) and (i − span, i) come with frame i.

    Raises:
        UserError: no such look.
    """
    seeds = tuple(seed) if isinstance(seed, Sequence) else (int(seed),)
    appearance = make_look(look_name, np.random.default_rng([*seeds, 0]))
    scene = make_scene(seeds, appearance, frames / rate)
    shadows = shadow_map(scene, frames / rate) if appearance.light.shadows else None

    def view_at(index: int) -> View:
        camera, corners = camera_at(scene, index / rate, size), scene.corners(index / rate)
        return look(scene, camera, corners, project(scene, camera, corners))

    blurred = appearance.sensor.shutter > 0
    views: dict[int, View] = {}
    known: dict[tuple[int, int], Flow] = {}

    def motion_between(i: int, j: int) -> Flow:
        for index in (i, j):
            if index not in views:
                views[index] = view_at(index)
        if (i, j) not in known:
            known[i, j] = exact_motion(views[i], views[j])
        return known[i, j]

    for i in range(frames):
        ahead = motion_between(i, i + 1)[0] if blurred else None
        view = views[i] if i in views else views.setdefault(i, view_at(i))
        pairs = [pair for span in spans if i >= span for pair in ((i, i - span), (i - span, i))]
        yield RenderedFrame(
            i,
            i / rate,
            _picture(scene, view, ahead, shadows, i),
            view.labels(scene),
            view.depth.reshape(size).astype(np.float32),
            {pair: motion_between(*pair) for pair in pairs},
        )
        oldest = i + 1 - max(spans, default=0)
        views = {index: view for index, view in views.items() if index >= oldest}
        known = {pair: flow for pair, flow in known.items() if min(pair) >= oldest}
