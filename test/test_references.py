"""References on disk: whole, safe, and of the right model."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dense_desc_ros import files
from dense_desc_ros.errors import InvalidInputError, ReferenceStoreError
from dense_desc_ros.references import Reference, ReferenceStore


def reference(name="mug", fingerprint="f" * 64, views=1):
    return Reference(name, torch.randn(views, 8), fingerprint)


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


def test_append_adds_views_and_keeps_the_grasp(store):
    store.add(replace(reference(), opening_width=0.05))
    store.add(reference(), append=True)
    assert reopened(store).get("mug").descriptors.shape == (2, 8)
    assert reopened(store).get("mug").opening_width == 0.05
    store.add(reference())
    assert reopened(store).get("mug").descriptors.shape == (1, 8)


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
