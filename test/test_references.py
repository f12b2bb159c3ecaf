"""References on disk: whole, safe, and of the right model."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from dense_desc_ros import files
from dense_desc_ros.errors import InvalidInputError, ReferenceStoreError
from dense_desc_ros.grasping.batches import batches
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.references import LEAST_CONTRAST, Level, Reference, Support


def reference(name="mug", fingerprint="f" * 64, views=1):
    return Reference(name, torch.randn(views, 8), fingerprint)


def support(count=6, dim=8):
    views = torch.arange(count, dtype=torch.int32) // 4
    return Support(torch.randn(count, dim), torch.randn(count, 3) / 10, views)


@pytest.fixture
def store(tmp_path):
    return ReferenceStore(tmp_path / "references", "f" * 64)


def reopened(store):
    return ReferenceStore(store.folder, store.fingerprint)


def test_what_was_added_is_there_after_a_restart(store):
    pose = np.eye(4)
    pose[:3, 3] = [0.01, 0, -0.02]
    added = replace(reference(), T_point_grasp=pose, opening_width=0.05)
    store.add(added)
    store.add(reference("box"))
    loaded = reopened(store).get("mug")
    torch.testing.assert_close(loaded.descriptors, added.descriptors)
    np.testing.assert_array_equal(loaded.T_point_grasp, pose)
    assert loaded.opening_width == 0.05
    assert math.isnan(reopened(store).get("box").opening_width)
    assert reopened(store).names() == ["box", "mug"]


def test_surroundings_keypoints_and_levels_are_there_after_a_restart(store):
    keypoints = torch.tensor([[0.01, -0.02, 0.03], [math.nan] * 3])
    levels = {"registered": Level(0.2, 0.9), "straight": Level(0.7, 1.0)}
    added = replace(reference(views=2), support=support(), keypoints=keypoints, levels=levels)
    store.add(added)
    store.add(reference("box"))
    loaded = reopened(store).get("mug")
    for name, values in added.support.tensors().items():
        torch.testing.assert_close(loaded.support.tensors()[name], values, rtol=0, atol=0)
    torch.testing.assert_close(loaded.keypoints, keypoints, rtol=0, atol=0, equal_nan=True)
    assert loaded.levels == levels
    bare = reopened(store).get("box")
    assert len(bare.support) == 0 and bare.keypoints.shape == (0, 3) and bare.levels == {}


def test_a_score_is_on_the_scale_of_its_method():
    levels = {"registered": Level(0.2, 0.6), "straight": Level(0.97, 1.0)}
    scored = replace(reference(), levels=levels)
    assert scored.score("registered", 0.6) == pytest.approx(1)
    assert scored.score("registered", 0.2) == 0
    assert scored.score("registered", 0.0) == pytest.approx(-0.5)
    # What looks much like the rest is not told from it by however little there is in between.
    assert scored.score("straight", 1.0) == pytest.approx(0.03 / LEAST_CONTRAST)
    assert scored.score("aligned", 0.4) == 0.4  # there never was a level


def test_added_again_is_replaced(store):
    store.add(replace(reference(views=2), opening_width=0.05))
    store.add(reference())
    for each in (store, reopened(store)):
        assert each.get("mug").descriptors.shape == (1, 8)
        assert math.isnan(each.get("mug").opening_width)


def test_removed_is_gone_and_unknown_names_are_errors(store):
    store.add(reference())
    store.remove("mug")
    assert reopened(store).names() == []
    with pytest.raises(ReferenceStoreError, match="unknown reference 'mug'"):
        store.get("mug")
    with pytest.raises(ReferenceStoreError, match="unknown"):
        store.remove("mug")


@pytest.mark.parametrize("name", ["", "../mug", "a/b", "a.b", ".", "mug\n", "x" * 65, "ü", "a b"])
def test_names_that_could_be_paths_are_refused(store, name):
    with pytest.raises(InvalidInputError, match="is not 1 to 64 letters"):
        reference(name)
    with pytest.raises(InvalidInputError):
        store.remove(name)


def test_files_that_cannot_be_used_are_reported_and_kept(store):
    store.add(reference("good"))
    ReferenceStore(store.folder, "0" * 64).add(reference("other", "0" * 64))
    (store.folder / "cut.safetensors").write_bytes(reference("cut").to_bytes()[:-5])
    (store.folder / "renamed.safetensors").write_bytes(reference("original").to_bytes())
    again = reopened(store)
    assert again.names() == ["good"]
    assert sorted(again.problems) == ["cut", "other", "renamed"]
    assert "other weights" in again.problems["other"]
    with pytest.raises(ReferenceStoreError, match="other weights"):
        again.get("other")
    with pytest.raises(ReferenceStoreError, match="Remove it first"):
        again.add(reference("other"))
    again.remove("cut")
    assert sorted(reopened(store).problems) == ["other", "renamed"]


def with_nan(values):
    return torch.full_like(values, math.nan)


@pytest.mark.parametrize(
    "damage",
    [
        {"support": support(dim=5)},
        {"support": replace(support(), points=torch.zeros(5, 3))},
        {"support": replace(support(), views=torch.zeros(7, dtype=torch.int32))},
        {"support": replace(support(), points=with_nan(support().points))},
        {"support": replace(support(), descriptors=with_nan(support().descriptors))},
        {"keypoints": torch.zeros(4, 2)},
        {"keypoints": torch.full((4, 3), math.inf)},
        {"descriptors": with_nan(torch.zeros(1, 8))},
        {"levels": {"registered": (0.1, 0.2, 0.3)}},
        {"levels": {"registered": ("low", "high")}},
    ],
)
def test_files_whose_parts_do_not_fit_are_reported(store, damage):
    damaged = replace(reference(), **damage)
    (store.folder / "mug.safetensors").write_bytes(damaged.to_bytes())
    again = reopened(store)
    assert again.names() == []
    assert "mug.safetensors is not a readable reference" in again.problems["mug"]


@pytest.mark.parametrize("format", [None, 1, "2"])
def test_files_of_another_version_are_reported(store, format):
    store.add(reference())
    path = store.folder / "mug.safetensors"
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["reference"]) | {"format": format}
    path.write_bytes(serialize(load_file(path), {"reference": json.dumps(description)}))
    assert "another version of this package made it" in reopened(store).problems["mug"]


@given(sizes=st.lists(st.integers(0, 9), max_size=12), most=st.integers(1, 20))
def test_batches_are_all_references_in_order_and_not_too_large(sizes, most):
    references = [reference(views=max(size, 1)) for size in sizes]
    size = {id(each): number for each, number in zip(references, sizes, strict=True)}
    made = list(batches(references, lambda each: size[id(each)], most))
    assert [each for some in made for each in some] == references
    for some in made:
        assert some and (len(some) == 1 or sum(size[id(each)] for each in some) <= most)
    for one, following in itertools.pairwise(made):  # no more of them than are needed
        assert sum(size[id(each)] for each in [*one, following[0]]) > most


def test_a_reference_of_other_weights_is_not_added(store):
    with pytest.raises(ReferenceStoreError, match="other weights"):
        store.add(reference(fingerprint="0" * 64))


def test_a_full_disk_loses_nothing(store, monkeypatch):
    store.add(reference())
    before = store.get("mug").descriptors

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(reference())
    monkeypatch.undo()
    torch.testing.assert_close(store.get("mug").descriptors, before)
    torch.testing.assert_close(reopened(store).get("mug").descriptors, before)
    assert [p.name for p in store.folder.iterdir()] == ["mug.safetensors"]


@pytest.mark.parametrize(
    "pose", [np.zeros((4, 4)), np.diag([1, 1, -1, 1.0]), np.full((4, 4), np.nan)]
)
def test_a_grasp_that_is_no_pose_is_refused(pose):
    with pytest.raises(InvalidInputError, match="pose"):
        replace(reference(), T_point_grasp=pose)
