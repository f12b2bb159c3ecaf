"""What a replay writes for every frame: tables of grasps, a film, and bags of results."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.evaluation.film import Film
from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.evaluation.replay.result_bag import ResultBag
from dense_desc_ros.evaluation.replay.tables import GraspTables
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.pictures import draw_answers

FILM = "overlay.mp4"


def result_bag_name(recording: int) -> str:
    """The file of the results of a recording, numbered from 0; stamps of several may overlap."""
    return "results.mcap" if recording == 0 else f"results_{recording}.mcap"


class FrameOutputs:
    """The files in a folder that grow frame by frame; use it with `with`.

    Film and bag are encoded on threads of their own, beside the reading of the next frame.

    Args:
        out: the folder.
        rate: frames a second of the film.
        gripper: to show at grasps; None shows the usual one.

    Raises:
        OSError, DataError: they cannot be written.
    """

    def __init__(self, out: Path, rate: float, gripper: Gripper | None) -> None:
        self._out, self._rate, self._gripper = out, rate, gripper or Gripper()
        self._bags: dict[int, ResultBag] = {}
        self._encoded: list[Future[None]] = []

    def __enter__(self) -> "FrameOutputs":
        with ExitStack() as stack:
            self._tables = stack.enter_context(GraspTables(self._out))
            self._film = stack.enter_context(Film(self._out / FILM, self._rate))
            self._threads = stack.enter_context(ThreadPoolExecutor(2, thread_name_prefix="writer"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._finish()

    def add(self, answers: Answers, recorded: RecordedFrame) -> None:
        """Add the answers for the next frame."""
        picture = draw_answers(recorded.frame, answers.grasps, answers.refusals)
        self._finish()
        frame, bag = recorded.frame, self._bag(answers.bag)
        self._encoded = [
            self._threads.submit(self._film.add, picture),
            self._threads.submit(bag.add, answers, frame, recorded.recorded_ns, picture),
        ]
        self._tables.add(answers)

    def _finish(self) -> None:
        """Wait for what is being encoded, and raise what went wrong there."""
        wait(self._encoded)
        for future in self._encoded:
            future.result()

    def _bag(self, recording: int) -> ResultBag:
        if recording not in self._bags:
            bag = ResultBag(self._out / result_bag_name(recording), self._gripper)
            self._bags[recording] = self._stack.enter_context(bag)
        return self._bags[recording]
