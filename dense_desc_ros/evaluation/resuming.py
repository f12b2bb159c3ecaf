"""Benchmarks that go on where they were stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dense_desc_ros.data.reading import read_json
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.files import write_atomically


def begin(file: Path, measured: Mapping[str, Any], resume: bool) -> None:
    """Record what is measured in a file of the folder of results, or compare it with that.

    Raises:
        DataError: the folder holds a benchmark already and is not to be resumed.
        InvalidInputError: it was begun with something else.
    """
    measured = json.loads(json.dumps(measured))
    if not file.exists():
        write_atomically(file, json.dumps(measured, indent=1).encode())
        return
    if not resume:
        raise DataError(
            f"{file.parent} holds a benchmark: go on with --resume, or choose another --out"
        )
    before = read_json(file)
    if other := [key for key in measured if before.get(key) != measured[key]]:
        raise InvalidInputError(
            f"{file} tells of another {other[0]}: use the same, or another --out"
        )
