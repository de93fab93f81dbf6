"""The benchmark's table, ratios and picture. Needs rich and matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from helpers.workbook.figures import PALETTE, figure, to_png


@dataclass(frozen=True)
class Goal:
    """A ratio of two methods in the same run that is to stay within a bound. ``where``: "host" or "gpu" time."""

    above: str
    below: str
    where: str
    case: tuple[str, str, int]
    bound: str

    def reached(self, ratio: float) -> bool:
        sign, limit = self.bound.split()
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
    goals = Table("ratio", "case", "measured", "goal", "reached")
    for goal, ratio in ratios(result):
        measured = ("—", "no row") if ratio is None else (f"{ratio:.3f}", "yes" if goal.reached(ratio) else "NO")
        what = f"{goal.above} / {goal.below} ({goal.where})"
        goals.add_row(what, " ".join(map(str, goal.case)), measured[0], goal.bound, measured[1])
    console.print(goals)
    for what, value in {**result["machine"], **result["versions"], **result["python layer"]}.items():
        console.print(f"{what}: {value}")
    picture.write_bytes(to_png(draw(result)))


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
