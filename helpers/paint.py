"""Paints the boxes and arrows that ``helpers.layout`` has placed (used by ``helpers.draw``, chapter 05).

Needs matplotlib. All lengths are in inches, all text has 10 points unless the axes are too small for the picture.

>>> shorten("a_very_long_name_of_a_tensor", 12)
'a_ver…tensor'
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .figures import INK, PALETTE, new_figure
from .layout import Arrow, Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = 10  # points
MARGIN = 0.06
LINE = 0.21  # height of a line of a heading
GREY = "#555555"
BOX_HEIGHT = 0.4


@dataclass(frozen=True)
class Item:
    """One box: bold ``caption``, ``name`` below it, and the ``label`` on the arrows that leave it.

    ``colour`` is a name of PALETTE and ``strength`` says how much of it fills the box (0 to 1).
    """

    caption: str
    name: str
    label: str = ""
    colour: str = "black"
    strength: float = 0.0
    pill: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Width and height that the two lines need."""
        return max(text_width(self.caption, bold=True), text_width(shorten(self.name))) + 0.2, BOX_HEIGHT


def shorten(name: str, most: int = 22) -> str:
    """A long name without its middle, since exporters put what tells names apart at their ends."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"


def text_width(text: str, size: float = FONT, bold: bool = False) -> float:
    """Width of the longest line of a text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(weight="bold" if bold else "normal", size=size)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] / 72 for line in text.split("\n"))


def picture_size(layout: Layout) -> tuple[float, float]:
    """Width and height of a picture with its margins."""
    left, right, bottom, top = layout.bounds
    return max(right - left, 1.4) + 2 * MARGIN, max(top - bottom, BOX_HEIGHT) + 2 * MARGIN


def make_page(layouts: Sequence[Layout], headings: Sequence[str]) -> list[Axes]:
    """A new figure with axes for each layout, side by side at the scale of one, under headings of up to two lines."""
    gap, head = 0.4, 0.0
    if any(headings):
        head = 0.1 + LINE * max(heading.count("\n") + 1 for heading in headings)
    sizes = [picture_size(layout) for layout in layouts]
    rooms = [
        max(size[0], text_width(heading.partition("\n")[0], 12, bold=True), text_width(heading.partition("\n")[2]))
        for size, heading in zip(sizes, headings, strict=True)
    ]
    width, height = sum(rooms) + gap * (len(rooms) - 1), max(size[1] for size in sizes) + head
    fig = new_figure(width, height)
    axes, x = [], 0.0
    for (w, h), room, heading in zip(sizes, rooms, headings, strict=True):
        axes.append(fig.add_axes((x / width, 1 - (head + h) / height, w / width, h / height)))
        first, _, second = heading.partition("\n")
        left, line = (x + MARGIN) / width, LINE / height
        fig.text(left, 1 - line / 2, first, fontsize=12, fontweight="bold", color=INK, va="center", parse_math=False)
        fig.text(left, 1 - line * 1.5, second, fontsize=FONT, color=INK, va="center", parse_math=False)
        x += room + gap
    return axes


def paint(ax: Axes, layout: Layout, items: Mapping[Hashable, Item], marked: Collection[Hashable] = ()) -> None:
    """Paints a layout into axes; ``marked`` boxes get a dashed frame. Too small axes make everything smaller."""
    width, height = picture_size(layout)
    left, right, _, top = layout.bounds
    ax.set_axis_off()
    ax.set_xlim(left - MARGIN, left - MARGIN + width)
    ax.set_ylim(top + MARGIN - height, top + MARGIN)
    ax.set_aspect("equal", anchor="N")
    figure_width, figure_height = ax.figure.get_size_inches()  # type: ignore[union-attr]  # no SubFigure
    room = ax.get_position(original=True)
    scale = min(1.0, room.width * figure_width / width, room.height * figure_height / height)
    if not items:
        ax.text(width / 2 - MARGIN, top, "an empty network", ha="center", va="top", fontsize=FONT * scale, color=INK)
    for arrow in layout.arrows:
        _paint_arrow(ax, arrow, scale)
    for key, box in layout.boxes.items():
        _paint_box(ax, box, items[key], key in marked, scale)
    sources = {arrow.source for arrow in layout.arrows}
    for key, (x, y, align) in layout.labels.items():
        if key in sources and items[key].label:
            text: dict[str, Any] = {"fontsize": FONT * scale, "color": "#444444", "zorder": 2, "parse_math": False}
            if align == "left":  # beside an arrow; others may pass behind the text
                text |= {"va": "center_baseline", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
            else:  # above an arrow
                text |= {"ha": "center", "va": "baseline"}
            ax.text(x, y, items[key].label, **text)


def _paint_box(ax: Axes, box, item: Item, marked: bool, scale: float) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyBboxPatch

    left, _, bottom, _ = box.edges
    colour = to_rgb(PALETTE[item.colour])
    edge = GREY if item.colour == "black" else [channel * 0.75 + 0.05 for channel in colour]
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom),
            box.width,
            box.height,
            boxstyle=f"round,pad=0,rounding_size={box.height / 2 if item.pill else 0.07}",
            facecolor=[1 - (1 - channel) * item.strength for channel in colour],
            edgecolor=PALETTE["vermillion"] if marked else edge,
            linewidth=(2.2 if marked else 0.9) * scale,
            linestyle=(0, (3, 1.6)) if marked else "-",
            zorder=3,
        )
    )
    text: dict[str, Any] = {"ha": "center", "va": "baseline", "fontsize": FONT * scale, "color": INK, "zorder": 4}
    text["parse_math"] = False
    ax.text(box.x, box.y + 0.045, item.caption, fontweight="bold", **text)
    ax.text(box.x, box.y - 0.125, shorten(item.name), **text)


def _paint_arrow(ax: Axes, arrow: Arrow, scale: float) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points, codes = [arrow.points[0]], [Path.MOVETO]
    for number, (x, y) in enumerate(arrow.points[1:]):
        before, above = points[-1]
        if abs(x - before) + abs(y - above) < 1e-6:
            continue  # an arrow of no length would have no head
        if arrow.kind == "down" and number % 2 == 1 and x != before:
            middle = (y + above) / 2
            points += [(before, middle), (x, middle), (x, y)]
            codes += [Path.CURVE4] * 3
        else:
            points.append((x, y))
            codes.append(Path.LINETO)
    ax.add_patch(
        FancyArrowPatch(
            path=Path(points, codes),
            arrowstyle="-|>",
            mutation_scale=9 * scale,
            linewidth=1.1 * scale,
            linestyle=(0, (4, 2)) if arrow.kind == "back" else "-",
            color=GREY,
            joinstyle="round",
            zorder=1,
        )
    )
