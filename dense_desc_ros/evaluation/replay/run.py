"""Recordings through the grasp pipeline, into a folder from which a killed run can go on.

run.json      what was run: recordings, weights, settings, references
references/   the references of the run
frames.jsonl  the answers for each frame, a line each, in order
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from dense_desc_ros.data.camera_choice import CameraTopics
from dense_desc_ros.data.reading import read_json
from dense_desc_ros.data.recordings import RecordedFrame, Recording, Selection
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, DenseDescError, InvalidInputError
from dense_desc_ros.evaluation.replay.ahead import read_ahead
from dense_desc_ros.evaluation.replay.answers import Answers, cut_unfinished
from dense_desc_ros.evaluation.replay.inputs import Click
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

DESCRIPTION, REFERENCES, FRAMES = "run.json", "references", "frames.jsonl"


@dataclass(frozen=True)
class ReplayConfig:
    """What is replayed, and how.

    Attributes:
        bags: the recordings, in order.
        references: folder of references to find, which is only read; None for none.
        clicks: name -> click on the first recording to register as a reference too.
        selection: frames of each recording.
        topics, slop, camera_file: see `Recording`.
        settings: of the pipeline.
    """

    bags: tuple[Path, ...]
    references: Path | None = None
    clicks: Mapping[str, Click] = field(default_factory=dict)
    selection: Selection = Selection()
    topics: CameraTopics = CameraTopics()
    slop: float = 0.01
    camera_file: Path | None = None
    settings: PipelineSettings = PipelineSettings()

    def open(self, bag: Path) -> Recording:
        return Recording(bag, self.topics, self.slop, self.camera_file)


def replay(
    model: DescriptorModel, config: ReplayConfig, out: Path, resume: bool = False
) -> ReferenceStore:
    """Write the pipeline's answers for every frame into `out`; returns the references of the run.

    The same frames and settings give the same answers, bit for bit, on the same device.

    Args:
        model: computes the descriptors.
        config: what to do.
        out: folder of the run.
        resume: go on with the run that is in `out`.

    Raises:
        DataError: a recording cannot be read or gives no frame, a reference cannot be registered,
            there is nothing to resume, or `out` holds another run.
        InvalidInputError: no references, or `config` differs from the run to be resumed.
        ReferenceStoreError: the folder of references cannot be used.
    """
    description = _describe(model, config)
    lines = out / FRAMES
    is_new = not (resume and _can_go_on(out, description))
    store = _new_references(model, config, out, description) if is_new else _store(model, out)
    if is_new:
        lines.write_bytes(b"")
    last = cut_unfinished(lines)
    pipeline = GraspPipeline(model, store, config.settings)
    left_out: list[str] = []
    with (
        lines.open("a") as file,
        # cuDNN's fastest convolutions add up in an order that differs from run to run.
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        for number, bag in enumerate(config.bags):
            if last is not None and number < last.bag:
                continue
            done, left = -1, config.selection
            if last is not None and last.bag == number:
                done, left = last.frame, replace(config.selection, start=last.seconds)
            recording = config.open(bag)
            with read_ahead(recording, config.selection, done.__lt__) as frames:
                for recorded in _with_progress(frames, recording, left):
                    answers = Answers.of(number, recorded, pipeline.process(recorded.frame))
                    file.write(answers.to_line())
                    file.flush()
                counts = recording.left_out.counts.items()
                left_out += [f"{bag.name}: {count} {reason}" for reason, count in counts]
    if not lines.stat().st_size:
        reasons = "; ".join(left_out) or "there is none in that time"
        raise DataError(f"the recordings give no frame: {reasons}")
    return store


def _with_progress(
    frames: Iterator[RecordedFrame], recording: Recording, selection: Selection
) -> Iterable[RecordedFrame]:
    text, total = f"Replaying {recording.name}", recording.expected(selection)
    return track(frames, text, total, console=Console(stderr=True))


def _describe(model: DescriptorModel, config: ReplayConfig) -> dict[str, Any]:
    """What has to be the same for a run to be resumed, as JSON gives it back."""
    known = _given_references(model, config) or ()
    camera = config.camera_file
    description = {
        "bags": [{"name": bag.name, "bytes": _size(bag)} for bag in config.bags],
        "weights": model.fingerprint,
        "references": {each.name: _digest(each.to_bytes()) for each in known},
        "registered": {name: click._asdict() for name, click in config.clicks.items()},
        "selection": asdict(config.selection),
        "topics": asdict(config.topics),
        "slop": config.slop,
        "camera": _digest(camera.read_bytes()) if camera and camera.is_file() else None,
        "settings": asdict(config.settings),
    }
    return dict(json.loads(json.dumps(description)))


def _can_go_on(out: Path, description: dict[str, Any]) -> bool:
    """Whether the run in `out` has its references already."""
    if not (out / DESCRIPTION).is_file():
        raise DataError(f"nothing to resume: there is no {out / DESCRIPTION}")
    earlier = read_json(out / DESCRIPTION)
    for key, value in description.items():
        if earlier.get(key) != value:
            raise InvalidInputError(
                f"cannot resume {out}: its {key} were {json.dumps(earlier.get(key))}, now "
                f"{json.dumps(value)}"
            )
    return (out / FRAMES).is_file()


def _new_references(
    model: DescriptorModel, config: ReplayConfig, out: Path, description: dict[str, Any]
) -> ReferenceStore:
    """Begin a run: describe it, and put its references into its folder."""
    if (out / FRAMES).is_file() and (out / FRAMES).stat().st_size:
        raise DataError(f"{out} holds a run already: go on with --resume, or choose another --out")
    store = _store(model, out)
    leftovers = [*store.names(), *store.problems]
    if leftovers and not (out / DESCRIPTION).is_file():
        raise DataError(f"{store.folder} has references already: choose another --out")
    try:
        write_atomically(out / DESCRIPTION, json.dumps(description, indent=2).encode())
        for name in leftovers:
            store.remove(name)
        for reference in _given_references(model, config) or ():
            store.add(reference)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error}") from error
    if config.clicks:
        _register(GraspPipeline(model, store, config.settings), config)
    if not store.names():
        given = _given_references(model, config)
        problems = "; ".join(given.problems.values()) if given else ""
        raise InvalidInputError(
            f"there is no reference to find: give --references or --register. {problems}".rstrip()
        )
    return store


def _register(pipeline: GraspPipeline, config: ReplayConfig) -> None:
    """Register what was clicked on, on frames of the first recording."""
    waiting = dict(config.clicks)
    with config.open(config.bags[0]) as recording:
        numbers = {click.frame for click in waiting.values()}
        for recorded in recording.frames(wanted=numbers.__contains__):
            for name in [n for n, click in waiting.items() if click.frame == recorded.number]:
                try:
                    pipeline.register(recorded.frame, name, waiting.pop(name).pixel)
                except (DenseDescError, OSError) as error:
                    raise DataError(
                        f"cannot register {name} on frame {recorded.number}: {error}"
                    ) from error
            if not waiting:
                return
        for name, click in waiting.items():
            reasons = "; ".join(recording.left_out.examples.values())
            raise DataError(
                f"cannot register {name}: {recording.name} has no frame {click.frame} that can be "
                f"used{f' ({reasons})' if reasons else ''}"
            )


def _store(model: DescriptorModel, out: Path) -> ReferenceStore:
    return ReferenceStore(out / REFERENCES, model.fingerprint)


def reference_names(model: DescriptorModel, config: ReplayConfig) -> set[str]:
    """The names of the references that a replay will have.

    Raises:
        DataError, ReferenceStoreError: the folder of references cannot be used.
    """
    given = _given_references(model, config)
    return {*config.clicks, *(given.names() if given else ())}


def _given_references(model: DescriptorModel, config: ReplayConfig) -> ReferenceStore | None:
    if config.references is None:
        return None
    if not config.references.is_dir():
        raise DataError(f"there is no folder of references {config.references}")
    return ReferenceStore(config.references, model.fingerprint)


def _size(bag: Path) -> int:
    files = bag.rglob("*") if bag.is_dir() else [bag]
    return sum(path.stat().st_size for path in files if path.is_file())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
