"""Draws an evaluation: confusion matrix, curves, and the contact sheet of misclassified cells, as PNG."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from inference.pipeline.findings import Image
from inference.training.curves import BINS

INK, SOFT, LINE, ACCENT = "#18242e", "#4c5b67", "#d2d9de", "#1f5f8b"
WRONG = "#d55e00"
"""Vermillion of Okabe and Ito's palette, which readers with any colour vision tell from the accent."""

SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", ACCENT])
DPI = 160
STYLE: dict[str, Any] = {"color": INK}
SHEET_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Mistake:
    """A misclassified cell: its crop, uint8 RGB, and what is said of it."""

    crop: Image
    file: str
    truth: str
    call: str
    confidence: float
    whole_frame: bool


def words(name: str) -> str:
    """Return a class's name as it is read."""
    return name.replace("_", " ")


def plots(figures: Mapping[str, Any], mistakes: Sequence[Mistake]) -> dict[str, bytes]:
    """Return every picture of an evaluation by its name, as PNG."""
    made = {
        "confusion": confusion(figures["labels"], figures["confusion"]),
        "reliability": reliability(figures["reliability"]),
        "coverage_accuracy": coverage_accuracy(figures["coverage_accuracy"], figures["coverage"]),
    }
    if figures["roc"]["per_class"]:
        made["roc"] = roc(figures["roc"]["per_class"], figures["intervals_95"]["per_class"])
    if mistakes:
        made["misclassified"] = contact_sheet(mistakes)
    return made


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return buffer.getvalue()


def _axes(axes: Axes, across: str, up: str) -> None:
    """Draw the frame of a curve between 0 and 100 %."""
    axes.set_xlabel(across, fontsize=9, **STYLE)
    axes.set_ylabel(up, fontsize=9, **STYLE)
    axes.set_xticks(np.arange(0, 101, 20))
    axes.set_yticks(np.arange(0, 101, 20))
    axes.tick_params(colors=SOFT, labelsize=8, length=0)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_color(LINE)


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    """Draw the cells by truth (rows) and call (columns), shaded by their share of the row."""
    table = np.asarray(counts, np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 1.9 + 0.52 * len(labels)
    figure = Figure(figsize=(side + 0.4, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="equal")
    for (row, column), count in np.ndenumerate(table.astype(int)):
        colour = "white" if shares[row, column] > 0.5 else INK if count else "#9aa5ad"
        font = STYLE | {"color": colour, "fontweight": "bold" if row == column else "normal"}
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, **font)
        if row == column:
            axes.add_patch(_frame(row))
    _name_rows_and_columns(axes, labels)
    return _png(figure)


def _frame(place: int) -> Rectangle:
    return Rectangle(
        (place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.2, clip_on=False
    )


def _name_rows_and_columns(axes: Axes, labels: Sequence[str]) -> None:
    named = [words(label) for label in labels]
    axes.set_xticks(range(len(labels)), named, rotation=45, ha="left", rotation_mode="anchor", **STYLE)
    axes.set_yticks(range(len(labels)), named, **STYLE)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("called by the network", fontsize=9, **(STYLE | {"color": SOFT}))
    axes.set_ylabel("labelled by the laboratory", fontsize=9, **(STYLE | {"color": SOFT}))
    axes.tick_params(labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_color(LINE)


def roc(curves: Mapping[str, Any], intervals: Mapping[str, Any]) -> bytes:
    """Draw one curve per class, each in a panel of its own with its area."""
    columns = min(5, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(2.15 * columns + 0.3, 2.45 * rows), layout="constrained")
    panels = np.atleast_1d(np.asarray(figure.subplots(rows, columns, sharex=True, sharey=True))).ravel()
    for axes, (label, curve) in zip(panels, curves.items(), strict=False):
        _axes(axes, "", "")
        axes.plot([0, 100], [0, 100], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(
            _percent(curve["false_positive_rate"]), _percent(curve["sensitivity"]), color=ACCENT, lw=1.8
        )
        axes.set(xlim=(-2, 102), ylim=(-2, 102), aspect="equal")
        low, high = intervals[label]["auc"]
        area = f"{curve['auc']:.3f} ({low:.3f}–{high:.3f})"
        axes.set_title(f"{words(label)}\n{area}", fontsize=8, loc="left", **STYLE)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("false positive rate, %", fontsize=9, **STYLE)
    figure.supylabel("sensitivity, %", fontsize=9, **STYLE)
    return _png(figure)


def _percent(values: Sequence[float]) -> Any:
    return 100 * np.asarray(values)


def reliability(bins: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the accuracy of the calls at each confidence with its exact interval, and how many there are."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    confidence, accuracy = (_percent([one[name] for one in bins]) for name in ("confidence", "accuracy"))
    reach = np.abs(_percent([one["accuracy_95"] for one in bins]).T - accuracy)
    _axes(upper, "", "calls that are right, %")
    upper.plot(
        [0, 100], [0, 100], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)), label="perfect calibration"
    )
    upper.errorbar(confidence, accuracy, reach, color=ACCENT, marker="o", markersize=5, linewidth=0,
                   elinewidth=1.2, capsize=2.5, label="calls, 95 % interval")  # fmt: skip
    upper.set(xlim=(0, 102), ylim=(0, 102))
    upper.legend(fontsize=8, frameon=False, loc="lower right")
    _axes(lower, "confidence, %", "calls")
    lower.bar(_percent([one["low"] for one in bins]), [one["n"] for one in bins], 100 / BINS, align="edge",
              color="#9fb9cc", edgecolor="white")  # fmt: skip
    lower.set_yticks([0, max(one["n"] for one in bins)])
    return _png(figure)


def coverage_accuracy(points: Sequence[Mapping[str, float]], coverage: float) -> bytes:
    """Draw what accuracy the surest calls have, and where the network's own threshold lies."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    kept, right = (_percent([point[name] for point in points]) for name in ("coverage", "accuracy"))
    _axes(axes, "cells that are kept, the surest first, %", "calls that are right among them, %")
    axes.step(kept, right, where="pre", color=ACCENT, linewidth=1.8, label="accuracy of the calls kept")
    axes.axvline(100 * coverage, color=WRONG, linewidth=1.2, linestyle=(0, (2, 2)),
                 label=f"kept by the network's threshold: {100 * coverage:.1f} %")  # fmt: skip
    lowest = float(right.min())
    bottom = 0 if lowest < 50 else 50 if lowest < 90 else 90
    axes.set_yticks(np.linspace(bottom, 100, 6))
    axes.set(xlim=(0, 102), ylim=(bottom, 100 + (100 - bottom) / 50))
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return _png(figure)


def contact_sheet(mistakes: Sequence[Mistake]) -> bytes:
    """Draw misclassified cells in their order: the crop, the truth, the call and its confidence."""
    columns = min(SHEET_COLUMNS, len(mistakes))
    rows = -(-len(mistakes) // columns)
    figure = Figure(figsize=(max(1.5 * columns, 3.0), 2.0 * rows), layout="constrained")
    panels = np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, mistake in zip(panels, mistakes, strict=False):
        axes.imshow(mistake.crop)
        said = f"{words(mistake.truth)}\n→ {words(mistake.call)}\n{100 * mistake.confidence:.0f} % confidence"
        axes.text(0, -0.03, said, fontsize=6.5, transform=axes.transAxes, va="top", **STYLE)
    return _png(figure)
