"""Whichever OpenCV this machine has: a wheel, or on a Jetson the system's, with GStreamer."""

from __future__ import annotations

import os
import sys
from typing import Any

from edaformer.errors import MissingError, require
from edaformer.packages import install_line

_QUIET = {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}  # read at its first use


def opencv() -> Any:
    """The module cv2, its own messages off unless the environment asks for them.

    Raises:
        MissingError: where there is none.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return require("cv2", "camera")
    except MissingError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise  # it is here, and the error says what is wrong with it
        raise MissingError(
            "cameras, streams and windows need OpenCV, which is not installed; on a Jetson: "
            f"sudo apt install python3-opencv, elsewhere: {install_line('camera')}"
        ) from error


def require_gstreamer() -> None:
    """Refuse where OpenCV was built without GStreamer.

    Raises:
        MissingError: then, or where there is no OpenCV.
    """
    cv2 = opencv()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise MissingError(
            f"OpenCV {cv2.__version__} here was built without GStreamer, as pip's wheels are; on a "
            "Jetson use the system's (sudo apt install python3-opencv) and remove the wheel: "
            "pip uninstall opencv-python opencv-python-headless"
        )


def require_windows() -> None:
    """Refuse where OpenCV cannot open a window.

    Raises:
        MissingError: where it was built without, where there is no display, or no OpenCV.
    """
    cv2 = opencv()
    if "GUI:                           NONE" in cv2.getBuildInformation():
        raise MissingError(
            f"OpenCV {cv2.__version__} here was built without windows; for --show: "
            "pip uninstall opencv-python-headless, then pip install opencv-python"
        )
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise MissingError(
            "there is no display for --show (neither DISPLAY nor WAYLAND_DISPLAY is set); write "
            "files instead: leave --show out"
        )
