"""The thread on which the simulated cell lives: time goes on there, and all that is asked of it."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.sim.cell import Cell, CellSettings

T = TypeVar("T")
TICK = 0.02  # simulated seconds between two looks at what is to be done
ENDED = 1.0  # s after which one who waits looks whether the cell is still there
LAG = 1.0  # s; what the simulation is behind more than this, it does not try to make up for


class CellLoop:
    """Runs a cell in step with the clock on the wall, or slower where the machine is.

    MuJoCo's renderer belongs to one thread, and two must not move the arm; so everything happens on
    this one, one thing after another, and time goes on in between.

    Args:
        settings: of the cell.
        rate: simulated seconds in a second at most; 0: as many as can be.
        period: simulated seconds between two frames.
        tick: called with the cell after each TICK.
        frame: called with the cell when a frame is due.
    """

    def __init__(
        self,
        settings: CellSettings,
        rate: float,
        period: float,
        tick: Callable[[Cell], object],
        frame: Callable[[Cell], object],
    ) -> None:
        self._settings, self._rate, self._period = settings, rate, period
        self._tick, self._frame = tick, frame
        self._jobs: queue.SimpleQueue[tuple[Callable[[Cell], Any], Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._ending = threading.Event()
        self._began = self._next_frame = 0.0
        self._thread = threading.Thread(target=self._run, name="cell", daemon=True)

    def start(self, first: Callable[[Cell], object]) -> None:
        """Build the cell, have something done there, and then let its time begin.

        Raises:
            Whatever the cell raises where it cannot be built, as when nothing can be rendered; or
            what `first` raises.
        """
        begun = self._ask(first)
        self._thread.start()
        self._answer(begun)

    def close(self) -> None:
        """End the time of the cell. What is under way there should have been cancelled before."""
        self._ending.set()
        self._thread.join()

    @property
    def is_ending(self) -> bool:
        """Whether `close` was called."""
        return self._ending.is_set()

    def do(self, job: Callable[[Cell], T]) -> T:
        """Have something done on the cell's thread, from another one, and return its result.

        Raises:
            DenseDescError: the cell has ended; or whatever the job raises.
        """
        return self._answer(self._ask(job))

    def _ask(self, job: Callable[[Cell], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def _answer(self, future: Future[T]) -> T:
        while not wait([future], ENDED).done and self._thread.is_alive():
            pass
        if not future.done():
            raise DenseDescError("the simulated cell has ended")
        return future.result()

    def advance(self, seconds: float) -> None:
        """Let simulated time go on, publishing meanwhile; for jobs, on the cell's thread."""
        cell = self._cell
        end = cell.time + seconds
        while end - cell.time > 1e-9:
            cell.step(min(TICK, end - cell.time))
            self._tick(cell)
            if cell.time >= self._next_frame:
                self._next_frame = max(self._next_frame + self._period, cell.time)
                self._frame(cell)
            self._keep_pace(cell.time)

    def _keep_pace(self, simulated: float) -> None:
        if not self._rate:
            return
        ahead = self._began + simulated / self._rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -LAG:
            self._began -= ahead + LAG

    def _run(self) -> None:
        try:
            self._cell = Cell(self._settings)
        except Exception as error:
            self._jobs.get()[1].set_exception(error)
            return
        self._began = time.monotonic() - self._cell.time / (self._rate or 1)
        with self._cell:
            while not self._ending.is_set():
                try:
                    job, future = self._jobs.get_nowait()
                except queue.Empty:
                    self.advance(TICK)
                    continue
                try:
                    future.set_result(job(self._cell))
                except Exception as error:  # for the one who asked
                    future.set_exception(error)
