"""Composes the scenes that the detector of chapter 13 learns from and is judged by.

A scene is a picture of one to nine handwritten digits over a background. Digits in warm colours (red to yellow), white
and black are to be found; **a blue digit is a decoy** and has no box. So colour is a part of what the network has to
know, and a picture whose channels are swapped is another picture. Digits differ in size, some are turned, some lie on
a round sticker, and some are partly hidden by another digit or by the picture's edge. Needs NumPy and Pillow.

A scene is made from (split, number) alone: scene 7 is the same whether 8 or 500 are asked for.
"""

import functools
from colorsys import hsv_to_rgb
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .backgrounds import RANDOM, background
from .photos import PHOTOS

DATA = Path(__file__).resolve().parents[2] / "data"
SIZES = [(480, 270), (270, 480), (400, 300), (300, 400), (360, 360), (320, 240), (256, 192), (640, 360)]
# split: first number of its random seeds, digits of mnist.npz, folder of photographs
SPLITS = {
    "training": (1, "train", "training"),
    "calibration": (2, "train", "training"),
    "validation": (3, "test", "validation"),
}
NETWORK = 320  # sizes of digits are chosen for a network that sees a scene's longer side at so many pixels
SMALLEST, LARGEST = 24, 150  # height of a digit in the network's pixels; 24 are three of its finest cells
MOST = 9  # digits in one scene
TRIES = 8  # places that are tried for a digit before it is left out
VISIBLE = 0.7  # at least so much of each digit's ink is to be seen
INK = 128  # a pixel belongs to a digit from this coverage on, out of 255


class Scene(NamedTuple):
    image: np.ndarray  # uint8 (height, width, 3), RGB
    boxes: np.ndarray  # int32 (N, 4): x, y, width, height, tight around the ink that is to be seen
    labels: np.ndarray  # int32 (N,): the digits, 0 to 9


@functools.cache
def materials(split: str) -> tuple[np.ndarray, np.ndarray, list[Image.Image]]:
    """Returns what the scenes of a split are made from: digits uint8 (N, 28, 28), their labels (N,), photographs."""
    _, digits, photos = SPLITS[split]
    with np.load(DATA / "mnist.npz") as mnist:
        images, labels = mnist[f"{digits}_images"], mnist[f"{digits}_labels"]
    return images, labels, [Image.open(file).convert("RGB") for file in sorted((PHOTOS / photos).glob("*.jpg"))]


def make_scene(split: str, number: int) -> Scene:
    """Returns scene ``number`` of "training", "calibration" or "validation"."""
    rng = np.random.default_rng([SPLITS[split][0], number])
    digits, labels, photos = materials(split)
    canvas = Canvas(background(rng, SIZES[rng.integers(len(SIZES))], photos))
    for _ in range(rng.integers(1, MOST + 1)):
        which = rng.integers(len(digits))
        decoy = bool(canvas.labels) and rng.random() < 0.15
        canvas.place(rng, digits[which], None if decoy else int(labels[which]))
    return Scene(canvas.pixels, *canvas.truth())


