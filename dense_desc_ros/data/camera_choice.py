"""Which topics of a recording are the camera's: colour, the depth registered to it, camera_info."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dense_desc_ros.errors import DataError

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
COLOUR, GREY, DEPTH = "colour", "grey", "depth"
TRANSPORTS = ("compressed", "compressedDepth")
REGISTERED = ("aligned", "registered")  # in the names of topics of depth in the colour image


@dataclass(frozen=True)
class Look:
    """What a topic looks like.

    Attributes:
        name, message_type: of the topic.
        kind: of its images: COLOUR, GREY, DEPTH, or what else is to be said of them; "" otherwise.
        size: width and height of its images, pixels.
    """

    name: str
    message_type: str
    kind: str = ""
    size: tuple[int, int] | None = None

    @property
    def camera(self) -> str:
        """The namespace of the camera: /c/color of /c/color/image_raw/compressed."""
        return untransported(self.name).rpartition("/")[0]

    def __str__(self) -> str:
        size = f" {self.size[0]}x{self.size[1]}" if self.size else ""
        kind = f": {self.kind}{size}" if self.kind else ""
        return f"{self.name} ({self.message_type}{kind})"


@dataclass(frozen=True)
class CameraTopics:
    """Names of topics; what is None is to be found by its looks."""

    color: str | None = None
    depth: str | None = None
    camera_info: str | None = None


@dataclass(frozen=True)
class ChosenTopics:
    """The topics of a camera; `camera_info` is None where none is wanted."""

    color: str
    depth: str
    camera_info: str | None


def choose_topics(looks: Sequence[Look], wanted: CameraTopics, needs_info: bool) -> ChosenTopics:
    """The camera's topics.

    Colour is the only topic of coloured images, or else the only one of these with a camera_info in
    its namespace. Depth has the size of colour; what is named aligned or registered goes first,
    then the namespace nearest to that of colour. Raw images go before compressed ones of the same
    name. Grey images, such as an infrared camera's, are colour where there is no other.

    Args:
        looks: every topic of the recording.
        wanted: topics that were named by the user.
        needs_info: whether the intrinsics have to come from the recording.

    Raises:
        DataError: a topic is missing, or there are several; all are listed.
    """
    color = _color(looks, wanted.color)
    depth = _depth(looks, wanted.depth, color)
    info = _camera_info(looks, wanted.camera_info, color) if needs_info else None
    return ChosenTopics(color.name, depth.name, info)


def _color(looks: Sequence[Look], wanted: str | None) -> Look:
    if wanted is not None:
        return _named(looks, wanted, "colour", IMAGES)
    infos = {each.camera for each in looks if each.message_type == CAMERA_INFO}
    found = _of_kind(looks, COLOUR) or _of_kind(looks, GREY)
    found = _preferring(found, lambda each: each.camera in infos)
    return _only(found, looks, "colour images", "--color-topic")


def _depth(looks: Sequence[Look], wanted: str | None, color: Look) -> Look:
    if wanted is not None:
        return _named(looks, wanted, "depth", IMAGES)
    found = _of_kind(looks, DEPTH)
    same = [each for each in found if each.size == color.size]
    if found and not same:
        size = "x".join(map(str, color.size or ()))
        raise DataError(
            f"no depth has the {size} pixels of {color.name}: record depth registered (aligned) to "
            f"colour. {_listed(looks)}"
        )
    found = _preferring(same, lambda each: any(word in each.name for word in REGISTERED))
    if found:
        nearest = max(_common_names(each, color) for each in found)
        found = [each for each in found if _common_names(each, color) == nearest]
    return _only(found, looks, "depth images", "--depth-topic")


def _camera_info(looks: Sequence[Look], wanted: str | None, color: Look) -> str:
    if wanted is not None:
        return _named(looks, wanted, "camera_info", (CAMERA_INFO,)).name
    found = [each for each in looks if each.message_type == CAMERA_INFO]
    found = _preferring(found, lambda each: each.camera == color.camera)
    what = f"camera_info of {color.name}"
    return _only(found, looks, what, "--camera-info-topic or, as a file, --camera-info").name


def _named(looks: Sequence[Look], name: str, what: str, kinds: tuple[str, ...]) -> Look:
    found = [each for each in looks if each.name == name]
    if not found:
        raise DataError(f"there is no {what} topic {name}. {_listed(looks)}")
    if found[0].message_type not in kinds:
        raise DataError(f"{what} topic {found[0]} is not of type {' or '.join(kinds)}")
    return found[0]


def _of_kind(looks: Sequence[Look], kind: str) -> list[Look]:
    """One of each name: raw images rather than the same ones compressed."""
    found = [each for each in looks if each.kind == kind]
    names = {each.name for each in found}
    return [
        each
        for each in found
        if untransported(each.name) == each.name or untransported(each.name) not in names
    ]


def _preferring(looks: list[Look], better: Callable[[Look], bool]) -> list[Look]:
    return [each for each in looks if better(each)] or looks


def _only(found: Sequence[Look], looks: Sequence[Look], what: str, option: str) -> Look:
    if len(found) == 1:
        return found[0]
    problem = "several topics could be the" if found else "no topic has"
    raise DataError(f"{problem} {what}: name one with {option}. {_listed(looks)}")


def _listed(looks: Sequence[Look]) -> str:
    return "Topics: " + (", ".join(map(str, sorted(looks, key=lambda each: each.name))) or "none")


def untransported(name: str) -> str:
    """The topic without the suffix of image_transport."""
    base, _, last = name.rpartition("/")
    return base if last in TRANSPORTS else name


def _common_names(a: Look, b: Look) -> int:
    """How many names the beginnings of two topics share."""
    pairs = zip(a.name.split("/"), b.name.split("/"), strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), len(a.name.split("/")))
