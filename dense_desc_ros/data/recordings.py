"""RGB-D frames of any bag, in order: found, put together by their stamps and decoded."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

from dense_desc_ros.data.any_bag import AnyBag
from dense_desc_ros.data.bags import RawMessage
from dense_desc_ros.data.camera_choice import (
    CAMERA_INFO,
    COLOUR,
    DEPTH,
    GREY,
    IMAGES,
    CameraTopics,
    Look,
    choose_topics,
    untransported,
)
from dense_desc_ros.data.camera_info import plain_info, read_camera_file
from dense_desc_ros.data.messages import (
    NANOSECONDS,
    camera_from_message,
    depth_from_message,
    frame_from_messages,
    image_from_message,
    stamp_to_ns,
)
from dense_desc_ros.data.pairing import Pair, Stamped, pair
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame

LATEST_NS = NANOSECONDS  # by how much the partner of an image may be recorded later
LOOKED_AT = 5  # images of a topic, until one can be decoded
GREY_FORMATS = ("mono", "8UC1")
UNPAIRED_COLOR, UNPAIRED_DEPTH = "colour without depth", "depth without colour"
BAD_COLOR, BAD_DEPTH = "undecodable colour", "undecodable depth"
BAD_INFO, BAD_SIZES = "unusable camera_info", "sizes that differ"


@dataclass(frozen=True)
class Selection:
    """Which frames of a recording are wanted.

    Attributes:
        start, end: seconds of recording time since its beginning; `end` is not included, and None
            is that of the recording.
        every: those whose number is a multiple of it.
    """

    start: float = 0.0
    end: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InvalidInputError(f"every must be at least 1, got {self.every}")
        if self.end is not None and not self.start < self.end:
            raise InvalidInputError(f"end {self.end:g} s is not after start {self.start:g} s")

    def has_time(self, seconds: float) -> bool:
        return self.start <= seconds and (self.end is None or seconds < self.end)


ALL = Selection()


@dataclass(frozen=True)
class RecordedFrame:
    """A frame, its number in the recording from 0, and when it was recorded: in seconds since the
    recording's beginning, and in nanoseconds of the clock that it was recorded by.
    """

    number: int
    seconds: float
    frame: RgbdFrame
    recorded_ns: int


@dataclass
class LeftOut:
    """What gave no frame: how many of each reason, and what was said of the first of them.

    `backwards` counts the colour images that are older than the one before; they are not left out.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    backwards: int = 0

    def add(self, reason: str, example: str = "") -> None:
        self.counts[reason] += 1
        if example:
            self.examples.setdefault(reason, example)