class Canvas:
    """A picture in the making, which knows to which digit each pixel belongs."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels  # uint8 (height, width, 3)
        self.owner = np.zeros(pixels.shape[:2], np.uint8)  # 0 is the background, n the n-th digit
        self.ink: list[int] = []  # pixels of each digit, hidden ones included
        self.areas: list[np.ndarray] = []  # left, top, right, bottom of each digit with its sticker
        self.labels: list[int | None] = []  # of each digit; None is a decoy

    def place(self, rng: RANDOM, digit: np.ndarray, label: int | None) -> None:
        """Draws a digit where there is room for it; where none is found, it is left out."""
        height, width = self.owner.shape
        tall = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))) * max(width, height) / NETWORK
        mask = render(rng, digit, int(min(tall, 0.6 * min(width, height))))
        sticker = disc(mask) if rng.random() < 0.15 else None
        if sticker is not None:
            mask = centred(mask, sticker.shape)
        for _ in range(TRIES):
            if self.draw(rng, *self.spot(rng, mask.shape), mask, sticker, label):
                break

    def spot(self, rng: RANDOM, shape: tuple[int, ...]) -> tuple[int, int]:
        """Returns where the left upper corner of something could be: sometimes a part of it is beyond the edge."""
        beyond = 0.2 if rng.random() < 0.15 else 0.0
        y, x = (
            rng.uniform(-beyond * s, max(r - (1 - beyond) * s, 1)) for s, r in zip(shape, self.owner.shape, strict=True)
        )
        return int(x), int(y)

    def draw(
        self, rng: RANDOM, x: int, y: int, mask: np.ndarray, sticker: np.ndarray | None, label: int | None
    ) -> bool:
        """Draws a digit at a place, or returns False where too little of it or of another one would be seen."""
        (rows, columns), (height, width) = mask.shape, self.owner.shape
        area = np.array([max(x, 0), max(y, 0), min(x + columns, width), min(y + rows, height)])
        here, inside = (np.s_[area[1] - b : area[3] - b, area[0] - a : area[2] - a] for a, b in ((0, 0), (x, y)))
        ink, mask = np.count_nonzero(mask >= INK), mask[inside]
        sticker = None if sticker is None else sticker[inside]
        drawn = mask >= INK
        hiding = drawn if sticker is None else sticker >= INK
        if np.count_nonzero(drawn) < VISIBLE * ink or self.crowded(area, 0.2 if rng.random() < 0.2 else 0.0, hiding):
            return False
        paint_digit(rng, self.pixels[here], mask, sticker, decoy=label is None)
        self.ink.append(int(ink))
        self.areas.append(area)
        self.labels.append(label)
        self.owner[here][hiding] = 0
        self.owner[here][drawn] = len(self.labels)
        return True

    def crowded(self, area: np.ndarray, overlap: float, hiding: np.ndarray) -> bool:
        """Tells whether something new would share more than ``overlap`` with another's area, or hide too much ink."""
        left, top, right, bottom = area
        for number, (other, ink) in enumerate(zip(self.areas, self.ink, strict=True), start=1):
            common = (np.minimum(area[2:], other[2:]) - np.maximum(area[:2], other[:2])).clip(0).prod()
            if common == 0:
                continue
            if common > overlap * min((area[2:] - area[:2]).prod(), (other[2:] - other[:2]).prod()):
                return True
            hidden = np.count_nonzero(self.owner[top:bottom, left:right][hiding] == number)
            if np.count_nonzero(self.owner == number) - hidden < VISIBLE * ink:
                return True
        return False

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the boxes and labels of all digits but decoys."""
        wanted = [index for index, label in enumerate(self.labels) if label is not None]
        boxes = [tight_box(self.owner == index + 1) for index in wanted]
        return np.array(boxes, np.int32).reshape(-1, 4), np.array([self.labels[index] for index in wanted], np.int32)


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns x, y, width and height of the smallest box around all pixels that are set."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def render(rng: RANDOM, digit: np.ndarray, tall: int) -> np.ndarray:
    """Returns a digit of MNIST as a coverage mask, uint8, ``tall`` pixels high before it is turned."""
    x, y, width, height = tight_box(digit >= INK // 2)
    wide = max(3, round(width * tall / height * rng.uniform(0.8, 1.25)))
    image = Image.fromarray(digit).resize((wide, tall), Image.Resampling.BICUBIC, box=(x, y, x + width, y + height))
    if rng.random() < 0.4:
        image = image.rotate(rng.uniform(-35, 35), Image.Resampling.BICUBIC, expand=True)
    gain = max(1.0, tall / 25)  # an enlarged digit is blurred: the steeper curve gives its edges back
    return np.asarray(image.point(((np.arange(256) - INK) * gain + INK).clip(0, 255).astype(np.uint8).tolist()))


def disc(mask: np.ndarray) -> np.ndarray:
    """Returns the coverage of a round sticker behind a digit's mask: uint8, square."""
    rows, columns = np.nonzero(mask >= INK)
    radius = 1.2 * np.hypot(rows - mask.shape[0] / 2, columns - mask.shape[1] / 2).max() + 2
    axis = np.arange(2 * int(radius) + 2) - int(radius) - 0.5
    return ((radius - np.hypot(axis, axis[:, None]) + 0.5).clip(0, 1) * 255).astype(np.uint8)


def centred(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the mask in the middle of a larger one; what has no room is cut (a digit's faint corners)."""
    image = Image.new("L", shape[::-1])
    image.paste(Image.fromarray(mask), ((shape[1] - mask.shape[1]) // 2, (shape[0] - mask.shape[0]) // 2))
    return np.asarray(image)


def paint_digit(rng: RANDOM, region: np.ndarray, mask: np.ndarray, sticker: np.ndarray | None, decoy: bool) -> None:
    """Paints a digit into a part of the picture, with its sticker or shadow, in a colour that stands out."""
    behind = region[mask >= INK].mean(0)
    if sticker is not None:
        behind = rng.choice([rng.integers(225, 256, 3), rng.integers(10, 50, 3), rng.integers(0, 256, 3)])
        paint(region, sticker, behind)
    elif rng.random() < 0.4:
        step = max(1, round(mask.shape[0] / 24))
        shadow = np.zeros_like(mask)
        shadow[step:, step:] = mask[:-step, :-step] // 2
        paint(region, shadow, np.zeros(3))
    choices = np.array([cold(rng) if decoy else warm(rng) for _ in range(6)])
    distances = np.abs(choices - behind).sum(1)
    standing_out = np.flatnonzero(distances > 200)
    paint(region, mask, choices[standing_out[0] if len(standing_out) else distances.argmax()])


def paint(region: np.ndarray, coverage: np.ndarray, colour: np.ndarray) -> None:
    """Mixes a colour into ``region``, uint8 (height, width, 3), in place."""
    share = coverage[..., None].astype(np.float32) / 255
    region[:] = region + (colour.astype(np.float32) - region) * share + 0.5


def warm(rng: RANDOM) -> np.ndarray:
    """Returns a colour from red to yellow; one in five is nearly white or nearly black. float (3,), 0 to 255."""
    if rng.random() < 0.2:
        return rng.integers(0, 25, 3) + (230.0 if rng.random() < 0.5 else 0.0)
    return 255 * np.array(hsv_to_rgb(rng.uniform(-0.03, 0.15) % 1, rng.uniform(0.75, 1), rng.uniform(0.8, 1)))


def cold(rng: RANDOM) -> np.ndarray:
    """Returns a blue, which is what a warm colour becomes when red and blue change places."""
    return 255 * np.array(hsv_to_rgb(rng.uniform(0.52, 0.70), rng.uniform(0.75, 1), rng.uniform(0.8, 1)))
