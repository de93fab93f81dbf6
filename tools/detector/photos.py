"""Cuts the photographs behind the detector's scenes out of wheels: data/photos/*.jpg.

Run ``pip install scikit-image scikit-learn`` in an environment of its own, and there
``python -m tools.detector.photos``. The wheels themselves hold these pictures: nothing else is downloaded.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image

PHOTOS = Path(__file__).resolve().parents[2] / "data" / "photos"
LONGEST = 480  # pixels: enough for a background, and 30 kB as a JPEG


class Photo(NamedTuple):
    name: str
    split: str  # "training" or "validation": no photograph is in both
    package: str
    path: str
    licence: str


# The licences are those that skimage.data's docstrings and sklearn/datasets/images/README.txt tell.
SOURCES = [
    Photo("coffee", "training", "skimage", "data/coffee.png", "CC0, Rachel Michetti"),
    Photo("coins", "training", "skimage", "data/coins.png", "no known restrictions, Brooklyn Museum"),
    Photo("hubble", "training", "skimage", "data/hubble_deep_field.jpg", "public domain, NASA"),
    Photo("brick", "training", "skimage", "data/brick.png", "CC0, CC0Textures (Bricks25)"),
    Photo("gravel", "training", "skimage", "data/gravel.png", "CC0, CC0Textures (Gravel04)"),
    Photo("china", "training", "sklearn", "datasets/images/china.jpg", "CC BY 2.0, danielbuechele on Flickr"),
    Photo("chelsea", "validation", "skimage", "data/chelsea.png", "CC0, Stefan van der Walt"),
    Photo("rocket", "validation", "skimage", "data/rocket.jpg", "public domain, SpaceX"),
    Photo("grass", "validation", "skimage", "data/grass.png", "CC0, linolafett on DeviantArt"),
    Photo("flower", "validation", "sklearn", "datasets/images/flower.jpg", "CC BY 2.0, vultilion on Flickr"),
]


def main() -> None:
    for photo in SOURCES:
        spec = find_spec(photo.package)  # finds the folder, and does not import the package
        if not (spec and spec.submodule_search_locations):
            raise SystemExit(f"{photo.package} is not installed")
        image = Image.open(Path(spec.submodule_search_locations[0], photo.path)).convert("RGB")
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        file = PHOTOS / photo.split / f"{photo.name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, quality=75, optimize=True)
        size = f"{image.width}×{image.height}, {file.stat().st_size:,} bytes"
        print(f"{file.relative_to(PHOTOS)}: {size}, {photo.licence}")


if __name__ == "__main__":
    main()
