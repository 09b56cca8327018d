"""Pages in a real browser, headless, where there is one (Debian: chromium)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def screenshot(page: str, folder: Path, width: int) -> NDArray[np.uint8]:
    """RGB (2000, ``width``, 3) of a page that the browser does not complain about."""
    assert CHROMIUM is not None
    (folder / "page.html").write_text(page, encoding="utf-8")
    ran = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--enable-logging=stderr", f"--window-size={width},2000",
         f"--user-data-dir={folder / 'profile'}", f"--screenshot={folder / 'page.png'}",
         (folder / "page.html").as_uri()],
        capture_output=True, text=True, check=True, timeout=300,
        env=os.environ | {"HOME": str(folder)},  # where it leaves its crash reports
    )  # fmt: skip
    assert "CONSOLE" not in ran.stderr
    picture = np.asarray(Image.open(folder / "page.png").convert("RGB"))
    assert picture.shape[1] == width
    return picture
