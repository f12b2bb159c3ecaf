"""How well a model's matches agree with the truth of a data set with poses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.correspondences import sample_correspondences
from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.absence import presence_scores
from dense_desc_ros.evaluation.auroc import auroc
from dense_desc_ros.evaluation.keypoints import KeypointResult, compare_keypoints
from dense_desc_ros.evaluation.keypoints import summarize as summarize_keypoints
from dense_desc_ros.evaluation.pck import auc, cosine_pck, pck, pixel_errors
from dense_desc_ros.evaluation.splits import draw_pairs

POINTS = 256  # correspondences in a pair
DRAWS_PER_PAIR = 20
NOTHING_SHARED = "pairs that share no visible surface"


@dataclass(frozen=True, eq=False)
class PairResult:
    """The matches of one pair of frames.

    Attributes:
        reference, target: indices of the frames.
        pixels: (N, 2) points asked for, in the reference.
        truth: (N, 2) where they are in the target.
        found: (N, 2) best pixels of the whole target.
        errors: (N,) distances of `found` from `truth`, pixels of a 640x480 image.
        scores: (N,) similarities at `found`.
        present_scores, absent_scores: of some of the points, registered in the reference as a user
            does, in the target and in a frame without the object; empty unless the split is
            "absent".
        keypoints: None for models without keypoint heads.
    """

    reference: int
    target: int
    pixels: FloatArray
    truth: FloatArray
    found: FloatArray
    errors: FloatArray
    scores: FloatArray
    present_scores: FloatArray
    absent_scores: FloatArray
    keypoints: KeypointResult | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The pairs measured with each seed, and how many were `skipped` for what reason."""

    split: str
    pairs: Mapping[int, Sequence[PairResult]]
    skipped: Mapping[str, int]


def evaluate(
    model: DescriptorModel,
    frames: PosedFrames,
    split: str = "novel-view",
    seeds: Sequence[int] = (0, 1, 2),
    pairs: int = 100,
) -> Evaluation:
    """Match POINTS points of the surface visible in both frames of each pair.

    Where little surface is shared there are fewer. Pairs that share none are skipped, counted, and
    replaced by others.

    Args:
        model: whose descriptors, and keypoints if it has heads for them, are measured.
        frames: the data set.
        split: one of `splits.SPLITS`.
        seeds: each decides its own pairs and points.
        pairs: how many with each seed; fewer when the data set does not have as many.

    Raises:
        InvalidInputError: an unknown split, no seed, or no pair asked for.
        DataError: the data set has no such pairs, or a file of it cannot be read.
    """
    if not seeds or pairs < 1:
        raise InvalidInputError(f"at least one seed and one pair are needed: {seeds}, {pairs}")
    skipped = Counter(frames.skipped)
    results: dict[int, list[PairResult]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for seed in seeds:
            task = progress.add_task(f"{split}, seed {seed}", total=pairs)
            rng = np.random.default_rng(seed)
            results[seed] = []
            for reference, target in _distinct_pairs(frames, split, pairs, rng):
                result = _measure(model, frames, reference, target, split, rng)
                if result is None:
                    skipped[NOTHING_SHARED] += 1
                    continue
                results[seed].append(result)
                progress.advance(task)
                if len(results[seed]) == pairs:
                    break
            if not results[seed]:
                raise DataError(f"no pair of frames for the split {split} shares visible surface")
    return Evaluation(split, results, skipped)


def summarize(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation.

    Returns:
        `split`; `auc`, `auc_cosine`, `median_px` (pixels of a 640x480 image) and `pck` (for
        k = 1...100), means over the seeds; `auc_std`, the standard deviation (of a population) over
        them; for the split absent also `auroc` and `auroc_std`, how surely the score of a
        registered reference tells present from absent; for models with keypoint heads what
        `keypoints.summarize` gives; `pairs` and `matches` in all; `seeds`; `per_seed`, the figures
        of each; `skipped`, reason to count.
    """
    per_seed = {seed: _summarize_seed(pairs) for seed, pairs in evaluation.pairs.items()}
    figures: dict[str, Any] = {"split": evaluation.split}
    first = next(iter(per_seed.values()))
    for name in first:
        values = [seed[name] for seed in per_seed.values() if seed[name] is not None]
        figures[name] = np.mean(values, axis=0).tolist() if values else None
        if name in ("auc", "auroc"):
            figures[f"{name}_std"] = float(np.std(values))
    everything = [pair for pairs in evaluation.pairs.values() for pair in pairs]
    return {
        **figures,
        "pairs": len(everything),
        "matches": sum(len(pair.errors) for pair in everything),
        "seeds": list(evaluation.pairs),
        "per_seed": [
            {"seed": seed, **{k: v for k, v in values.items() if k != "pck"}}
            for seed, values in per_seed.items()
        ],
        "skipped": dict(evaluation.skipped),
    }


def _distinct_pairs(
    frames: PosedFrames, split: str, count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Pairs in the order drawn, enough to replace some that share nothing."""
    drawn = draw_pairs(frames, split, rng)
    return list(dict.fromkeys(next(drawn) for _ in range(DRAWS_PER_PAIR * count)))


def _measure(
    model: DescriptorModel,
    frames: PosedFrames,
    reference: int,
    target: int,
    split: str,
    rng: np.random.Generator,
) -> PairResult | None:
    a, b = frames[reference], frames[target]
    canonical = split == "cross-instance"
    pixels, truth = sample_correspondences(a, b, POINTS, rng, canonical)
    if not len(pixels):
        return None
    described_a, described_b = model.describe(a.image), model.describe(b.image)
    wanted = described_a.sample(pixels)
    matches = described_b.match(wanted)
    found = matches.pixels.cpu().numpy().astype(float)
    present_scores, absent_scores = [], []
    if split == "absent":
        without = frames[int(rng.choice(frames.without_object))]
        present_scores, absent_scores = presence_scores(
            model,
            (a, described_a),
            pixels,
            ((b, described_b), (without, model.describe(without.image))),
        )
    keypoints = None
    if model.config.network.keypoints:
        keypoints = compare_keypoints(model, (a, described_a), (b, described_b), canonical)
    return PairResult(
        reference,
        target,
        pixels,
        truth,
        found,
        pixel_errors(found, truth, *b.image.shape[:2]),
        matches.scores.cpu().numpy(),
        np.array(present_scores),
        np.array(absent_scores),
        keypoints,
    )


def _summarize_seed(pairs: Sequence[PairResult]) -> dict[str, Any]:
    errors = np.concatenate([pair.errors for pair in pairs])
    found = np.concatenate([pair.found for pair in pairs])
    truth = np.concatenate([pair.truth for pair in pairs])
    curve = pck(errors)
    figures: dict[str, Any] = {
        "auc": auc(curve),
        "auc_cosine": auc(cosine_pck(found, truth)),
        "median_px": float(np.median(errors)),
        "pck": curve.tolist(),
    }
    absent_scores = np.concatenate([pair.absent_scores for pair in pairs])
    if len(absent_scores):
        present_scores = np.concatenate([pair.present_scores for pair in pairs])
        figures["auroc"] = auroc(present_scores, absent_scores)
    keypoints = [pair.keypoints for pair in pairs if pair.keypoints]
    return figures | (summarize_keypoints(keypoints) if keypoints else {})
