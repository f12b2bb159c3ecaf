"""Any bag without ROS: rosbag2 (MCAP, SQLite, compressed, split) and ROS 1, whole or damaged."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

import yaml
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.typesys import Stores, get_typestore

from dense_desc_ros.data.bag_scan import scan
from dense_desc_ros.data.bags import RawMessage
from dense_desc_ros.errors import DataError, InvalidInputError

METADATA = "metadata.yaml"
STORAGE = (".mcap", ".db3")
ROS1 = (".bag", ".bag.active")


class _Part(Protocol):
    """A bag or a file of it; `counts` has the messages of each topic as far as they are known."""

    topics: dict[str, str]
    counts: dict[str, int]
    start_ns: int
    end_ns: int

    def messages(
        self, topics: Collection[str], stop_ns: int | None, start_ns: int
    ) -> Iterator[RawMessage]: ...

    def close(self) -> None: ...


class AnyBag:
    """Reads a rosbag2 folder or file, or a ROS 1 file; use it with `with`.

    Of a damaged bag, or one that was cut short, everything that can be read is.

    Attributes, once open:
        path: of the bag.
        topics: name -> type, like "sensor_msgs/msg/Image".
        counts: name -> how many messages, for whole bags.
        start_ns, end_ns: when the first and the last message were recorded.
        is_whole: whether nothing was found missing so far.
        notes: what is unusual about the bag, and what of it could not be read.

    Raises:
        DataError: the bag is missing, or nothing of it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self.is_whole = True
        self._is_ros1 = self.path.name.endswith(ROS1)
        self._store = get_typestore(Stores.ROS1_NOETIC if self._is_ros1 else Stores.ROS2_KILTED)

    def __enter__(self) -> "AnyBag":
        self._parts: list[_Part] = []
        self._open()
        self.topics = {name: kind for part in self._parts for name, kind in part.topics.items()}
        self.counts: dict[str, int] = {}
        for part in self._parts:
            for topic, count in part.counts.items():
                self.counts[topic] = self.counts.get(topic, 0) + count
        self.start_ns = min((part.start_ns for part in self._parts), default=0)
        self.end_ns = max((part.end_ns for part in self._parts), default=0)
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts:
            part.close()

    def messages(
        self, topics: Collection[str], stop_ns: int | None = None, start_ns: int = 0
    ) -> Iterator[RawMessage]:
        """Messages of some topics, from `start_ns` on and before `stop_ns`, in recorded order."""
        for part in self._parts:
            try:
                yield from part.messages(topics, stop_ns, start_ns)
            except Exception as error:  # damaged bytes make parsers fail in every possible way
                self._is_damaged(_reason(error))

    def decode(self, raw: RawMessage) -> Any:
        """The message, with fields as ROS 2 or, of a ROS 1 bag, ROS 1 names them.

        Raises:
            InvalidInputError: its bytes are not a message of its type.
        """
        decode = self._store.deserialize_ros1 if self._is_ros1 else self._store.deserialize_cdr
        try:
            return decode(raw.data, raw.message_type)
        except Exception as error:  # as above
            raise InvalidInputError(
                f"a message of {raw.topic} is damaged: {_reason(error)}"
            ) from error

    def _open(self) -> None:
        if not self.path.exists():
            raise DataError(f"cannot read bag {self.path}: there is no such file or folder")
        problem = ""
        if not self.path.is_dir():
            files = [self.path]
        elif (self.path / METADATA).is_file():
            try:
                self._parts = [_Indexed(self.path)]
                return
            except _UnorderedError:
                pass
            except Exception as error:  # as above
                problem = _reason(error)
            files = _files(self.path)
        else:
            files = [_only_file(self.path)]
            self.note(f"{METADATA} is missing: {files[0].name} is read alone")
        problems = [each for each in map(self._open_file, files) if each]
        if problem and not problems:
            problems = [problem]
        if not self._parts:
            reason = "; ".join(problems) or "it holds nothing"
            raise DataError(f"cannot read bag {self.path}: {reason}")
        for each in problems:
            self._is_damaged(each)

    def _open_file(self, file: Path) -> str:
        """Add the part that a file is, if anything of it can be read; returns what is wrong."""
        problem = ""
        part: _Part
        try:
            part = _Indexed(file)
        except Exception as error:  # as above
            part = _Scanned(file)
            problem = part.damage if isinstance(error, _UnorderedError) else _reason(error)
        if part.topics:
            self._parts.append(part)
        log = file.with_name(f"{file.name}-wal")
        if log.is_file() and log.stat().st_size:
            problem = problem or f"it was not closed; open it with sqlite3 to add what {log} holds"
        return problem and f"{file.name}: {problem}"

    def _is_damaged(self, reason: str) -> None:
        self.is_whole = False
        self.note(f"only a part could be read: {reason}")

    def note(self, text: str) -> None:
        """Add to `notes`, once."""
        if text not in self.notes:
            self.notes.append(text)


