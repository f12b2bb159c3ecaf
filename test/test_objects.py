"""Procedural objects: sound meshes, and canonical coordinates that mean the same on all of them."""

import hashlib
import subprocess
import sys

import numpy as np
import open3d
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, cKDTree

from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.objects import CATEGORIES, make_object
from dense_desc_ros.errors import InvalidInputError

INSTANCES = range(6)


@pytest.fixture(scope="module")
def objects() -> dict[str, list[Mesh]]:
    return {name: [make_object(name, number) for number in INSTANCES] for name in CATEGORIES}


def place(mesh: Mesh, canonical: np.ndarray) -> np.ndarray:
    """Where on a mesh canonical coordinates (3,) or (N, 3) are: the nearest vertex."""
    return mesh.vertices[cKDTree(mesh.canonical).query(canonical)[1]]


@pytest.mark.parametrize("category", CATEGORIES)
@settings(max_examples=5)
@given(number=st.integers(0, 10**9))
def test_every_instance_is_sound(category: str, number: int) -> None:
    mesh = make_object(category, number)
    assert 5000 < len(mesh.vertices) < 20_000
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(*np.diff(corners, axis=1).swapaxes(0, 1)), axis=1)
    assert areas.min() > 0
    assert mesh.canonical.min() >= 0 and mesh.canonical.max() <= 1
    assert mesh.uv.min() >= 0 and mesh.uv.max() <= 1
    assert abs(mesh.vertices[:, 2].min()) < 0.002  # it stands on the table
    assert mesh.texture.std(axis=(0, 1)).max() > 1


@pytest.mark.parametrize("category", CATEGORIES)
def test_faces_are_seen_from_outside(category: str, objects: dict[str, list[Mesh]]) -> None:
    for mesh in objects[category]:
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
        solid.merge_vertices(merge_tex=True, merge_norm=True, digits_vertex=7)
        for part in solid.split(only_watertight=False):
            assert part.is_winding_consistent
            if part.is_watertight:
                assert part.volume > 0
        if category == "caps":
            assert solid.is_watertight
        facing = np.cross(*np.diff(mesh.vertices[mesh.faces], axis=1).swapaxes(0, 1))
        agreement = np.einsum("fk,fck->fc", facing, mesh.normals[mesh.faces])
        assert np.mean(agreement > 0) > 0.99


def test_landmarks_of_caps(objects: dict[str, list[Mesh]]) -> None:
    """Found by geometry on one cap, a landmark's canonical coordinates lead to it on the others."""
    caps = objects["caps"]

    def button(cap: Mesh) -> np.ndarray:
        return cap.vertices[np.argmax(cap.vertices[:, 2])]

    def tip(cap: Mesh) -> np.ndarray:
        return cap.vertices[
            np.argmax(cap.vertices[:, 0] - 1e3 * np.maximum(cap.vertices[:, 1] ** 2 - 1e-5, 0))
        ]

    def left(cap: Mesh) -> np.ndarray:
        low = cap.vertices[:, 2] < cap.vertices[:, 2].min() + 0.02
        return cap.vertices[low][np.argmax(cap.vertices[low][:, 1])]

    for find, tolerance in ((button, 0.005), (tip, 0.012), (left, 0.03)):
        nearest = cKDTree(caps[0].vertices).query(find(caps[0]))[1]
        for cap in caps:
            assert np.linalg.norm(place(cap, caps[0].canonical[nearest]) - find(cap)) < tolerance
    for cap in caps:
        assert np.hypot(*button(cap)[:2]) < 0.02
        assert 0.155 < np.ptp(cap.vertices[:, 1]) < 0.205
        assert 0.22 < np.ptp(cap.vertices[:, 0]) < 0.30


def test_landmarks_of_mugs(objects: dict[str, list[Mesh]]) -> None:
    mugs = objects["mugs"]
    grip = mugs[0].canonical[np.argmax(mugs[0].vertices[:, 0])]
    for mug in mugs:
        at = place(mug, grip)
        assert abs(at[0] - mug.vertices[:, 0].max()) < 0.004 and abs(at[1]) < 0.008


@pytest.mark.parametrize("category", CATEGORIES)
def test_canonical_coordinates_tell_places_apart(
    category: str, objects: dict[str, list[Mesh]]
) -> None:
    """Places that are far apart on the object have different coordinates, near ones have near."""
    for mesh in objects[category]:
        scale = np.ptp(mesh.vertices, axis=0).max()
        a, b = np.random.default_rng(0).integers(0, len(mesh.vertices), (2, 20_000))
        apart = np.linalg.norm(mesh.vertices[a] - mesh.vertices[b], axis=1) / scale
        canonical = np.linalg.norm(mesh.canonical[a] - mesh.canonical[b], axis=1)
        far = apart > 0.1
        assert canonical[far].min() > 0.04
        edges = mesh.faces[:, :2]
        step = np.linalg.norm(np.diff(mesh.vertices[edges], axis=1)[:, 0], axis=1)
        change = np.linalg.norm(np.diff(mesh.canonical[edges], axis=1)[:, 0], axis=1)
        assert np.all(change < 8 * step / scale + 0.02)


def test_same_place_on_two_caps_is_seen_from_the_same_side(objects: dict[str, list[Mesh]]) -> None:
    """Inside and outside of the cloth are told apart: most matches have like normals."""
    first = objects["caps"][0]
    for cap in objects["caps"][1:]:
        nearest = cKDTree(cap.canonical).query(first.canonical)[1]
        alike = np.sum(cap.normals[nearest] * first.normals, axis=1)
        assert np.mean(alike > 0) > 0.93


@pytest.mark.parametrize("category", CATEGORIES)
def test_collision_pieces_fill_the_object_and_not_its_hollow(
    category: str, objects: dict[str, list[Mesh]]
) -> None:
    for mesh in objects[category]:
        pieces = [ConvexHull(piece) for piece in mesh.collision]
        assert 5 < len(pieces) < 60 and min(piece.volume for piece in pieces) > 1e-9
        inner = np.array([0.0, 0, 0.3 * mesh.vertices[:, 2].max()])
        assert not any(np.all(p.equations[:, :3] @ inner + p.equations[:, 3] < 0) for p in pieces)
        scene = open3d.t.geometry.RaycastingScene()
        for piece in pieces:
            scene.add_triangles(piece.points.astype(np.float32), piece.simplices.astype(np.uint32))
        distance = scene.compute_distance(mesh.vertices.astype(np.float32)).numpy()
        assert np.quantile(distance, 0.95) < 0.012


@pytest.mark.parametrize("category", CATEGORIES)
def test_instances_differ_and_are_the_same_in_every_process(
    category: str, objects: dict[str, list[Mesh]]
) -> None:
    def digest(mesh: Mesh) -> str:
        arrays = (mesh.vertices, mesh.faces, mesh.uv, mesh.texture, mesh.canonical)
        return hashlib.sha256(
            b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
        ).hexdigest()

    digests = [digest(mesh) for mesh in objects[category]]
    assert len(set(digests)) == len(digests)
    code = (
        "import hashlib, numpy as np\n"
        "from dense_desc_ros.data.objects import make_object\n"
        f"m = make_object({category!r}, 3)\n"
        "arrays = (m.vertices, m.faces, m.uv, m.texture, m.canonical)\n"
        "data = b''.join(np.ascontiguousarray(a).tobytes() for a in arrays)\n"
        "print(hashlib.sha256(data).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digests[3]


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match=r"hats.*caps, mugs"):
        make_object("hats", 0)
    with pytest.raises(InvalidInputError, match="negative"):
        make_object("caps", -1)
