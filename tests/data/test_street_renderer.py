"""The street looks as it should: classes, looks, determinism, and the rasteriser against a plain ray caster."""

import hashlib

import numpy as np
import pytest

from crossfade.data.street.classes import CLASS_NAMES
from crossfade.data.street.raster import barycentric, perspective, rasterise
from crossfade.data.street.render import render_video
from crossfade.data.street.sensor import block_code
from crossfade.errors import UserError


def digest(look: str, seed: int) -> str:
    hashed = hashlib.sha256()
    for frame in render_video(seed, look, 2, (48, 64)):
        for array in (frame.image, frame.labels, frame.depth):
            hashed.update(array.tobytes())
        for pair in sorted(frame.motion):
            for array in frame.motion[pair]:
                hashed.update(array.tobytes())
    return hashed.hexdigest()


@pytest.mark.parametrize("look", ["plain", "camera"])
def test_same_seed_same_video_other_seed_other_video(look: str) -> None:
    assert digest(look, 5) == digest(look, 5)
    assert digest(look, 5) != digest(look, 6)


def test_every_class_is_there_and_rare_ones_are_not_negligible() -> None:
    share = {}
    for look in ("plain", "camera"):
        counts = np.zeros(len(CLASS_NAMES))
        for seed in range(12):
            for frame in render_video((40, seed), look, 2, (96, 128), rate=0.5, spans=()):
                counts += np.bincount(frame.labels.ravel(), minlength=len(CLASS_NAMES))
        share[look] = dict(zip(CLASS_NAMES, counts / counts.sum(), strict=True))
    for look, of in share.items():
        assert of.pop("train") == 0
        assert min(of.values()) > 0.0003, (look, of)
        for name in ("pole", "sign", "light", "person", "sidewalk", "vegetation"):
            assert of[name] > 0.006, (look, name, of[name])
        assert of["bus"] + of["truck"] > 0.015
        assert of["wall"] + of["fence"] > 0.006
        assert of["rider"] + of["bicycle"] + of["motorcycle"] > 0.006
        assert 0.2 < of["road"] < 0.45
        assert of["building"] > 0.1


def test_the_looks_differ_in_more_than_colour() -> None:
    plain, camera = (next(iter(render_video(8, look, 1, (96, 128)))) for look in ("plain", "camera"))
    assert (plain.labels != camera.labels).mean() > 0.2
    saturation = [float(np.ptp(frame.image, axis=2).mean()) for frame in (plain, camera)]
    assert saturation[0] > 1.5 * saturation[1]


def test_plain_surfaces_have_texture() -> None:
    frame = next(iter(render_video(8, "plain", 1, (96, 128))))
    grey = frame.image.astype(float).mean(2)
    for name in ("road", "building", "sidewalk"):
        inside = frame.labels == CLASS_NAMES.index(name)
        both = inside[:, 1:] & inside[:, :-1]
        assert np.abs(np.diff(grey, axis=1))[both].mean() > 0.3, name


def test_unknown_look_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'camera'"):
        next(iter(render_video(0, "camra", 1)))


def moeller_trumbore(corners: np.ndarray, ray: np.ndarray) -> tuple[int, float]:
    """Index and distance of the first triangle (any side) along a ray from the origin."""
    best, nearest = -1, np.inf
    for k, (a, b, c) in enumerate(corners):
        normal = np.cross(b - a, c - a)
        distance = (a @ normal) / (ray @ normal)
        p = ray * distance
        inside = all(np.cross(v - u, p - u) @ normal >= 0 for u, v in ((a, b), (b, c), (c, a)))
        if inside and 0.15 < distance < nearest:
            best, nearest = k, distance
    return best, nearest


def test_rasteriser_equals_ray_casting_also_across_the_near_plane() -> None:
    rng = np.random.default_rng(0)
    corners = rng.normal((0, 0, 3), 2.5, (60, 3, 3))
    assert (corners[..., 2].min(1) < 0).any()
    size, focal = (24, 32), 20.0
    triangles = perspective(corners, np.arange(60), np.ones(60, bool), focal, size)
    seen, front = rasterise(triangles, size)
    agree = 0
    for pixel in range(size[0] * size[1]):
        y, x = divmod(pixel, size[1])
        ray = np.array(((x - 15.5) / focal, (y - 11.5) / focal, 1.0))
        index, distance = moeller_trumbore(corners, ray)
        mine = -1 if seen[pixel] < 0 else int(triangles.face[seen[pixel]])
        if index == mine:
            agree += 1
            if index >= 0:
                assert 1 / front[pixel] == pytest.approx(distance, rel=1e-6)
                point = barycentric(triangles, seen[[pixel]], np.array([x]), np.array([y]))[0] @ corners[index]
                assert point == pytest.approx(ray * distance, abs=1e-6)
        else:  # nearer than the near plane: only there may the two differ
            assert front[pixel] > 1 / 0.15
    assert agree > 0.9 * size[0] * size[1]


def test_block_code_keeps_what_is_smooth_and_coarsens_what_is_not() -> None:
    rng = np.random.default_rng(0)
    smooth = np.full((20, 28, 3), 0.5, np.float32)
    assert np.abs(block_code(smooth, 1.0) - smooth).max() < 0.01
    rough = rng.random((20, 28, 3)).astype(np.float32)
    assert np.abs(block_code(rough, 1.0) - rough).mean() > np.abs(block_code(rough, 0.2) - rough).mean() > 0.01
    assert block_code(rough, 0.0) is rough
