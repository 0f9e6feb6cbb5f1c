"""Figures, in one style: one colour and marker per model, colour-blind safe, readable in grey."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's palette (2008), told apart by people with any of the common colour blindnesses.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
_DASHES = ["-", "--", "-.", ":"]
_STYLE: Any = {
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
}


def speed_vs_score(rows: Sequence[Mapping[str, Any]], path: Path, *, caption: str) -> None:
    """The paper's plot: score against speed, circle area by number of parameters.

    Args:
        rows: per model `label`, `texts_per_second`, `score` (0 to 1), `n_parameters`.
        path: the PNG to write.
        caption: small print under the plot: suite, machine, versions.
    """
    rows = [row for row in rows if not math.isnan(row["score"])]
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 4.8))
        taken: list[Any] = []
        for index, row in enumerate(rows):
            axes.scatter(
                row["texts_per_second"],
                100 * row["score"],
                s=_area(row),
                color=_COLOURS[index % len(_COLOURS)],
                alpha=0.75,
                edgecolors="black",
                linewidths=0.8,
            )
        axes.set_xscale("log")
        axes.margins(x=0.22, y=0.25)
        for row in rows:
            _place_label(figure, axes, row, taken)
        axes.set_xlabel("texts per second, one CPU thread (log scale)")
        axes.set_ylabel("average score")
        _finish(figure, path, caption)


def _area(row: Mapping[str, Any]) -> float:
    """Area of a model's circle in square points."""
    return 40 + 40 * float(row["n_parameters"]) / 1e6


def _place_label(figure: Any, axes: Any, row: Mapping[str, Any], taken: list[Any]) -> None:
    """Write a model's name above its circle, or where no other name is; `taken` gathers the names' boxes."""
    radius = math.sqrt(_area(row) / math.pi) + 4
    places: list[tuple[float, float, str, str]] = [(0, radius, "center", "bottom"), (0, -radius, "center", "top")]
    places += [(radius, 0, "left", "center"), (-radius, 0, "right", "center")]
    for x, y, horizontal, vertical in places:
        label = axes.annotate(
            f"{row['label']}\n{row['n_parameters'] / 1e6:.1f} M parameters",
            (row["texts_per_second"], 100 * row["score"]),
            xytext=(x, y),
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
        box = label.get_window_extent(figure.canvas.get_renderer())
        if not any(box.overlaps(other) for other in taken) or (x, y) == places[-1][:2]:
            taken.append(box)
            return
        label.remove()


def score_lines(
    series: Mapping[str, Mapping[str, float]],
    references: Mapping[str, float],
    path: Path,
    *,
    axis: str,
    caption: str,
) -> None:
    """Score of the variants of a sweep against the swept setting, with reference models as level lines.

    Args:
        series: per line of variants, the average score (0 to 1) by value of the swept setting, in order.
        references: average score of the teacher and the baselines, by label.
        path: the PNG to write.
        axis: name of the swept setting.
        caption: small print under the plot.
    """
    names = list(dict.fromkeys(name for points in series.values() for name in points))
    values = _numbers(names)
    place: dict[str, float] = dict(zip(names, values if values is not None else range(len(names)), strict=True))
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 4.8))
        for index, (label, points) in enumerate(series.items()):
            xs, ys = [place[name] for name in points], [100 * y for y in points.values()]
            axes.plot(
                xs, ys, marker=_MARKERS[index % len(_MARKERS)], color=_COLOURS[index % len(_COLOURS)], label=label
            )
            for x, y in zip(xs, ys, strict=True):
                axes.annotate(f"{y:.1f}", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        for index, (label, score) in enumerate(references.items(), start=len(series)):
            colour, dash = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]
            axes.axhline(100 * score, color=colour, linestyle=dash, label=label)
        if values is not None:
            axes.set_xscale("log", base=2)
        axes.set_xticks(list(place.values()), names)
        axes.minorticks_off()
        axes.set_xlabel(axis)
        axes.set_ylabel("average score")
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        _finish(figure, path, caption)


def _numbers(names: Sequence[str]) -> list[float] | None:
    """The names as positive numbers, or None when one of them is none."""
    try:
        values = [float(name) for name in names]
    except ValueError:
        return None
    return values if min(values) > 0 else None


def _finish(figure: Any, path: Path, caption: str) -> None:
    figure.text(0.01, -0.03, caption, fontsize=6.5, color="#555555", ha="left", va="top", wrap=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    # no date in the file: the same numbers give the same bytes
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
