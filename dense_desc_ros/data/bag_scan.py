"""Files of bags read from the beginning, without their index: what a killed recorder leaves.

rosbags refuses a file that was cut short, since the index is at its end. The messages before the
cut are whole.
"""

import sqlite3
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.rosbag1.reader import Header, RecordType, decompressors, read_bytes, read_uint32
from rosbags.typesys.msg import normalize_msgtype

from dense_desc_ros.data.bags import RawMessage


def scan(path: Path) -> Iterator[RawMessage]:
    """The messages of one MCAP, SQLite or ROS 1 file in the order in which they were written.

    Raises:
        KeyError: a file of another kind; see below.
        Exception: of any kind, after the last message that can be read.
    """
    yield from _SCANS[path.suffix](path)


def _scan_mcap(path: Path) -> Iterator[RawMessage]:
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    with path.open("rb") as file:
        for record in StreamReader(file, validate_crcs=True).records:
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels[record.channel_id]
                kind = schemas[channel.schema_id].name
                yield RawMessage(channel.topic, kind, record.log_time, record.data)


def _scan_sqlite(path: Path) -> Iterator[RawMessage]:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        # Without it, a file that is shorter than it says it is cannot be read at all.
        database.execute("PRAGMA writable_schema=ON")
        rows = database.execute("SELECT id, name, type FROM topics")
        topics = {number: (name, kind) for number, name, kind in rows}
        query = "SELECT topic_id, timestamp, data FROM messages ORDER BY id"
        for number, stamp, data in database.execute(query):
            name, kind = topics[number]
            yield RawMessage(name, kind, stamp, data)
    finally:
        database.close()


def _scan_ros1(path: Path) -> Iterator[RawMessage]:
    with path.open("rb") as file:
        file.readline()
        yield from _ros1_records(file, {})


def _ros1_records(
    stream: BinaryIO, connections: dict[int, tuple[str, str]]
) -> Iterator[RawMessage]:
    """The messages of a file, or of a chunk in it; `connections` (topic, type) are added to."""
    while start := stream.read(1):
        stream.seek(-len(start), 1)
        header = Header.read(stream)
        kind = header.get_uint8("op")
        if kind == RecordType.CONNECTION:
            described = Header.read(stream)
            message_type = normalize_msgtype(described.get_string("type"))
            number = header.get_uint32("conn")
            connections[number] = (header.get_string("topic"), message_type)
            continue
        data = read_bytes(stream, read_uint32(stream))
        if kind == RecordType.CHUNK:
            chunk = decompressors[header.get_string("compression")](data)
            yield from _ros1_records(BytesIO(chunk), connections)
        elif kind == RecordType.MSGDATA:
            topic, message_type = connections[header.get_uint32("conn")]
            yield RawMessage(topic, message_type, header.get_time("time"), data)


_SCANS: dict[str, Callable[[Path], Iterator[RawMessage]]] = {
    ".mcap": _scan_mcap,
    ".db3": _scan_sqlite,
    ".bag": _scan_ros1,
    ".active": _scan_ros1,  # .bag.active, as it is called while it is recorded
}
