"""The benchmark's table, ratios and picture. Needs rich and matplotlib."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.workbook.figures import PALETTE, figure, to_png


@dataclass(frozen=True)
class Goal:
    """A ratio of two methods in the same run that is to stay within a bound. ``where``: "host" or "gpu" time."""

    above: str
    below: str
    where: str
    case: tuple[str, str, int]
    bound: str


def reached(ratio: float, bound: str) -> bool:
    """``reached(1.2, "<= 1.1")`` is False."""
    sign, limit = bound.split()
    return ratio <= float(limit) if sign == "<=" else ratio >= float(limit)


def _goals() -> list[Goal]:
    goals = [
        Goal("Runner", "by hand, CUDA graph", "host", ("LeNet", "float32", 1), "<= 1.10"),
        Goal("Runner", "by hand, CUDA graph", "host", ("LeNet", "float32", 256), "<= 1.05"),
    ]
    for precision in ("float32", "float16"):
        large = ("ResNet-50", precision, 32)
        goals += [Goal("Runner", "by hand", "gpu", ("ResNet-50", precision, batch), "<= 1.02") for batch in (1, 8, 32)]
        goals.append(Goal("Runner, one by one", "Runner.map, 2 streams", "host", large, ">= 1.5"))
    for method, bound in (("PyTorch eager", ">= 3"), ("PyTorch CUDA graph", ">= 1.15")):
        goals += [Goal(method, "Runner", "gpu", ("ResNet-50", "float16", batch), bound) for batch in (1, 8, 32)]
    return goals


def find(result: dict, network: str, precision: str, batch: int, method: str, where: str) -> float | None:
    """The median in microseconds of one row, None if there is no such row."""
    for row in result["rows"]:
        if (row["network"], row["precision"], row["batch"], row["method"]) == (network, precision, batch, method):
            return row[where]["median"] if row[where] else None
    return None


def ratios(result: dict) -> list[tuple[Goal, float | None]]:
    """Every goal and the measured ratio; None where a row is missing."""
    table = []
    for goal in _goals():
        above, below = (find(result, *goal.case, method, goal.where) for method in (goal.above, goal.below))
        table.append((goal, above / below if above and below else None))
    return table


def show(result: dict, picture: Path) -> None:
    """Prints the rows and ratios and draws them."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=150)
    rows = Table("network", "precision", "batch", "method", "host µs", "spread", "p99", "Python µs", "GPU µs", "error")
    for row in result["rows"]:
        host, gpu = row["host"], row["gpu"]
        spread = f"{host['low']:.1f} – {host['high']:.1f}"
        python = f"{host['python']:.1f}" if "python" in host else ""
        numbers = f"{host['median']:.1f}", spread, f"{host['p99']:.1f}", python, f"{gpu['median']:.1f}" if gpu else ""
        rows.add_row(
            row["network"], row["precision"], str(row["batch"]), row["method"], *numbers, f"{row['error']:.1e}"
        )
    console.print(rows)
    told = [
        (f"{goal.above} / {goal.below} ({goal.where}), {' '.join(map(str, goal.case))}", ratio, goal.bound)
        for goal, ratio in ratios(result)
    ]
    console.print(_goals_table(told))
    for what, value in {**result["machine"], **result["versions"], **result["python layer"]}.items():
        console.print(f"{what}: {value}")
    picture.write_bytes(to_png(draw(result)))


def _goals_table(goals: list[tuple[str, float | None, str]]):
    """What is compared, the measured ratio (None: no row) and the bound, as a table."""
    from rich.table import Table

    table = Table("ratio", "measured", "goal", "reached")
    for what, ratio, bound in goals:
        measured = ("—", "no row") if ratio is None else (f"{ratio:.3f}", "yes" if reached(ratio, bound) else "NO")
        table.add_row(what, measured[0], bound, measured[1])
    return table


def draw(result: dict):
    """Host-to-host time per call of every method, with its spread, for four cases; the Runner's modes in blue."""
    fig, axes = figure(11, 8, nrows=2, ncols=2)
    cases = [
        ("LeNet", "float32", 1),
        ("LeNet", "float32", 256),
        ("ResNet-50", "float16", 1),
        ("ResNet-50", "float16", 32),
    ]
    for ax, case in zip(axes.flat, cases, strict=True):
        rows = [row for row in result["rows"] if (row["network"], row["precision"], row["batch"]) == case]
        rows.sort(key=lambda row: row["host"]["median"])
        names, times = [row["method"] for row in rows], [row["host"] for row in rows]
        middle = [time["median"] for time in times]
        spread = [time["median"] - time["low"] for time in times], [time["high"] - time["median"] for time in times]
        colours = [PALETTE["blue"] if name.startswith("Runner") else "#999999" for name in names]
        drawn = ax.barh(names, middle, xerr=spread, color=colours)
        ax.bar_label(drawn, [f"{time:,.0f} µs" for time in middle], padding=4, fontsize=8)
        ax.set_title("{} {}, batch {}".format(*case))
        ax.invert_yaxis()
        ax.tick_params(labelsize=8)
        ax.margins(x=0.2)
        ax.xaxis.set_visible(False)
    return fig


