"""FFmpeg through PyAV, which reads and writes video files."""

from __future__ import annotations

from typing import Any

from edaformer.errors import MissingError, require


def ffmpeg() -> Any:
    """The module av.

    Raises:
        MissingError: where there is none, or only the empty folder of one.
    """
    try:
        found = require("av", "video")
    except MissingError as error:
        raise MissingError(
            f"video files are read and written by PyAV; {str(error)[:1].lower()}{str(error)[1:]}"
        ) from error
    if not hasattr(found, "open"):
        raise MissingError(
            "the package 'av' is here without its files; reinstall it: "
            "pip install --force-reinstall av"
        )
    return found


def said(error: Exception) -> str:
    """What FFmpeg says of a file, without its name and number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