class Recording:
    """The RGB-D frames of a bag; use it with `with`. Holds about a second of images.

    Frames are numbered over all pairs of colour and depth of the recording, whichever are wanted
    and whether they can be decoded. Images without a stamp have the time at which they were
    recorded. Images of topics named rect... are taken to be rectified already.

    Args:
        path: of a rosbag2 or a ROS 1 bag.
        topics: those that are not to be found by their looks, see `choose_topics`.
        slop: by how much the stamps of colour and depth may differ, seconds.
        camera_file: intrinsics as camera_calibration writes them (YAML), instead of camera_info.

    Attributes, once open:
        topics: those chosen.
        left_out: of the frames that were read last.
        notes: what is unusual about the recording, and what of it could not be read.

    Raises:
        DataError: the bag cannot be read, or has no camera's topics.
    """

    def __init__(
        self,
        path: str | Path,
        topics: CameraTopics | None = None,
        slop: float = 0.01,
        camera_file: Path | None = None,
    ) -> None:
        self._bag = AnyBag(path)
        self._wanted = topics or CameraTopics()
        self._slop_ns = round(slop * NANOSECONDS)
        self._camera_file = camera_file
        self.left_out = LeftOut()

    def __enter__(self) -> Self:
        self._bag.__enter__()
        try:
            looks = [self._look(name, kind) for name, kind in self._bag.topics.items()]
            try:
                self.topics = choose_topics(looks, self._wanted, self._camera_file is None)
            except DataError as error:
                notes = "".join(f". {note}" for note in self.notes)
                raise DataError(f"{self._bag.path}: {error}{notes}") from error
            self._first_info = self._read_first_info()
        except BaseException:
            self._bag.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._bag.__exit__()

    @property
    def name(self) -> str:
        return self._bag.path.name

    @property
    def notes(self) -> list[str]:
        return self._bag.notes

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found missing so far."""
        return self._bag.is_whole

    def expected(self, selection: Selection = ALL) -> int | None:
        """How many frames of a selection there are about, if the bag tells how many it has."""
        count = self._bag.counts.get(self.topics.color)
        length = (self._bag.end_ns - self._bag.start_ns) / NANOSECONDS
        if count is None or length <= 0:
            return count
        end = length if selection.end is None else min(selection.end, length)
        return round(count * max(end - selection.start, 0) / length) // selection.every

    def frames(
        self, selection: Selection = ALL, wanted: Callable[[int], bool] = lambda _: True
    ) -> Iterator[RecordedFrame]:
        """The selected frames, of these the ones whose number is `wanted`, one at a time."""
        self.left_out = LeftOut()
        for number, (color, depth) in enumerate(self._pairs(selection)):
            seconds = self._seconds(color)
            if number % selection.every or not selection.has_time(seconds) or not wanted(number):
                continue
            if (frame := self._decode(color, depth)) is not None:
                yield RecordedFrame(number, seconds, frame, color.recorded_ns)

    def _pairs(self, selection: Selection) -> Iterator[Pair]:
        def give_up(image: Stamped) -> None:
            if selection.has_time(self._seconds(image)):
                self.left_out.add(UNPAIRED_COLOR if image.is_color else UNPAIRED_DEPTH)

        stop = None
        if selection.end is not None:
            stop = self._bag.start_ns + round(selection.end * NANOSECONDS) + LATEST_NS
        return pair(self._images(stop), self._slop_ns, give_up)

    def _images(self, stop_ns: int | None, start_ns: int = 0) -> Iterator[Stamped]:
        """Colour with the newest camera_info before it as its message, and depth."""
        info, previous = self._first_info, 0
        topics = (self.topics.color, self.topics.depth, self.topics.camera_info)
        for raw in self._bag.messages([each for each in topics if each], stop_ns, start_ns):
            is_color = raw.topic == self.topics.color
            try:
                message = self._bag.decode(raw)
            except InvalidInputError as error:
                reason = BAD_INFO if raw.message_type == CAMERA_INFO else BAD_DEPTH
                self.left_out.add(BAD_COLOR if is_color else reason, str(error))
                continue
            if raw.topic == self.topics.camera_info:
                info = message
                continue
            stamp = stamp_to_ns(message.header.stamp) or raw.stamp_ns
            if is_color:
                self.left_out.backwards += stamp < previous
                previous = stamp
            yield Stamped(is_color, stamp, raw.stamp_ns, (message, info) if is_color else message)

    def _decode(self, color: Stamped, depth: Stamped) -> RgbdFrame | None:
        image, info = color.message
        info = plain_info(info, "rect" in untransported(self.topics.color).rpartition("/")[2])
        frames = image.header.frame_id, depth.message.header.frame_id
        if frames[0] != frames[1]:
            self._bag.note(
                f"colour is in the frame {frames[0]!r}, depth in {frames[1]!r}: depth is taken to "
                "be registered to colour"
            )
        try:
            frame = frame_from_messages(image, depth.message, info)
        except InvalidInputError as error:
            self.left_out.add(_reason(image, depth.message, info), str(error))
            return None
        return replace(frame, stamp_ns=color.stamp_ns)

    def _seconds(self, image: Stamped) -> float:
        return (image.recorded_ns - self._bag.start_ns) / NANOSECONDS

    def _look(self, name: str, message_type: str) -> Look:
        if message_type not in IMAGES:
            return Look(name, message_type)
        said = ""
        for raw in islice(self._bag.messages([name]), LOOKED_AT):
            kind, size, said = self._look_at(raw)
            if size:
                return Look(name, message_type, kind, size)
        return Look(name, message_type, said or "no images")

    def _look_at(self, raw: RawMessage) -> tuple[str, tuple[int, int] | None, str]:
        """What an image is, its size if it can be decoded, and what it says it is."""
        try:
            message = self._bag.decode(raw)
        except InvalidInputError:
            return "", None, "damaged"
        said = str(getattr(message, "encoding", None) or getattr(message, "format", ""))
        color = GREY if said.startswith(GREY_FORMATS) else COLOUR
        for kind, decode in ((color, image_from_message), (DEPTH, depth_from_message)):
            try:
                height, width = decode(message).shape[:2]
            except InvalidInputError:
                continue
            return kind, (width, height), said
        return "", None, said

    def _read_first_info(self) -> Any:
        if self._camera_file is not None:
            return read_camera_file(self._camera_file)
        topic = self.topics.camera_info
        assert topic is not None
        for raw in self._bag.messages([topic]):
            try:
                return self._bag.decode(raw)
            except InvalidInputError:
                continue
        raise DataError(f"{self._bag.path}: {topic} has no messages: give --camera-info")


def _reason(image: Any, depth: Any, info: Any) -> str:
    """Which message it is that makes no frame."""
    for reason, decode, message in (
        (BAD_COLOR, image_from_message, image),
        (BAD_DEPTH, depth_from_message, depth),
        (BAD_INFO, camera_from_message, info),
    ):
        try:
            decode(message)
        except InvalidInputError:
            return reason
    return BAD_SIZES
