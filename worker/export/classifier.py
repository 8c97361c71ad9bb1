"""A cut network and a trained head as one module: images → probabilities.

What :mod:`worker.heads.file` computes with NumPy, in operations that an exporter knows.
Shapes: N images, C, H, W of the network's input, D values in a row, K classes, I inputs and O
outputs of a layer, M rows that knn remembers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cache.recipe import Recipe
from worker.heads.file import Floats, Head, KnnHead, LinearHead, MlpHead
from worker.networks import pool


class Classifier(nn.Module):
    """Images [N, C, H, W], transformed as the recipe says → probabilities float32 [N, K]."""

    def __init__(self, network: nn.Module, recipe: Recipe, head: Head) -> None:
        """``network`` is cut at the recipe's layer, by :func:`worker.networks.build`."""
        super().__init__()
        self._network = network
        self._tap = recipe.tap
        self._half = recipe.numerics.stored == "float16"
        self._head = _module(head)

    def forward(self, images: Tensor) -> Tensor:
        features = pool(self._network(images)[self._tap.layer], self._tap.pool)
        if self._half:  # the head was trained on rows that were rounded so
            features = features.half().float()
        probabilities_NK: Tensor = self._head(features.flatten(1))
        return probabilities_NK


def _module(head: Head) -> nn.Module:
    match head:
        case LinearHead():
            return nn.Sequential(_dense(head.weight_DK, head.bias_K), nn.Softmax(dim=1))
        case MlpHead():
            steps: list[nn.Module] = []
            for weight_IO, bias_O in head.layers:
                steps += [_dense(weight_IO, bias_O), nn.ReLU()]
            return nn.Sequential(*steps[:-1], nn.Softmax(dim=1))
        case KnnHead():
            return _Votes(head)


def _dense(weight_IO: Floats, bias_O: Floats) -> nn.Linear:
    layer = nn.Linear(weight_IO.shape[0], weight_IO.shape[1], device="meta")  # no numbers are drawn
    layer.weight = nn.Parameter(torch.tensor(weight_IO.T), requires_grad=False)
    layer.bias = nn.Parameter(torch.tensor(bias_O), requires_grad=False)
    return layer


class _Votes(nn.Module):
    """:class:`worker.heads.file.KnnHead`, the vote that is spread over all classes included."""

    _features_DM: Tensor
    _label_M: Tensor
    _class_K: Tensor

    def __init__(self, head: KnnHead) -> None:
        super().__init__()
        self._k = min(head.k, len(head.label_M))
        self._voters = head.k
        self._classes = len(head.classes)
        self.register_buffer("_features_DM", torch.tensor(head.features_MD.T))
        self.register_buffer("_label_M", torch.tensor(head.label_M))
        self.register_buffer("_class_K", torch.arange(self._classes))

    def forward(self, features_ND: Tensor) -> Tensor:
        length_N1 = features_ND.square().sum(dim=1, keepdim=True).sqrt()
        unit_ND = features_ND / torch.where(length_N1 > 0, length_N1, 1.0)
        nearest_Nk = (unit_ND @ self._features_DM).topk(self._k, dim=1).indices
        voted_NkK = torch.eq(self._label_M[nearest_Nk][:, :, None], self._class_K)
        votes_NK = voted_NkK.float().sum(dim=1)
        return (votes_NK + 1 / self._classes) / (self._voters + 1)
