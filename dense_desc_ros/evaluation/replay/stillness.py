"""When a camera sees the same: stretches of a recording in which nothing moves."""

import cv2
import numpy as np
import numpy.typing as npt

BLOCKS = (40, 30)  # columns and rows; an average over a block has hardly any noise left
STILL = 6.0  # grey levels by which every block may differ at most
LONGEST = 1000  # frames of a stretch, so that what is kept of one is bounded


class StillScenes:
    """Numbers the stretches of a recording in which the scene and the camera are still.

    A frame belongs to the stretch before it while no block of its grey picture, cut into 40x30, is
    brighter or darker by more than STILL than in the first frame of the stretch. That one, not the
    one just before, so that slow motion is motion too.
    """

    def __init__(self) -> None:
        self._first: npt.NDArray[np.float32] | None = None
        self._length = 0
        self._number = self._recording = -1

    def add(self, image: npt.NDArray[np.uint8], recording: int) -> int:
        """The number of the stretch that the next frame (H, W, 3), RGB, belongs to.

        Stretches end where a recording ends.
        """
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        blocks = np.asarray(cv2.resize(grey, BLOCKS, interpolation=cv2.INTER_AREA), np.float32)
        if (
            self._first is None
            or self._recording != recording
            or self._length == LONGEST
            or np.abs(blocks - self._first).max() > STILL
        ):
            self._first, self._recording, self._length = blocks, recording, 0
            self._number += 1
        self._length += 1
        return self._number
