"""The labs' file names: which network and dataset features were made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

ALIASES = ("vgg", "inception", "resnet")
"""How the labs call VGG16, Inception v3 and ResNet-50."""

_NAME = re.compile(r"(?P<pair>.+?)(?:_100)?_bottleneck_features_(?:train|validation)\.p(?:kl)?")


class LabFile(NamedTuple):
    network: str
    dataset: str


def guess(name: str, networks: Iterable[str]) -> LabFile | None:
    """``{network}_{dataset}[_100]_bottleneck_features_{train|validation}.p`` taken apart.

    Both parts may hold underscores: the longest known network that fits wins; if none does, the
    network ends at the first underscore. None if the name is of another kind.
    """
    found = _NAME.fullmatch(name)
    if found is None or "_" not in found["pair"]:
        return None
    pair = found["pair"]
    known = [network for network in (*networks, *ALIASES) if pair.startswith(f"{network}_")]
    network = max(known, key=len, default=pair.partition("_")[0])
    return LabFile(network, pair[len(network) + 1 :])
