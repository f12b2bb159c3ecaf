"""The command `dense-desc`, called in this process, which has imported what it needs already."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest import mock

from dense_desc_ros.cli import main


def dense_desc(*arguments: object) -> CompletedProcess[str]:
    """What the command says, and its exit code; errors that it does not expect are raised."""
    words = ["dense-desc", *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with mock.patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return CompletedProcess(words, code, out.getvalue(), err.getvalue())