class _UnorderedError(Exception):
    """An MCAP that was recorded without an index (rosbag2's preset `fastwrite`)."""


class _Indexed:
    """A bag, or a file, as rosbags reads it."""

    def __init__(self, path: Path) -> None:
        is_ros1 = path.name.endswith(ROS1)
        reader: Any = Ros1Reader(path) if is_ros1 else Ros2Reader(path)
        reader.open()
        storages = [] if is_ros1 else _storages(reader)
        if any(isinstance(each, McapReader) and not each.chunks for each in storages):
            # rosbags would give up at the first message that is not in order of time.
            reader.close()
            raise _UnorderedError
        self._reader = reader
        self.topics = {each.topic: each.msgtype for each in reader.connections}
        self.counts = {name: info.msgcount for name, info in reader.topics.items()}
        self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1

    def messages(
        self, topics: Collection[str], stop_ns: int | None, start_ns: int
    ) -> Iterator[RawMessage]:
        wanted = [each for each in self._reader.connections if each.topic in topics]
        if not wanted:
            return
        for connection, stamp, data in self._reader.messages(wanted, start_ns, stop_ns):
            yield RawMessage(connection.topic, connection.msgtype, stamp, data)

    def close(self) -> None:
        self._reader.close()


class _Scanned:
    """A file without a usable index; `damage` is why it ends too early, or empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.start_ns, self.end_ns = 2**63 - 1, 0
        self.damage = ""
        try:
            for raw in scan(path):
                self.topics[raw.topic] = raw.message_type
                self.start_ns = min(self.start_ns, raw.stamp_ns)
                self.end_ns = max(self.end_ns, raw.stamp_ns)
        except Exception as error:  # as above
            self.damage = _reason(error)

    def messages(
        self, topics: Collection[str], stop_ns: int | None, start_ns: int
    ) -> Iterator[RawMessage]:
        try:
            for raw in scan(self._path):
                is_before = stop_ns is None or raw.stamp_ns < stop_ns
                if raw.topic in topics and start_ns <= raw.stamp_ns and is_before:
                    yield raw
        except Exception:  # known since it was opened
            return

    def close(self) -> None:
        """Nothing is open between two scans."""


def _storages(reader: Any) -> list[Any]:
    """What reads each file of a rosbag2."""
    return getattr(reader.storage, "storages", [reader.storage])


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.suffix in STORAGE)
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise DataError(
            f"cannot read bag {folder}: it has no {METADATA}, and not exactly one .mcap or .db3 "
            f"file but {found}: name the file that you mean"
        )
    return files[0]


def _files(bag: Path) -> list[Path]:
    """The files of a rosbag2 folder in order, as far as they are there."""
    try:
        content = yaml.safe_load((bag / METADATA).read_bytes())
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        files = [bag / Path(name).name for name in names]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        files = sorted(bag.iterdir(), key=_natural)
    return [path for path in files if path.is_file() and path.suffix in STORAGE]


def _natural(path: Path) -> list[tuple[int, str]]:
    """bag_2 before bag_10."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D*)(\d*)", path.name)]


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
