"""What a replay's report measures of each frame, as lines of JSON, for comparisons of runs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.points import PointResult
from dense_desc_ros.evaluation.replay.inputs import TruePixel

MEASURES = "measures.jsonl"
ERROR = "error_"  # begins the fields of a PointResult that are errors


@dataclass(frozen=True)
class TruthError:
    """How far an answer is from the truth.

    Attributes:
        pixel: the true one (u, v), None where the point is hidden.
        errors: distances by unit, "px" for instance; those that are known.
    """

    pixel: TruePixel
    errors: dict[str, float]


@dataclass(frozen=True)
class Measures:
    """What is measured of a frame.

    Attributes:
        scene: the number of its still scene, see `StillScenes`.
        width, height: of its picture, pixels.
        truth: reference -> error, of those whose true place in it is known.
    """

    scene: int
    width: int
    height: int
    truth: dict[str, TruthError]

    @classmethod
    def of(
        cls,
        scene: int,
        size: tuple[int, int],
        truth: Mapping[str, TruePixel],
        results: Mapping[str, PointResult],
    ) -> "Measures":
        """Of a frame of a size (width, height): its truth, and answers held against that."""
        return cls(
            scene, *size, {name: TruthError(truth[name], _errors(r)) for name, r in results.items()}
        )

    def to_line(self) -> str:
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str | bytes) -> "Measures":
        """What `to_line` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else, or a part of that.
        """
        values = json.loads(line)
        truth = {name: TruthError(**each) for name, each in values.pop("truth").items()}
        return cls(**values, truth=truth)


def read_measures(path: Path) -> Iterator[Measures]:
    """The measures in a file, one line at a time.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                yield Measures.from_line(line)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _errors(result: PointResult) -> dict[str, float]:
    return {
        field.removeprefix(ERROR): value
        for field, value in asdict(result).items()
        if field.startswith(ERROR) and value == value  # not NaN, which JSON does not have
    }
