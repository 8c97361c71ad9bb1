"""Bars of images per second, with their ratios to the naive loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.extraction.compare import NAIVE


def plot(result: dict[str, Any], path: Path) -> bool:
    """One panel for each piece of work; False if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = result["work"]
    figure, panels = pyplot.subplots(
        1, len(works), figsize=(5 * len(works), 4), squeeze=False, layout="constrained"
    )
    for axes, one in zip(panels[0], works, strict=True):
        rates = {name: of["images_per_second"] for name, of in one["contenders"].items()}
        naive = max(rates[name]["median"] for name in NAIVE)
        names = list(rates)[::-1]
        medians = [rates[name]["median"] for name in names]
        below = [rates[name]["median"] - rates[name]["min"] for name in names]
        above = [rates[name]["max"] - rates[name]["median"] for name in names]
        colours = ["tab:orange" if name.startswith("ours") else "tab:gray" for name in names]
        bars = axes.barh(names, medians, xerr=(below, above), color=colours)
        labels = [f"{rate:.3g} ({rate / naive:.2g} ×)" for rate in medians]
        axes.bar_label(bars, labels, padding=4, fontsize=8)
        axes.set_xlim(right=1.35 * max(medians))
        axes.set_xlabel("images per second")
        axes.set_title(f"{one['work']['name']}: {one['work']['network']}", fontsize=10)
    figure.savefig(path, dpi=150)
    return True
