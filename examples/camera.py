"""A camera application: what the camera mostly sees, frame by frame.

    python3 camera.py model.plan 0                # the first camera
    python3 camera.py model.plan street.mp4       # a video file
    python3 camera.py model.plan 'nvarguscamerasrc ! ... ! appsink'

OpenCV is whichever the machine has; JetPack's own knows GStreamer. docs/jetson.md shows the string
for a camera at a Jetson's CSI connector.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.runtime import Engine
from edaformer.errors import EdaformerError, InputError, MissingError


def frames(source: str) -> Iterator[NDArray[np.uint8]]:
    """uint8 BGR (H, W, 3), as OpenCV gives them, until the source ends."""
    try:
        import cv2
    except ImportError as error:
        raise MissingError("this needs OpenCV; run: sudo apt install python3-opencv") from error
    capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    if not capture.isOpened():
        raise InputError(f"OpenCV cannot open '{source}'; check it")
    while (read := capture.read())[0]:
        yield read[1]


def main(plan: str, source: str) -> None:
    """Print the largest class of every frame and its share."""
    with Engine.load(plan, colour="bgr") as engine:
        names = engine.manifest.classes or [f"class {n}" for n in range(256)]
        for number, labels in enumerate(engine.stream(frames(source))):
            areas = np.bincount(labels.ravel())
            print(f"{number}: {names[areas.argmax()]} {areas.max() / labels.size:.0%}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python3 camera.py PLAN (CAMERA | FILE | GSTREAMER)")
    try:
        main(*sys.argv[1:])
    except EdaformerError as error:
        sys.exit(f"error: {error}")
