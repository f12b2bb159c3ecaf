"""A recording with a hole in its depth, and a server to label it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bag_scene import whole, write_ros2
from replayed_scene import recorded

from dense_desc_ros.data.indexed_recording import IndexedRecording
from dense_desc_ros.labelling.frames import FrameServer
from dense_desc_ros.labelling.label_file import LabelFile
from dense_desc_ros.labelling.server import LabelServer

HOLE = slice(90, 110), slice(20, 40)  # rows and columns without depth


@pytest.fixture(name="bag", scope="module")
def bag_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = recorded()
    for n, frame in enumerate(frames):
        depth = frame.depth.copy()
        depth[HOLE] = np.nan
        frames[n] = replace(frame, depth=depth)
    return write_ros2(tmp_path_factory.mktemp("bags") / "bag", whole(frames))


@pytest.fixture(name="server")
def server_fixture(bag: Path, tmp_path: Path) -> Iterator[LabelServer]:
    """A server in a thread, with a file of its own."""

    def make() -> IndexedRecording:
        return IndexedRecording(bag)

    with make() as recording:
        index = recording.index()
    file = LabelFile(tmp_path / "labels.yaml")
    with FrameServer(make, index) as frames, LabelServer(0, "bag", frames, index, file) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
