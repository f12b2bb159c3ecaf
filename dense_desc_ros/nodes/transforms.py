"""What tf2 knows, where it is installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.conversions import matrix_from_values

try:
    import tf2_ros
except ImportError:  # not among the wheels, and not needed with cameras whose poses are given
    tf2_ros = None

BACKWARDS = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1))


class UnknownPoseError(Exception):
    """A pose is not known at the time of a frame."""


class Transforms:
    """Listens to tf2 as long as it is open."""

    def __init__(self, node: Node) -> None:
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        # Else what is older than what it has is not taken, as when a recording starts over.
        self._jumps = node.get_clock().create_jump_callback(
            BACKWARDS, post_callback=lambda _: self._buffer.clear()
        )

    def close(self) -> None:
        """Listen no longer."""
        self._jumps.unregister()
        self._listener.unregister()

    def pose(self, target: str, source: str, stamp_ns: int) -> FloatArray:
        """The pose (4, 4) of the frame `source` in `target`.

        Raises:
            UnknownPoseError: it is not known for that time.
        """
        try:
            stamp = Time(nanoseconds=stamp_ns)
            transform = self._buffer.lookup_transform(target, source, stamp).transform
        except tf2_ros.TransformException as error:
            raise UnknownPoseError(
                f"no transform from {source!r} to {target!r}: {error}"
            ) from error
        p, q = transform.translation, transform.rotation
        return matrix_from_values((p.x, p.y, p.z, q.x, q.y, q.z, q.w))


@contextmanager
def transforms(node: Node, reason: str) -> Iterator[Transforms]:
    """What tf2 knows, while it is needed.

    Raises:
        InvalidInputError: tf2 is not there; the reason says what for it is needed, and what else
            would do.
    """
    if tf2_ros is None:
        raise InvalidInputError(f"{reason}, or install tf2_ros")
    source = Transforms(node)
    try:
        yield source
    finally:
        source.close()
