"""CUDA graphs on PyCUDA's streams: what a stream was given, as one launch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

from edaformer.engines.runtime.cuda.calls import call, driver
from edaformer.errors import DeviceError

_MOST = 16  # graphs kept; the longest unused goes first


class CaptureError(DeviceError):
    """Something in the work cannot be captured; without a graph it may well run."""


class Graph:
    """Work that was captured once and is launched as often as wanted."""

    def __init__(self, stream: Any, work: Callable[[], None]) -> None:
        """Capture what ``work`` puts on ``stream``; none of it is executed yet.

        Only this thread is held to what capturing allows: others may use the GPU.
        """
        self._stream = driver().CUstream(stream.handle)
        mode = driver().CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        call("cuStreamBeginCapture", self._stream, mode)
        try:
            work()
        except BaseException:
            with suppress(DeviceError):  # the reason is on its way; this ends the capture
                call("cuStreamEndCapture", self._stream)
            raise
        graph = call("cuStreamEndCapture", self._stream)
        try:
            self._graph = call("cuGraphInstantiate", graph, 0)
        finally:
            call("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Put it on the stream it was captured from."""
        call("cuGraphLaunch", self._graph, self._stream)

    def close(self) -> None:
        """Give it back."""
        call("cuGraphExecDestroy", self._graph)


class Graphs:
    """Runs work as it comes the first time, captures it the second, and then launches the graph.

    The first run is never captured: TensorRT does work of its own in it. Work that comes only once,
    such as a pass over a caller's new array, never pays for a capture.
    """

    def __init__(self) -> None:
        self._graphs: OrderedDict[Hashable, Graph | None] = OrderedDict()

    def run(self, key: Hashable, stream: Any, work: Callable[[], None]) -> None:
        """Put ``work`` on ``stream``; equal keys promise equal work, addresses included.

        Raises:
            CaptureError: if the work cannot be captured; it has not run then.
        """
        if key not in self._graphs:
            work()
            self._graphs[key] = None
            self._drop_oldest()
            return
        graph = self._graphs[key]
        if graph is None:
            try:
                graph = self._graphs[key] = Graph(stream, work)
            except Exception as error:
                raise CaptureError(str(error)) from error
        self._graphs.move_to_end(key)
        graph.launch()

    def close(self) -> None:
        """Give all graphs back; what comes again is captured again."""
        for graph in self._graphs.values():
            if graph is not None:
                graph.close()
        self._graphs.clear()

    def _drop_oldest(self) -> None:
        while len(self._graphs) > _MOST:
            _, graph = self._graphs.popitem(last=False)
            if graph is not None:
                graph.close()
