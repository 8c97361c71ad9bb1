"""Four panels: the whole pack, a slice, scattered rows, and many clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MUCH = 30
"""A longest bar of so many times the shortest asks for a logarithmic axis."""


def plot(result: dict[str, Any], path: Path) -> bool:
    """Draw a result into an image; False if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 4, figsize=(20, 4), layout="constrained")
    rates = {
        name: of["mb_per_second"]["median"] for name, of in result["whole"]["contenders"].items()
    }
    _bars(panels[0], rates, "the whole pack into an array", "MB/s")
    for axes, work in zip(panels[1:3], ("slice", "scattered"), strict=True):
        times = {name: of["p50_ms"] for name, of in result[work]["contenders"].items()}
        _bars(axes, times, f"{work}, p50", "ms")
        if max(times.values()) > MUCH * min(times.values()):
            axes.set_xscale("log")
            axes.set_xlim(0.5 * min(times.values()), 20 * max(times.values()))
    _crowd(panels[3], [of for of in result["crowd"] if of["work"] == "slice"])
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return True


def _bars(axes: Any, values: dict[str, float], title: str, unit: str) -> None:
    """Ours in another colour, and each with its ratio to nginx where that took part."""
    names = list(values)[::-1]
    ours = [name.startswith(("ours", "client")) for name in names]
    colours = ["tab:orange" if own else "tab:gray" for own in ours]
    bars = axes.barh(names, [values[name] for name in names], color=colours)
    nginx = values.get("nginx")
    ratios = [f" ({values[name] / nginx:.2g} ×)" if nginx else "" for name in names]
    labels = [f"{values[name]:.3g}{ratio}" for name, ratio in zip(names, ratios, strict=True)]
    axes.bar_label(bars, labels, padding=4, fontsize=8)
    axes.set_xlim(right=1.35 * max(values.values()))
    axes.set_xlabel(unit)
    axes.set_title(title, fontsize=10)


def _crowd(axes: Any, turns: list[dict[str, Any]]) -> None:
    for name in dict.fromkeys(of["contender"] for of in turns):
        mine = [of for of in turns if of["contender"] == name]
        clients = [of["clients"] for of in mine]
        axes.plot(clients, [of["mb_per_second"]["median"] for of in mine], marker="o", label=name)
    axes.set_xscale("log", base=2)
    counts = sorted({of["clients"] for of in turns})
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("clients at once")
    axes.set_ylabel("MB/s")
    axes.set_ylim(bottom=0)
    axes.set_title("slices for many clients", fontsize=10)
    axes.legend(fontsize=8)
