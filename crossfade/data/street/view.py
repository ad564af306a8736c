"""The car's camera in the scene: where it is, and what each of its pixels sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street.classes import CUTOUT, SKY
from crossfade.data.street.materials import solid
from crossfade.data.street.raster import NEAR, Triangles, barycentric, perspective, rasterise
from crossfade.data.street.scene import Scene

FAR = 400.0
"""Nothing smaller than the ground is drawn beyond this, metres."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        rotation: (3, 3) columns: the camera's right, down and forward in the world.
        place: (3,) in the world, metres.
        focal: focal length, pixels.
        size: (H, W).
    """

    rotation: NDArray[np.float64]
    place: NDArray[np.float64]
    focal: float
    size: tuple[int, int]

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (n, 2) and depth (n,) of world points (n, 3); behind the camera: depth ≤ 0."""
        seen = (points - self.place) @ self.rotation
        return self._pixels(seen), seen[:, 2]

    def project_directions(self, directions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixel coordinates (n, 2) of what is infinitely far away."""
        return self._pixels(directions @ self.rotation)

    def _pixels(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = self.size
        centre = np.array(((width - 1) / 2, (height - 1) / 2))
        return seen[:, :2] / np.maximum(seen[:, 2:], 1e-3) * self.focal + centre


def camera_at(scene: Scene, time: float, size: tuple[int, int]) -> Camera:
    """The camera at a time, seconds: it rides along its lane, and nods and sways as its sensor's `shake` says."""
    sensor, s = scene.look.sensor, scene.speed * time
    phase, shake = scene.seed % 628 / 100, sensor.shake
    sway = 0.12 * np.sin(0.5 * time + phase)
    place = scene.route.place(s, scene.lane_offset + sway, sensor.height + 1.5 * shake * np.sin(9.7 * time + phase))
    ahead = scene.route.place(s + 6.0, scene.lane_offset) - scene.route.place(s, scene.lane_offset)
    yaw = np.arctan2(ahead[1], ahead[0]) + 0.012 * np.sin(0.9 * time + phase) + shake * np.sin(5.3 * time + 2 * phase)
    pitch = ahead[2] / 6.0 + sensor.pitch + shake * np.sin(8.3 * time + 3 * phase)
    roll = 0.6 * shake * np.sin(6.1 * time + phase)
    forward = np.array((np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)))
    level = np.array((np.sin(yaw), -np.cos(yaw), 0.0))
    down = np.cross(forward, level)
    right = np.cos(roll) * level + np.sin(roll) * down
    rotation = np.stack([right, np.cross(forward, right), forward], 1)
    focal = size[1] / 2 / np.tan(np.radians(sensor.field_of_view) / 2)
    return Camera(rotation, place, float(focal), size)


@dataclass(frozen=True)
class View:
    """What the pixels of a camera see, in rows.

    Attributes:
        camera: where from.
        size: (H, W) of the grid of samples; `offset` shifts it right and down against the camera's pixels.
        corners: (N, 3, 3) float32, the scene's triangles at this time.
        triangles: those in sight.
        face: (H·W,) index of the triangle, −1 for the sky.
        weights: (H·W, 3) barycentric coordinates on it.
        depth: (H·W,) along the camera's axis, metres; infinite for the sky.
        plane: (H·W, 3): the inverse depth of the triangle's plane is plane · (x, y, 1).
    """

    camera: Camera
    size: tuple[int, int]
    offset: float
    corners: NDArray[np.float32]
    triangles: Triangles
    face: NDArray[np.int64]
    weights: NDArray[np.float64]
    depth: NDArray[np.float64]
    plane: NDArray[np.float64]

    @property
    def focal(self) -> float:
        """Focal length, pixels."""
        return self.camera.focal

    def grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates x and y (H·W,) of the samples in the camera's picture."""
        y, x = np.divmod(np.arange(self.size[0] * self.size[1]), self.size[1])
        return x + self.offset, y + self.offset

    def rays(self) -> NDArray[np.float32]:
        """(H·W, 3) world directions through the samples, 1 along the camera's axis."""
        x, y = self.grid()
        height, width = self.camera.size
        local = np.stack([(x - (width - 1) / 2) / self.focal, (y - (height - 1) / 2) / self.focal, np.ones_like(x)], 1)
        return (local @ self.camera.rotation.T).astype(np.float32)

    def points(self, pixels: NDArray[np.int64], corners: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """World points (n, 3) that some pixels see, or where these points are when the triangles are at `corners`."""
        at = (self.corners if corners is None else corners)[self.face[pixels]]
        return np.einsum("nk,nkc->nc", self.weights[pixels], at)

    def labels(self, scene: Scene) -> NDArray[np.uint8]:
        """(H, W) Cityscapes ids."""
        return np.append(scene.mesh.label, np.uint8(SKY))[self.face].reshape(self.size)


def _in_sight(scene: Scene, corners: NDArray[np.float32], camera: Camera) -> NDArray[np.int64]:
    """Indices of the triangles of all objects whose bounding box the camera may see."""
    low = np.minimum.reduceat(np.minimum(np.minimum(corners[:, 0], corners[:, 1]), corners[:, 2]), scene.starts[:-1])
    high = np.maximum.reduceat(np.maximum(np.maximum(corners[:, 0], corners[:, 1]), corners[:, 2]), scene.starts[:-1])
    seen = ((low + high) / 2 - camera.place) @ camera.rotation
    radius = np.sqrt(((high - low) ** 2).sum(1)) / 2
    height, width = camera.size
    ok = (seen[:, 2] > NEAR - radius) & (radius * camera.focal > 0.7 * seen[:, 2])
    for axis, extent in ((0, width), (1, height)):
        half = extent / 2 / camera.focal
        ok &= np.abs(seen[:, axis]) < half * seen[:, 2] + radius * np.sqrt(1 + half**2)
    ok &= (seen[:, 2] < FAR) | (radius > FAR)
    return np.flatnonzero(np.repeat(ok, np.diff(scene.starts)))


def project(scene: Scene, camera: Camera, corners: NDArray[np.float32]) -> Triangles:
    """The scene's triangles at `corners` that the camera may see."""
    index = _in_sight(scene, corners, camera)
    local = (corners[index] - camera.place) @ camera.rotation
    return perspective(local, index, np.isin(scene.mesh.material[index], CUTOUT), camera.focal, camera.size)


def look(scene: Scene, camera: Camera, corners: NDArray[np.float32], triangles: Triangles, offset: float = 0.0) -> View:
    """What the camera sees of `triangles`; with an offset of −0.5, at the corners of its pixels (a grid one larger)."""
    size = camera.size if offset == 0 else (camera.size[0] + 1, camera.size[1] + 1)
    triangles = triangles.shifted(offset)

    def there(face: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        texture = np.einsum("nk,nkc->nc", weights.astype(np.float32), scene.mesh.texture[face])
        return solid(scene.mesh.material[face], texture)

    cutout = np.isin(scene.mesh.material[triangles.face], CUTOUT)
    seen, front = rasterise(triangles, size, cutout, there)
    hit = np.flatnonzero(seen >= 0)
    face = np.full(len(seen), -1, np.int64)
    face[hit] = triangles.face[seen[hit]]
    weights, plane = np.zeros((len(seen), 3)), np.zeros((len(seen), 3))
    weights[hit] = barycentric(triangles, seen[hit], hit % size[1], hit // size[1])
    plane[hit] = triangles.depth[:, seen[hit]].T
    depth = np.full(len(seen), np.inf)
    depth[hit] = 1 / front[hit]
    return View(camera, size, offset, corners, triangles, face, weights, depth, plane)
