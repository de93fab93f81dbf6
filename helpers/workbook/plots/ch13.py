"""Pictures of chapter 13: boxes on scenes, what a network sees, AP, where the time of a frame goes.

Each function shows one figure, with a text alternative that is made of the same data. Needs matplotlib.

>>> words(Detections(np.zeros((1, 4)), np.array([0.93]), np.array([7])))
'7 (0.93)'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...detector import Detections, draw
from ..figures import INK, PALETTE, bars, figure, show, show_image

if TYPE_CHECKING:
    import onnx

    from ..detector_steps import Step

COLUMNS = 4
WIDTH, GAP, TEXT = 900, 12, 20  # of a gallery, between its pictures, of a line of text: pixels
PARTS = {  # of a frame, in their order; True: the host does it, False: the GPU
    "read": True,
    "letterbox": True,
    "to float32": True,
    "copy in": False,
    "network": False,
    "copy out": False,
    "decode": True,
    "NMS": True,
}
_PART_COLOURS = ("yellow", "orange", "vermillion", "sky", "blue", "sky", "green", "purple")


def words(found: Detections) -> str:
    """Returns what was found as text: "7 (0.93), 2 (0.88)"."""
    pairs = [f"{label} ({score:.2f})" for label, score in zip(found.classes, found.scores, strict=True)]
    return ", ".join(pairs) or "nothing"


def shapes(model: onnx.ModelProto) -> str:
    """Returns a model's inputs and outputs as text: "images (batch, 3, 320, 320) -> predictions (batch, 2100, 15)"."""
    filled = {tensor.name for tensor in model.graph.initializer}
    sides = ([value for value in model.graph.input if value.name not in filled], model.graph.output)
    return " -> ".join(", ".join(f"{value.name} ({_axes(value)})" for value in side) for side in sides)


def _axes(value: Any) -> str:
    return ", ".join(str(axis.dim_param or axis.dim_value or "?") for axis in value.type.tensor_type.shape.dim)


def show_pictures(pictures: Mapping[str, np.ndarray], alt: str, columns: int = COLUMNS) -> None:
    """Shows pictures, uint8 (height, width, 3), side by side, each with its name above; none wider than it is."""
    from PIL import Image, ImageDraw, ImageFont

    columns = min(columns, len(pictures))
    room = (WIDTH - GAP * (columns - 1)) // columns
    ratio = {name: min(1.0, room / picture.shape[1], room / picture.shape[0]) for name, picture in pictures.items()}
    sizes = {n: (round(p.shape[1] * ratio[n]), round(p.shape[0] * ratio[n])) for n, p in pictures.items()}
    label = TEXT * (1 + max(name.count("\n") for name in pictures))
    names = list(pictures)
    lines = [names[first : first + columns] for first in range(0, len(names), columns)]
    widths = [max(sizes[name][0] for name in names[column::columns]) for column in range(columns)]
    heights = [label + max(sizes[name][1] for name in line) for line in lines]
    canvas = Image.new("RGB", (sum(widths) + GAP * (columns - 1), sum(heights) + GAP * (len(lines) - 1) + GAP), "white")
    pen, font, top = ImageDraw.Draw(canvas), ImageFont.load_default(TEXT - 6), 4
    for line, height in zip(lines, heights, strict=True):
        left = 0
        for name, width in zip(line, widths, strict=False):
            pen.multiline_text((left, top), name, fill=INK, font=font)
            picture = Image.fromarray(pictures[name]).resize(sizes[name], Image.Resampling.LANCZOS)
            canvas.paste(picture, (left, top + label))
            left += width + GAP
        top += height + GAP
    show_image(canvas, alt)


def show_found(found: Mapping[str, tuple[np.ndarray, Detections]], columns: int = 2) -> None:
    """Shows pictures with what was found in each: name -> (picture, detections)."""
    drawn = {name: np.asarray(draw(picture, boxes)) for name, (picture, boxes) in found.items()}
    told = [f"{name}: {words(boxes)}" for name, (_, boxes) in found.items()]
    show_pictures(drawn, f"Pictures with a box, digit and score for each detection. {'; '.join(told)}.", columns)


def show_letterbox(picture: np.ndarray, padded: np.ndarray, scale: float) -> None:
    """Shows a picture and what the letterbox makes of it."""
    pictures = {
        f"{name}: {p.shape[1]} by {p.shape[0]}": p for name, p in (("picture", picture), ("letterboxed", padded))
    }
    said = f"scaled by {scale:.3f} in a square: it fills {round(picture.shape[0] * scale)} rows of {padded.shape[0]}"
    show_pictures(pictures, f"{'; '.join(pictures)}. Right the same, {said}, and grey fills the rest.", 2)


def seen(images: np.ndarray) -> np.ndarray:
    """Returns one input, (1, 3, height, width) in BGR from 0 to 255, as a picture: what the network takes it for."""
    values = np.nan_to_num(images[0], nan=0, posinf=255, neginf=0).clip(0, 255)
    return values[::-1].transpose(1, 2, 0).astype(np.uint8)


def show_seen(inputs: Mapping[str, np.ndarray]) -> None:
    """Shows inputs as the network takes them, with the range of their numbers."""
    pictures, told = {}, []
    for name, images in inputs.items():
        low, high = float(np.nanmin(images)), float(np.nanmax(images))
        pictures[f"{name}\n{low:.3g} to {high:.3g}"] = seen(images)
        told.append(f"{name}: numbers from {low:.3g} to {high:.3g}")
    show_pictures(pictures, f"One scene as the network takes it, after each mistake. {'; '.join(told)}.")


