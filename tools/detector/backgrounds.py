"""What stands behind the digits of a scene: gradients, clouds, stripes, shapes and photographs.

Every function takes a random generator and (width, height), and gives a Pillow image in RGB. Small arrays are made
by NumPy and enlarged by Pillow, so that one background costs about a millisecond.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Size = tuple[int, int]  # (width, height), as Pillow counts
RANDOM = np.random.Generator


def colour(rng: RANDOM) -> np.ndarray:
    """Returns a random colour, most often a muted one: int (3,), 0 to 255."""
    grey, spread = rng.integers(30, 226), rng.integers(10, 70)
    return (grey + rng.integers(-spread, spread + 1, 3)).clip(0, 255)


def related(rng: RANDOM, base: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns colours in the neighbourhood of one: uint8 (*shape, 3)."""
    spread = rng.integers(12, 80)
    return (base + rng.integers(-spread, spread + 1, (*shape, 3))).clip(0, 255).astype(np.uint8)


def gradient(rng: RANDOM, size: Size) -> Image.Image:
    """Four corners of related colours, and everything between them."""
    return Image.fromarray(related(rng, colour(rng), (2, 2))).resize(size, Image.Resampling.BICUBIC)


def clouds(rng: RANDOM, size: Size) -> Image.Image:
    """Soft noise between two colours, at one of several scales."""
    cells = int(rng.integers(4, 24))
    mix = rng.random((cells * size[1] // size[0] + 2, cells, 1))
    grid = colour(rng) * mix + colour(rng) * (1 - mix)
    return Image.fromarray(grid.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def stripes(rng: RANDOM, size: Size) -> Image.Image:
    """Stripes of two or three colours at any angle; crossed by others, they are a chequered cloth."""
    width, height = size
    period = min(size) * rng.uniform(0.05, 0.3)
    turn = rng.uniform(0, np.pi)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    band = ((x * np.cos(turn) + y * np.sin(turn)) / period).astype(np.int32)
    if rng.random() < 0.4:
        band = band + ((x * np.sin(turn) - y * np.cos(turn)) / period).astype(np.int32)
    palette = related(rng, colour(rng), (int(rng.integers(2, 4)),))
    return Image.fromarray(palette[band % len(palette)])


def shapes(rng: RANDOM, size: Size) -> Image.Image:
    """Discs, boxes and triangles over a gradient."""
    image = gradient(rng, size)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 10)):
        radius = min(size) * rng.uniform(0.08, 0.45)
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        sides = int(rng.choice([3, 4, 5, 6, 60]))
        fill = tuple(colour(rng).tolist())
        draw.regular_polygon((x, y, radius), sides, rotation=int(rng.integers(0, 360)), fill=fill)
    return image


def photograph(rng: RANDOM, size: Size, photos: Sequence[Image.Image]) -> Image.Image:
    """A part of a photograph, perhaps flipped, with other brightness, contrast and tint."""
    photo = photos[rng.integers(len(photos))]
    scale = min(photo.width / size[0], photo.height / size[1]) * rng.uniform(0.5, 1)
    width, height = size[0] * scale, size[1] * scale
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    image = photo.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    contrast, light = rng.uniform(0.6, 1.1), rng.uniform(-10, 50)
    levels = np.arange(256)[None] * (contrast * rng.uniform(0.75, 1.2, (3, 1))) + light
    return image.point(levels.clip(0, 255).astype(np.uint8).ravel().tolist())


def background(rng: RANDOM, size: Size, photos: Sequence[Image.Image]) -> np.ndarray:
    """Returns one background of any kind, some of them grainy: uint8 (height, width, 3)."""
    if rng.random() < 0.4:
        image = photograph(rng, size, photos)
    else:
        image = [gradient, clouds, stripes, shapes][rng.integers(4)](rng, size)
    pixels = np.array(image)
    if rng.random() < 0.25:
        grain = int(rng.integers(6, 30))
        noise = rng.integers(0, grain, (size[1], size[0], 1), np.uint8)
        room = 255 - grain  # darker first, so that adding cannot run over
        np.minimum(pixels, room, out=pixels)
        pixels += noise
    return pixels
