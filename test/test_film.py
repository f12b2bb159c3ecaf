"""Films written and read picture by picture."""

from pathlib import Path

import numpy as np
import pytest

from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.drawings import Picture
from dense_desc_ros.evaluation.film import Film, read_film

COUNT, RATE_HZ = 60, 7.5


def picture(number: int, height: int = 96, width: int = 128) -> Picture:
    """Grey as its number says."""
    return np.full((height, width, 3), 4 * number, np.uint8)


def test_pictures_are_the_ones_asked_for(tmp_path: Path) -> None:
    with Film(tmp_path / "film.mp4", RATE_HZ) as film:
        for number in range(COUNT):
            film.add(picture(number))
    wanted = {COUNT - 1, 31, 32, 0, COUNT}
    found = read_film(tmp_path / "film.mp4", wanted)
    assert {*found} == wanted - {COUNT}
    for number, each in found.items():
        assert np.abs(each.astype(int) - picture(number)).max() < 2


def test_odd_and_changing_sizes(tmp_path: Path) -> None:
    with Film(tmp_path / "film.mp4", RATE_HZ) as film:
        film.add(picture(1, 97, 129))
        film.add(picture(2, 200, 60))
    found = read_film(tmp_path / "film.mp4", {0, 1})
    assert [each.shape for each in found.values()] == [(96, 128, 3)] * 2


@pytest.mark.parametrize("path", ["/dev/full", "{}/missing/film.mp4", "{}"])
def test_what_cannot_be_written(path: str, tmp_path: Path) -> None:
    """A full disk, too, for which libavformat would crash when it is closed."""
    with (
        pytest.raises(DataError, match="cannot write"),
        Film(Path(path.format(tmp_path)), 1) as film,
    ):
        for number in range(COUNT):
            film.add(picture(number))