def show_ap(results: Mapping[str, tuple[float, float]], title: str) -> None:
    """Shows AP as bars with AP50 as a line at its end, from name -> (AP, AP50)."""
    names = list(results)
    fig, ax = figure(8, 0.8 + 0.42 * len(names))
    ax.barh(names, [ap for ap, _ in results.values()], height=0.62, color=PALETTE["blue"], label="AP")
    for row, values in enumerate(results.values()):
        ax.text(max(values) + 0.02, row, "{:.3f}, AP50 {:.3f}".format(*values), va="center", fontsize=10)
    at50 = [ap50 for _, ap50 in results.values()]
    ax.plot(at50, range(len(names)), "|", markersize=16, markeredgewidth=2, color=PALETTE["vermillion"], label="AP50")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.25), xticks=np.arange(0, 1.1, 0.2), title=title)
    ax.legend(loc="lower right", ncols=2, bbox_to_anchor=(1, 1))
    told = "; ".join(f"{name}: AP {ap:.3f}, AP50 {ap50:.3f}" for name, (ap, ap50) in results.items())
    show(fig, f"Bars of AP, with AP50 as a mark. {told}.")


def show_candidates(padded: np.ndarray, boxes: np.ndarray, scores: np.ndarray, kept: Detections, least: float) -> None:
    """Shows all boxes above a score, and those that are left after NMS."""
    classes, best = scores.argmax(1), scores.max(1)
    chosen = best >= least
    before = Detections(boxes[chosen], best[chosen], classes[chosen])
    drawn = {
        f"{len(before.scores)} boxes with a score of {least} or more": _outlines(padded, before),
        f"{len(kept.scores)} boxes after NMS": _outlines(padded, kept),
    }
    alt = f"Left {len(before.scores)} boxes that lie over each other on the digits; right {len(kept.scores)} are left: "
    show_pictures(drawn, f"{alt}{words(kept)}.", 2)


def _outlines(picture: np.ndarray, found: Detections) -> np.ndarray:
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture).copy()
    pen = ImageDraw.Draw(image)
    for box in found.boxes.tolist():
        pen.rectangle(box, outline=PALETTE["vermillion"])
    return np.asarray(image)


def show_parts(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Shows where a frame's time goes: name -> milliseconds of each part, one bar for each name."""
    fig, ax = figure(9, 1.5 + 0.7 * len(rows))
    for row, (name, parts) in enumerate(rows.items()):
        left = 0.0
        for (part, _), colour in zip(PARTS.items(), _PART_COLOURS, strict=True):
            width = parts.get(part, 0.0)
            label = part if row == 0 else None
            hatch = "//" if part == "copy out" else None
            ax.barh(
                name, width, left=left, height=0.6, color=PALETTE[colour], edgecolor="white", label=label, hatch=hatch
            )
            left += width
        ax.text(left, row, f" {left:.2f} ms", va="center", fontsize=10)
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds", xlim=(0, 1.15 * max(sum(parts.values()) for parts in rows.values())))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    told = [f"{name}: " + ", ".join(f"{part} {ms:.2f}" for part, ms in parts.items()) for name, parts in rows.items()]
    show(fig, f"Where the time of one frame goes, in milliseconds. {'; '.join(told)}.")


def in_order(*parts: Mapping[str, float]) -> dict[str, float]:
    """Returns the parts of a frame, in the order in which they happen."""
    together = {name: ms for some in parts for name, ms in some.items()}
    return {part: together[part] for part in PARTS if part in together}


def show_routes(steps: Sequence[Step]) -> None:
    """Shows for each step of the chapter which part of a frame the host does, which the GPU, and which nobody."""
    columns = [part for part in PARTS if part != "read"]
    fig, ax = figure(9, 0.9 + 0.42 * len(steps))
    told = []
    for row, step in enumerate(steps):
        does = _who(step)
        for column, part in enumerate(columns):
            who = does[part]
            colour = {"host": "orange", "GPU": "blue"}.get(who)
            ax.barh(row, 0.94, left=column, height=0.8, color=PALETTE[colour] if colour else "#eeeeee")
            ax.text(column + 0.47, row, who, ha="center", va="center", fontsize=9,
                    color="white" if who == "GPU" else "black")  # fmt: skip
        told.append(f"{step.name}: the host does {', '.join(p for p in columns if does[p] == 'host') or 'none of it'}")
    ax.set_yticks(range(len(steps)), [step.name for step in steps])
    ax.set_xticks([n + 0.47 for n in range(len(columns))], columns)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.invert_yaxis()
    show(fig, f"A table of steps and parts of a frame, orange for the host and blue for the GPU. {'; '.join(told)}.")


def _who(step: Step) -> dict[str, str]:
    """Who does each part of a frame in a step: "host", "GPU", or what is copied, or "–" where nothing is left to do."""
    from ..detector_plans import NETWORKS

    network = NETWORKS[step.network]
    given = {"images": "1.2 MB", "pictures": "0.3 MB", "picture": "picture"}[network.input]
    return {
        "letterbox": "GPU" if network.input == "picture" else "host",
        "to float32": "host" if network.input == "images" else "GPU",
        "copy in": given,
        "network": "GPU",
        "copy out": "boxes" if network.nms else "126 kB",
        "decode": "GPU" if network.nms else "host",
        "NMS": "GPU" if network.nms else "host",
    }


def show_speeds(speeds: Mapping[str, float], title: str) -> None:
    """Shows frames per second as bars: name -> frames per second."""
    told = "; ".join(f"{name} {speed:,.0f}" for name, speed in speeds.items())
    values = [round(speed) for speed in speeds.values()]
    show(bars(list(speeds), values, unit="frames/s", title=title), f"Bars of frames per second. {told}.")
