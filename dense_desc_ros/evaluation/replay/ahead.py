"""Reading a recording on a thread of its own, so that the next frame is there when it is wanted."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from dense_desc_ros.data.recordings import RecordedFrame, Recording, Selection


@contextmanager
def read_ahead(
    recording: Recording, selection: Selection, wanted: Callable[[int], bool] = lambda _: True
) -> Iterator[Iterator[RecordedFrame]]:
    """Open a recording; yields its frames as `Recording.frames` does, but is one of them ahead.

    The thread that reads it also opens and closes it, as SQLite demands.

    Raises:
        DataError: see `Recording`.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as thread:
        thread.submit(recording.__enter__).result()
        try:
            yield _one_ahead(recording.frames(selection, wanted), thread)
        finally:
            thread.submit(recording.__exit__).result()


def _one_ahead(
    frames: Iterator[RecordedFrame], thread: ThreadPoolExecutor
) -> Iterator[RecordedFrame]:
    following = thread.submit(next, frames, None)
    while (recorded := following.result()) is not None:
        following = thread.submit(next, frames, None)
        yield recorded
