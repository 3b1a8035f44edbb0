"""Where the time goes, as a picture: each stage alone, and the whole machine beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from daemon.benchmark.figures import DECODE, LEDGER, LOG_MEL, NETWORK, RESAMPLE
from daemon.benchmark.table import Format
from daemon.errors import DaemonError

STARTING, BETWEEN, IDLE, OTHERS = "starting workers", "between the stages", "idle", "other programs"
COLOURS = {
    DECODE: "#2f6db3",
    RESAMPLE: "#7fb2e5",
    LOG_MEL: "#3f9c78",
    NETWORK: "#e08a2e",
    LEDGER: "#8763b0",
    STARTING: "#a9b3bf",
    BETWEEN: "#6f7a88",
    IDLE: "#dde2e8",
    OTHERS: "#f1d5d0",
}
DARK = (DECODE, LOG_MEL, LEDGER, BETWEEN)  # that want white numbers
INK, FAINT = "#1d2430", "#6b7583"
THEME = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color"), INK),
}
THICKNESS, STEP = 0.36, 0.42  # of a bar, in formats, and from one to the next
LEAST_SHARE = 0.045  # of the width; narrower parts have no number
COLUMNS = 5  # of the legend

Bar = tuple[str, Mapping[str, float]]


def write_plot(path: Path, formats: Sequence[Format], cores: int, about: str) -> None:
    """A PNG; `about` stands below its title. Raises DaemonError where it cannot be written."""
    with rc_context(THEME):  # type: ignore[arg-type]
        figure = draw(formats, cores, about)
        try:
            with path.open("wb") as file:
                FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
        except OSError as error:
            raise DaemonError(f"cannot write {path}: {error.strerror}; name another") from error


def draw(formats: Sequence[Format], cores: int, about: str) -> Figure:
    figure = Figure(figsize=(10, 2.1 + 0.9 * len(formats)), dpi=140, layout="constrained")
    axes = figure.subplots()
    bars = {each.suffix: list(_bars(each, cores)) for each in formats}
    width = max(sum(parts.values()) for pair in bars.values() for _, parts in pair)
    ticks: dict[float, str] = {}
    for place, (suffix, pair) in enumerate(bars.items()):
        for number, (name, parts) in enumerate(pair):
            height = place + STEP * (number - (len(pair) - 1) / 2)
            ticks[height] = name
            _draw_bar(axes, height, parts, width)
        axes.annotate(
            suffix, (-0.155, place), xycoords=("axes fraction", "data"), va="center", weight="bold"
        )
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1.06 * width), ylim=(len(formats) - 0.5, -0.5))
    axes.set_xlabel("core-milliseconds per clip")
    axes.set_title(about, loc="left", fontsize=9, color=FAINT, pad=8)
    figure.suptitle("Where the time of a clip goes", fontsize=14, weight="bold")
    told = {name for pair in bars.values() for _, parts in pair for name in parts}
    patches = [Patch(color=COLOURS[name], label=name) for name in COLOURS if name in told]
    figure.legend(handles=patches, loc="outside lower center", ncols=COLUMNS, frameon=False)
    return figure


def _bars(each: Format, cores: int) -> Iterator[Bar]:
    stages, whole = each.costs.on_cores, each.whole(cores)
    yield "stages alone", stages
    if whole is not None:
        share = whole.stages / each.costs.core_ms
        rest = {STARTING: whole.starting, BETWEEN: whole.between}
        rest |= {IDLE: whole.idle, OTHERS: whole.others}
        yield "whole daemon", {name: share * ms for name, ms in stages.items()} | rest


def _draw_bar(axes: Axes, height: float, parts: Mapping[str, float], width: float) -> None:
    left = 0.0
    for name, ms in parts.items():
        axes.barh(height, ms, THICKNESS, left, color=COLOURS[name], edgecolor="white", lw=0.8)
        if ms >= LEAST_SHARE * width:
            colour = "white" if name in DARK else INK
            middle = left + ms / 2
            axes.text(middle, height, f"{ms:.1f}", ha="center", va="center", size=8.5, color=colour)
        left += ms
    axes.text(left, height, f" {left:.1f}", va="center", size=9, weight="bold")