def detector_goals(detector: dict) -> list[tuple[str, float | None, str]]:
    """What the detector's pipeline is to reach: what is compared, the measured ratio (None: no row), and the bound.

    The best call of the Runner, one frame at a time, against the fastest row of PyTorch of each kind.
    """

    def fps(side: str, begin: str = "") -> float:
        """The highest number of frames per second of one-frame calls; 0 if there is no such row."""
        return max(
            (
                row["fps"]
                for row in detector["rows"]
                if row["side"] == side and row["method"].startswith(begin) and row["frames"] == 1
                if "fps" in row and "streams" not in row
            ),
            default=0.0,
        )

    ours = fps("TensorRT")
    goals = []
    for other, bound in (("PyTorch CUDA graph", ">= 1.5"), ("PyTorch eager", ">= 5")):
        theirs = fps("PyTorch", other)
        goals.append((f"frames per second, one frame: Runner / {other}", ours / theirs if theirs else None, bound))
    network = [row for row in detector["network ms per batch"] if row["frames"] == 16 and "nms" in row["plan"]]
    ratio = min((row["host"] / row["gpu"] for row in network), default=None)
    return [*goals, ("network and NMS, 16 frames: a call / the GPU's time for it", ratio, "<= 1.15")]


def show_detector(detector: dict, picture: Path) -> None:
    """Prints the detector's rows and goals and draws them."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=150)
    rows = Table("method", "frames", "fps", "ms", "spread", "agreement")
    for row in detector["rows"]:
        agreement = f"{row['agreement']:.1%}" if "agreement" in row else ""
        if "fps" in row:
            numbers = f"{row['fps']:,.0f}", f"{row['ms']:.3f}", f"{row['low']:.3f} – {row['high']:.3f}", agreement
        else:
            numbers = "—", "—", row["error"], agreement
        rows.add_row(row["method"], str(row["frames"]), *numbers)
    console.print(rows)
    times = Table("network alone", "frames", "a call, ms", "mapped, ms", "GPU, ms")
    for row in detector["network ms per batch"]:
        numbers = [f"{row[key]:.3f}" if key in row else "" for key in ("host", "mapped", "gpu")]
        times.add_row(row["plan"], str(row["frames"]), *numbers)
    console.print(times)
    console.print(_goals_table(detector_goals(detector)))
    for what in ("machine", "versions", "PyTorch", "cpu parts ms"):
        console.print(f"{what}: {detector[what]}")
    picture.write_bytes(framed(to_png(draw_detector(detector))))


def draw_detector(detector: dict):
    """Frames per second of every method, for one frame and for 16 at once; no bar where a method was not right."""
    counts = (1, 16)
    shown = {
        count: sorted(
            (row for row in detector["rows"] if row["frames"] == count and "fps" in row), key=lambda row: -row["fps"]
        )
        for count in counts
    }
    heights = [len(shown[count]) + 2 for count in counts]
    fig, axes = figure(7.2, 0.27 * sum(heights), nrows=2, height_ratios=heights)
    colours = {"TensorRT": PALETTE["blue"], "PyTorch": PALETTE["vermillion"], "ONNX Runtime": "#999999"}
    for ax, count in zip(axes, counts, strict=True):
        rows = shown[count]
        values, places = [row["fps"] for row in rows], range(len(rows))
        # The lowest time is the highest number of frames.
        spread = [[v - 1e3 / row["high"] for v, row in zip(values, rows, strict=True)],
                  [1e3 / row["low"] - v for v, row in zip(values, rows, strict=True)]]  # fmt: skip
        drawn = ax.barh(
            places, values, height=0.66, xerr=np.maximum(spread, 0), color=[colours[row["side"]] for row in rows]
        )
        ax.bar_label(drawn, [f"{value:,.0f}" for value in values], padding=4, fontsize=9)
        ax.set_yticks(places, [row["method"] for row in rows])
        ax.set_title("Frames per second, " + ("one frame at a time" if count == 1 else f"{count} frames at once"))
        ax.invert_yaxis()
        ax.tick_params(axis="y", labelsize=9, length=0)
        ax.xaxis.set_visible(False)
        ax.spines["bottom"].set_visible(False)
        ax.set_xlim(0, 1.14 * max([*(1e3 / row["low"] for row in rows), 1]))
    from matplotlib.patches import Patch

    sides = [side for side in colours if any(row["side"] == side for rows in shown.values() for row in rows)]
    axes[0].legend(handles=[Patch(color=colours[side], label=side) for side in sides], loc="lower right")
    return fig


def framed(png: bytes) -> bytes:
    """The picture with a thin grey line around it, so that it ends somewhere on a white page."""
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    ImageOps.expand(image, border=1, fill="#bbbbbb").quantize(128, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()
