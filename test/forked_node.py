"""The node as a process that starts in no time, and its end."""

import os
import signal
from multiprocessing.process import BaseProcess

from dense_desc_ros.evaluation.endurance.forked_node import forked_node as forked_node


def end(process: BaseProcess, number: signal.Signals) -> int | None:
    """Send a signal to the process, and return its exit code."""
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(timeout=90)  # on a machine that is busy with other tests
    return process.exitcode
