"""Which pairs of frames each split of an evaluation is made of."""

from collections.abc import Iterator

import numpy as np

from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.errors import DataError, InvalidInputError

SPLITS = ("novel-view", "cross-instance", "clutter", "absent")
OCCLUDED = 0.9  # a frame shows an occluded object when less of its silhouette than this is visible


def draw_pairs(
    frames: PosedFrames, split: str, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Draw pairs (reference, target) of frame indices without end, objects equally often.

    - novel-view, absent: two frames of one object;
    - cross-instance: frames of two objects;
    - clutter: two frames of one object, which in the target is partly hidden by others.

    Raises:
        InvalidInputError: an unknown split.
        DataError: the data set has no such pair.
    """
    if split not in SPLITS:
        raise InvalidInputError(f"unknown split {split!r}: use one of {SPLITS}")
    if split == "cross-instance":
        return _across(frames, rng)
    if split == "absent" and not frames.without_object:
        raise DataError(
            "the split absent needs frames without the object, and this data set has none: "
            "generate one with --clutter"
        )
    return _within(frames, split == "clutter", rng)


def _within(
    frames: PosedFrames, occluded: bool, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    choices = {}
    for name, views in frames.groups.items():
        targets = [i for i in views if not occluded or frames.visible_fraction[i] < OCCLUDED]
        if targets and len(views) > 1:
            choices[name] = views, targets
    if not choices:
        kind = f"that is less than {OCCLUDED:.0%} visible in one of them" if occluded else "at all"
        raise DataError(f"no object {kind} is shown by two frames of this data set")
    names = list(choices)
    while True:
        views, targets = choices[names[rng.integers(len(names))]]
        target = int(rng.choice(targets))
        yield int(rng.choice([i for i in views if i != target])), target


def _across(frames: PosedFrames, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    names = [name for name, views in frames.groups.items() if views]
    if len(names) < 2:
        raise DataError(f"the split cross-instance needs two objects, this data has {len(names)}")
    while True:
        a, b = rng.choice(len(names), 2, replace=False).tolist()
        views_a, views_b = frames.groups[names[a]], frames.groups[names[b]]
        yield int(rng.choice(views_a)), int(rng.choice(views_b))
