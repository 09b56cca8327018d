"""A window on the screen, through whichever OpenCV is here, if that has windows."""

from __future__ import annotations

from edaformer.media.frames import Pixels
from edaformer.media.opencv import opencv, require_windows

_TITLE = "edaformer-run"
_LEAVE = frozenset({ord("q"), 27})  # 27: Escape
_GLANCE = 30  # milliseconds between two looks at the keyboard
_MOST = (720, 1280)  # height and width that it opens with at most


class Window:
    """Shows one picture after the other.

    Raises:
        MissingError: where there is no display, or OpenCV has no windows.
    """

    def __init__(self) -> None:
        require_windows()
        cv2 = opencv()
        # without Qt's bar of buttons, which takes its room from the picture
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._sized = False

    def show(self, picture: Pixels, *, wait: bool) -> bool:
        """Show RGB (H, W, 3); whether the person wants to go on: q, Escape or closing it says no.

        Args:
            picture: uint8.
            wait: until a key is pressed.
        """
        cv2 = opencv()
        if not self._sized:
            cv2.resizeWindow(_TITLE, *_fitting(picture.shape[0], picture.shape[1]))
            self._sized = True
        cv2.imshow(_TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        while True:
            key = cv2.waitKey(_GLANCE if wait else 1)
            if cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return False
            if key != -1 or not wait:
                return key == -1 or key & 0xFF not in _LEAVE

    def close(self) -> None:
        """Close it."""
        opencv().destroyAllWindows()


def _fitting(height: int, width: int) -> tuple[int, int]:
    """Width and height that a window opens with; the person may change them."""
    scale = min(1.0, _MOST[0] / height, _MOST[1] / width)
    return max(1, round(width * scale)), max(1, round(height * scale))
