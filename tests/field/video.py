"""Video as phones, editors and screen recorders write it, and a camera on the network."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
TALL, WIDE = 48, 64
# A screen recorder writes a frame when something moves: long gaps, short ones
UNEVEN = (0.0, 0.04, 0.08, 1.2, 1.24, 2.0)


def numbered(index: int) -> Pixels:
    """A level of grey that tells the frame's number, up to 12."""
    return np.full((TALL, WIDE, 3), 20 * index + 10, np.uint8)


def number(pixels: Pixels) -> int:
    return round((float(pixels[: TALL // 2, : WIDE // 2].mean()) - 10) / 20)


def film(
    path: Path,
    times: Sequence[float],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    picture: Callable[[int], Pixels] = numbered,
    rotation: int = 0,
    cover: str = "",
    attached: bool = False,
) -> None:
    """Frames at these seconds; with a cover picture (a codec), attached or as a stream before."""
    tick = Fraction(1, 90000)
    with av.open(str(path), "w") as container:
        beside = container.add_stream(cover, rate=25) if cover else None
        if beside is not None:
            beside.width, beside.height = WIDE, TALL
            beside.pix_fmt = "rgb24" if cover == "png" else "yuvj420p"
            if attached:
                beside.disposition = av.stream.Disposition.attached_pic
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDE, TALL, pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        stream.codec_context.time_base = tick
        if beside is not None:
            still = av.VideoFrame.from_ndarray(numbered(12))
            still.pts = 0
            container.mux(beside.encode(still.reformat(format=beside.pix_fmt)))
            container.mux(beside.encode())
        for index, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = round(at / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@contextmanager
def network_camera(rate: float, *, frames: int | None = None) -> Iterator[tuple[str, list[int]]]:
    """Motion JPEG over HTTP, as network cameras send it; its URL, and the numbers sent so far.

    Args:
        rate: frames a second.
        frames: after which each connection is closed; None goes on.
    """
    sent: list[int] = []
    over = threading.Event()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            count = 0
            while not over.is_set() and (frames is None or count < frames):
                file = io.BytesIO()
                Image.fromarray(numbered(count % 12)).save(file, "JPEG", quality=95)
                head = (
                    f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {file.tell()}\r\n\r\n"
                )
                try:
                    self.wfile.write(head.encode() + file.getvalue() + b"\r\n")
                except OSError:  # nobody listens any more
                    return
                sent.append(count)
                count += 1
                time.sleep(1 / rate)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video.mjpg", sent
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
