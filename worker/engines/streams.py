"""What an engine asks of a device: streams, pinned memory, graphs.

``Cuda`` is a GPU. ``Host`` gives the same on the CPU, where there is one queue of work and it is
always done: streams are nothing, and a captured call is called again. What holds for a GPU holds
for it, too: replaying overwrites the outputs of the replay before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

Outputs = dict[str, Tensor]
Replay = Callable[[], Outputs]
Stream = torch.cuda.Stream | None


class Cuda:
    """A GPU, by its index."""

    def __init__(self, device: torch.device) -> None:
        # Threads start on GPU 0, whichever the thread that makes the engine is on.
        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)

    def stream(self) -> Stream:
        """A new queue of work."""
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def on(self, stream: Stream) -> AbstractContextManager[object]:
        """This thread's work goes to that queue."""
        return torch.cuda.stream(stream)

    def after(self, first: Stream, then: Stream) -> None:
        """What is added to ``then`` waits for what is in ``first`` by now."""
        assert first
        assert then
        then.wait_stream(first)

    def finish(self, stream: Stream) -> None:
        """Return when the queue's work is done. The thread sleeps: others need its core."""
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(stream)
        done.synchronize()

    def finish_all(self) -> None:
        """Return when the work of all queues is done."""
        torch.cuda.synchronize(self.device)

    def empty(self, count: int, *, pinned: bool) -> Tensor:
        """uint8 ``[count]`` on the device, or where it can be copied from without a detour."""
        if pinned:
            return torch.empty(count, dtype=torch.uint8, pin_memory=True)
        return torch.empty(count, dtype=torch.uint8, device=self.device)

    def bring_home(self, tensor: Tensor) -> Tensor:
        """A copy in pinned memory of its own, which is there when the queue's work is done."""
        home = torch.empty_like(tensor, device="cpu", pin_memory=True)
        return home.copy_(tensor, non_blocking=True)

    def forget(self) -> None:
        """Give cached memory back to the device."""
        torch.cuda.empty_cache()

    def capture(self, call: Replay, stream: Stream) -> Replay:
        """``call`` as a graph; its kernels must have run on this device before.

        Raises:
            Exception: whatever capturing may raise. The device is as usable as before.
        """
        graph = torch.cuda.CUDAGraph()
        # torch leaves its capture stream in place where ending a capture fails; the outer
        # context does not. Other threads may use the device meanwhile, hence thread_local.
        with (
            torch.cuda.stream(stream),
            torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
        ):
            outputs = call()

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay


class Host:
    """The CPU."""

    device = torch.device("cpu")

    def stream(self) -> Stream:
        return None

    def on(self, _: Stream) -> AbstractContextManager[object]:
        return nullcontext()

    def after(self, first: Stream, then: Stream) -> None: ...

    def finish(self, _: Stream) -> None: ...

    def finish_all(self) -> None: ...

    def empty(self, count: int, *, pinned: bool) -> Tensor:
        return torch.empty(count, dtype=torch.uint8)

    def bring_home(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def forget(self) -> None: ...

    def capture(self, call: Replay, _: Stream) -> Replay:
        outputs = {name: output.clone() for name, output in call().items()}

        def replay() -> Outputs:
            for name, output in call().items():
                outputs[name].copy_(output)
            return outputs

        return replay


Device = Cuda | Host


def open_device(device: torch.device) -> Device:
    """The device's queues and memory."""
    return Cuda(device) if device.type == "cuda" else Host()
