"""Convolution + BatchNorm as one convolution: the same function with one pass less over memory.

In ``eval()`` mode BatchNorm scales and shifts each channel by constants, which can be multiplied
into the convolution before it (Jacob et al., 2018, arXiv:1712.05877, section 3.2).
"""

from __future__ import annotations

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(network: fx.GraphModule) -> fx.GraphModule:
    """The same network, changed in place, without the BatchNorms that can be folded.

    A convolution that is tapped, or whose output anything else reads, stays as it is.
    """
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    for norm in list(network.graph.nodes):
        convolution = norm.args[0] if norm.op == "call_module" and norm.args else None
        if not isinstance(convolution, fx.Node) or convolution.op != "call_module":
            continue
        first = network.get_submodule(str(convolution.target))
        second = network.get_submodule(str(norm.target))
        alone = len(convolution.users) == calls[convolution.target] == calls[norm.target] == 1
        if alone and isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(first, second)
            network.set_submodule(str(convolution.target), folded)
            norm.replace_all_uses_with(convolution)
            network.graph.erase_node(norm)
    network.delete_all_unused_submodules()
    network.recompile()
    return network
