"""A head's scores as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from featurepack.answers import Head
from featurepack.cli.output import percent

MISTAKES = 5


def details(head: Head) -> Iterator[tuple[str, object]]:
    """What a person wants to know first; ``--json`` has all of it."""
    yield from (("head", head.head_id), ("pack", head.pack_id), ("method", head.method))
    yield "created", head.created
    yield from head.params.items()
    metrics = head.metrics
    for name, value in metrics.get("chosen", {}).items():
        yield f"chosen {name}" if name != "at_the_end_of_the_sweep" else "at the sweep's end", value
    yield "train accuracy", scored(metrics, "train")
    yield "train loss", metrics.get("train_loss")
    if "validation_accuracy" in metrics:
        yield "validation accuracy", scored(metrics, "validation")
        yield "validation loss", metrics.get("validation_loss")
    yield from _evaluation(metrics.get("evaluation", {}))
    yield from _trust(metrics.get("trust", {}))
    noise = metrics.get("label_noise", {})
    if noise:
        yield "suspect labels in train", f"{noise['suspects']} of {noise['rows']}"
    yield "seconds", metrics.get("seconds")


def scored(metrics: Mapping[str, Any], split: str) -> str:
    """``82.25 % (80.51 to 83.86) of 2000``."""
    accuracy = percent(metrics.get(f"{split}_accuracy"))
    interval = metrics.get(f"{split}_interval")
    between = f" ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})" if interval else ""
    return f"{accuracy}{between} of {metrics.get(f'{split}_rows')}"


def _evaluation(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    if not found:
        return
    yield "top-5 accuracy", percent(found["top5_accuracy"])
    yield "macro F1", round(found["macro_f1"], 4)
    yield "calibration error", percent(found["calibration_error"])
    if found.get("roc_auc") is not None:
        yield "ROC-AUC", round(found["roc_auc"], 4)
    for one in found["most_wrong"][:MISTAKES]:
        yield (
            "wrong",
            (
                f"{one['row_id']}: {one['label']} taken for {one['predicted']}, "
                f"{percent(one['probability'])}"
            ),
        )


def _trust(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    if not found:
        return
    for kind in ("exact_duplicates", "near_duplicates", "groups_on_both_sides"):
        if kind in found:
            without = percent(found[f"without_{kind}"]["accuracy"])
            yield kind.replace("_", " "), f"{found[kind]}; accuracy without them {without}"
