"""Whether a file that a command wrote is all of itself."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

from PIL import Image


def is_whole(path: Path) -> bool:
    """By its kind; a hidden file or one named .part is a leftover, which nothing should be."""
    if path.name.startswith(".") or path.suffix == ".part":
        return False
    check = _CHECKS.get(path.suffix, lambda _: True)
    try:
        return check(path)
    except Exception:  # noqa: BLE001  # whatever its parser says: it is not whole
        return False


def _picture(path: Path) -> bool:
    with Image.open(path) as image:
        image.load()
    return True


def _database(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _archive(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None


def _onnx(path: Path) -> bool:
    import onnx

    onnx.checker.check_model(str(path))
    return True


def _video(path: Path) -> bool:
    import cv2

    capture = cv2.VideoCapture(str(path))
    return bool(capture.isOpened() and capture.read()[0])


_CHECKS = {
    ".png": _picture, ".sqlite": _database, ".ref": _archive, ".npz": _archive,
    ".witness": _archive, ".onnx": _onnx, ".mp4": _video,
    ".html": lambda path: path.read_text().rstrip().endswith("</html>"),
    ".json": lambda path: json.loads(path.read_text()) is not None,
    ".xml": lambda path: ET.parse(path) is not None,
    ".csv": lambda path: path.read_text().endswith("\n"),
}  # fmt: skip
