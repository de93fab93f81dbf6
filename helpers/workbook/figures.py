"""Figures for notebooks: one readable style, and ``show``, which gives every picture a text alternative (chapter 01).

Needs matplotlib; ``show`` uses IPython where there is one. Figures are made without pyplot, so nothing has to be
closed and nothing appears twice; figures made with pyplot can be shown as well.

>>> fig, ax = figure(4, 3)
>>> to_png(fig)[1:4]
b'PNG'
"""

from __future__ import annotations

import base64
import html
import io
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which stay apart for every kind of colour vision.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}
DPI = 110
INK = "#222222"


def style() -> None:
    """Gives matplotlib the workbook's look from here on: plain, text of 10 points and more, colours of PALETTE.

    :func:`figure` and :func:`bars` do so themselves. It has to stay in force, since matplotlib asks for most of it as
    late as in ``ax.set_title`` or ``ax.legend``; ``with matplotlib.rc_context():`` around all of it takes it back.
    """
    import matplotlib as mpl
    from matplotlib.rcsetup import cycler

    colours = [colour for name, colour in PALETTE.items() if name != "yellow"]  # too light for lines on white
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=colours),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#888888",
            "axes.labelcolor": INK,
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlepad": 10,
            "figure.facecolor": "white",
            "font.size": 11,
            "image.cmap": "gray",
            "legend.frameon": False,
            "legend.fontsize": 10,
            "text.color": INK,
            "xtick.color": INK,
            "xtick.labelsize": 10,
            "ytick.color": INK,
            "ytick.labelsize": 10,
        }
    )


def figure(width: float = 7.0, height: float = 3.5, **subplots) -> tuple[Figure, Any]:
    """Makes a new figure of ``width`` × ``height`` inches in the workbook's style, and its axes.

    ``subplots`` goes to ``Figure.subplots``: ``figure(nrows=2, ncols=5)`` gives an array of ten axes.
    """
    style()
    fig = new_figure(width, height, layout="constrained")
    return fig, fig.subplots(**subplots)


def bars(
    labels: Sequence[str], values: Sequence[float | None], *, unit: str = "", title: str = "", colour: str = "blue"
) -> Figure:
    """Draws horizontal bars, the first one on top, with each value and its unit written at the end of its bar.

    ``values`` are numbers of one unit; None and NaN leave an empty row that says "no value". ``colour`` is a name of
    :data:`PALETTE`. Raises ValueError where labels and values differ in number, or there are none.
    """
    labels, values = [str(label) for label in labels], list(values)
    if len(labels) != len(values) or not labels:
        raise ValueError(f"bars needs one value per label; got {len(labels)} labels and {len(values)} values")
    known = [None if value is None or math.isnan(value) else value for value in values]
    lengths = [0.0 if value is None else value for value in known]
    fig, ax = figure(7.0, 0.3 + 0.42 * len(labels) + (0.3 if title else 0))
    drawn = ax.barh(range(len(labels)), lengths, height=0.62, color=PALETTE[colour])
    texts = ["no value" if value is None else f"{_number(value)} {unit}".strip() for value in known]
    ax.bar_label(drawn, texts, padding=5, fontsize=10)
    ax.set_yticks(range(len(labels)), labels, parse_math=False)
    ax.invert_yaxis()
    ax.set_title(title)
    # The values stand beside the bars: a second scale below them would only repeat them.
    ax.xaxis.set_visible(False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    low, high = min(0.0, *lengths), max(0.0, *lengths)
    ax.set_xlim(low * 1.3, high * 1.3 or (0.0 if low else 1.0))  # with room for the values
    return fig


def show(fig: Figure, alt: str, *, width: int | None = None) -> None:
    """Displays a matplotlib figure in a notebook with a text alternative, and closes it.

    JupyterLab's own renderer of images has no place for such a text, so the figure goes out as HTML, on an opaque
    white ground that reads on a dark theme too. ``alt`` says what one sees, with its numbers; ``width`` is in CSS
    pixels (None: the figure's own size, never more than the page's). Outside a notebook the text is printed.
    Raises TypeError for what is no figure and ValueError for an empty ``alt``.
    """
    if not hasattr(fig, "savefig"):
        hint = "; pass ax.figure" if hasattr(fig, "get_figure") else ""
        raise TypeError(f"show needs a matplotlib figure and got {type(fig).__name__}{hint}")
    _check_alt(alt)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)
    _display(to_png(fig), alt, width)


def show_image(image: Any, alt: str, *, width: int | None = None) -> None:
    """Displays a Pillow image, such as a photograph, as :func:`show` displays a figure: with 256 colours, which look
    alike and take a third of the bytes. Raises ValueError for an empty ``alt``.
    """
    from PIL import Image

    _check_alt(alt)
    _display(_encoded(image.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)), alt, width)


def _check_alt(alt: Any) -> None:
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("alt is empty: say in a sentence what the figure shows, for those who cannot see it")


def _display(png: bytes, alt: str, width: int | None) -> None:
    alt = " ".join(alt.split())
    size = f' width="{int(width)}"' if width is not None else ""
    image = (
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"{size} '
        'style="max-width:100%;height:auto;background:#ffffff;border-radius:8px">'
    )
    text = f"[figure] {alt}"
    if _in_ipython():
        from IPython.display import display

        display({"text/html": image, "text/plain": text}, raw=True)
    else:
        print(text)


def to_png(fig: Figure) -> bytes:
    """Returns the figure as an opaque PNG file, with a palette where that is smaller and looks alike. Needs Pillow."""
    from PIL import Image

    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=DPI, facecolor="white", bbox_inches="tight", pad_inches=0.14)
    image = Image.open(raw).convert("RGB")
    pixels = np.asarray(image, np.int16)
    best = _encoded(image)
    for colours in (256, 128, 64):
        palette = image.quantize(colours, kmeans=3, dither=Image.Dither.NONE)
        error = np.abs(np.asarray(palette.convert("RGB"), np.int16) - pixels)
        if error.mean() < 0.5 and np.quantile(error, 0.999) <= 32:
            best = min(best, _encoded(palette), key=len)
    return best


def _encoded(image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


def new_figure(width: float, height: float, **options) -> Figure:
    """Makes an empty figure of so many inches."""
    # Made without pyplot, whose list of open figures would show it a second time at the end of the cell.
    from matplotlib.figure import Figure

    if _in_ipython():
        import matplotlib.pyplot as plt

        if not plt.get_fignums():  # pyplot may not have started: only then does a cell display its last expression
            plt.switch_backend(plt.get_backend())
    return Figure(figsize=(width, height), **options)


def _in_ipython() -> bool:
    return "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def _number(value: float) -> str:
    """857028 → '857,028'; 0.0612 → '0.0612'; 1234.5 → '1,234' (integers in full, else three significant digits)."""
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
