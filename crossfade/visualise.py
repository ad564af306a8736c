"""Pictures a person can read: overlays, strips with captions, colour legends, motion as colour.

Images are uint8 RGB, (H, W, 3); colours of classes are uint8 (K, 3); what is ignored is black.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from crossfade.data.clip import IGNORE

BACKGROUND = (255, 255, 255)
INK = (32, 36, 44)


def colourise(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Paint class ids: (H, W) ids in [0, K) or 255 → (H, W, 3) uint8, ignored pixels black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    table[IGNORE] = 0
    return table[labels]


def overlay(image: np.ndarray, labels: np.ndarray, colours: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """The frame with its classes painted over it; ignored pixels stay as they are.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) class ids.
        colours: (K, 3) uint8.
        alpha: weight of the paint in [0, 1].
    """
    blend = cv2.addWeighted(image, 1 - alpha, colourise(labels, colours), alpha, 0)
    ignored = labels == IGNORE
    if ignored.any():
        blend[ignored] = image[ignored]
    return blend


def fit(image: np.ndarray, height: int, nearest: bool = False) -> np.ndarray:
    """The image at another height, aspect kept. `nearest` for painted labels."""
    if image.shape[0] == height:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    shrinks = height < image.shape[0]
    smooth = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST if nearest else smooth)


def text(
    words: str, size: int, ink: tuple[int, int, int] = INK, paper: tuple[int, int, int] = BACKGROUND
) -> np.ndarray:
    """One line of text as an image, `size` pixels of type, tight around the words plus a margin."""
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(words or " ")
    margin = max(2, size // 4)
    line = Image.new("RGB", (int(right - left) + 2 * margin, size + 2 * margin), paper)
    ImageDraw.Draw(line).text((margin - left, margin - size * 0.12), words, font=font, fill=ink)
    return np.asarray(line)


def captioned(image: np.ndarray, caption: str, type_size: int = 13) -> np.ndarray:
    """The image under a one-line caption; the caption is cut when it is wider than the image."""
    line = text(caption, type_size)
    bar = np.full((line.shape[0], image.shape[1], 3), BACKGROUND, np.uint8)
    width = min(line.shape[1], image.shape[1])
    bar[:, :width] = line[:, :width]
    return np.concatenate([bar, image])


def strip(panels: Sequence[np.ndarray], captions: Sequence[str], height: int | None = None, gap: int = 4) -> np.ndarray:
    """Panels side by side, each under its caption.

    Args:
        panels: images; brought to one height, aspect kept.
        captions: one a panel.
        height: of the panels in pixels; the first panel's when not given.
        gap: pixels of white between panels.
    """
    rows = height or panels[0].shape[0]
    tiles = [captioned(fit(p, rows), c) for p, c in zip(panels, captions, strict=True)]
    space = np.full((tiles[0].shape[0], gap, 3), BACKGROUND, np.uint8)
    row = [piece for tile in tiles for piece in (space, tile)][1:]
    return np.concatenate(row, axis=1)


def legend(names: Sequence[str], colours: np.ndarray, width: int = 640, type_size: int = 13) -> np.ndarray:
    """The classes and their colours, wrapped into lines no wider than `width` pixels."""
    entries = []
    for name, colour in zip(names, colours, strict=True):
        line = text(name, type_size)
        swatch = np.full((line.shape[0], type_size + 6, 3), BACKGROUND, np.uint8)
        swatch[3:-3, 3:] = colour
        entries.append(np.concatenate([swatch, line], axis=1))
    lines: list[list[np.ndarray]] = [[]]
    for entry in entries:
        if lines[-1] and sum(e.shape[1] for e in lines[-1]) + entry.shape[1] > width:
            lines.append([])
        lines[-1].append(entry)
    paper = np.full((len(lines) * entries[0].shape[0], max(width, *(e.shape[1] for e in entries), 1), 3), 255, np.uint8)
    for row, line_entries in enumerate(lines):
        joined = np.concatenate(line_entries, axis=1)
        top = row * entries[0].shape[0]
        paper[top : top + joined.shape[0], : joined.shape[1]] = joined
    return paper


def motion_colours(flow: np.ndarray, longest: float | None = None, valid: np.ndarray | None = None) -> np.ndarray:
    """Motion as colour: direction is hue, length is saturation; white stands still (the Middlebury reading).

    Args:
        flow: (2, H, W) float32, pixels.
        longest: the length in pixels shown fully saturated; the 99th percentile when not given.
        valid: (H, W) bool; what is not valid is grey.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    length = np.hypot(flow[0], flow[1])
    top = longest if longest is not None else float(np.percentile(length, 99))
    hue = np.degrees(np.arctan2(flow[1], flow[0])) % 360 / 2
    saturation = np.clip(length / max(top, 1e-6), 0, 1) * 255
    hsv = np.stack([hue, saturation, np.full_like(length, 255)], axis=-1).astype(np.uint8)
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if valid is not None:
        image[~valid] = 128
    return image


def motion_wheel(diameter: int = 96) -> np.ndarray:
    """The key to `motion_colours`: the colour of a motion from the centre to each point of the disc."""
    radius = (diameter - 1) / 2
    y, x = np.mgrid[:diameter, :diameter].astype(np.float32) - radius
    wheel = motion_colours(np.stack([x, y]), longest=radius)
    wheel[np.hypot(x, y) > radius] = 255
    return wheel
