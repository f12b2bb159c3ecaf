"""Meshes: what is written is read back, files of other makes, and broken ones."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from dense_desc_ros.data.images import write_image
from dense_desc_ros.data.mesh import Mesh, load_mesh, write_obj
from dense_desc_ros.errors import DataError, InvalidInputError

CORNERS = np.array([(0, 0, 0), (2, 0, 0), (2, 1, 0), (0, 1, 0)], float)
SQUARE = np.array([(0, 1, 2), (0, 2, 3)], np.int32)


@pytest.fixture
def quad() -> Mesh:
    """A rectangle facing up, with a picture of noise."""
    rng = np.random.default_rng(0)
    uv = np.array([(0, 1), (1, 1), (1, 0), (0, 0)], float)
    return Mesh(CORNERS, SQUARE, uv, rng.integers(0, 256, (24, 40, 3), np.uint8))


def colors_at(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Colours (N, 3) that bilinear filtering gives at points (N, 3) of the surface."""
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    face = np.argmin(
        [np.linalg.norm(surface.triangles.mean(axis=1) - point, axis=1) for point in points], axis=1
    )
    weights = trimesh.triangles.points_to_barycentric(surface.triangles[face], points)
    uv = np.einsum("nk,nkc->nc", weights, mesh.uv[mesh.faces[face]])
    at = (uv * mesh.texture.shape[1::-1] - 0.5).astype(np.float32)
    return cv2.remap(mesh.texture, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]


def test_what_is_written_is_read_back(quad: Mesh, tmp_path: Path) -> None:
    read = load_mesh(write_obj(quad, tmp_path, "quad"))
    np.testing.assert_allclose(read.vertices[read.faces], quad.vertices[quad.faces], atol=1e-8)
    np.testing.assert_allclose(read.uv[read.faces], quad.uv[quad.faces], atol=1e-8)
    np.testing.assert_array_equal(read.texture, quad.texture)
    np.testing.assert_allclose(read.normals, [[0, 0, 1]] * 4)
    assert read.removed_faces == 0
    scaled = load_mesh(tmp_path / "quad.obj", size=0.5)
    np.testing.assert_allclose(np.ptp(scaled.vertices, axis=0), [0.5, 0.25, 0], atol=1e-8)


def test_other_software_reads_the_texture_the_same_way(quad: Mesh, tmp_path: Path) -> None:
    other = trimesh.load_mesh(write_obj(quad, tmp_path, "quad"), process=False)
    expected = quad.texture[-1, 0]  # the first vertex has the picture's lower left corner
    shown = trimesh.visual.color.uv_to_interpolated_color(
        other.visual.uv[:1], other.visual.material.image
    )
    np.testing.assert_allclose(shown[0, :3], expected, atol=1)


def test_normals_are_smooth_over_seams_and_sharp_at_edges() -> None:
    ball, box = trimesh.creation.icosphere(3), trimesh.creation.box()
    for solid in (ball, box):  # every face with vertices of its own, as if all edges were seams
        corners = solid.triangles.reshape(-1, 3)
        mesh = Mesh(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
        exact = corners if solid is ball else np.repeat(solid.face_normals, 3, axis=0)
        np.testing.assert_allclose(mesh.normals, exact, atol=0.02 if solid is ball else 1e-12)


@pytest.fixture
def shapenet(tmp_path: Path) -> Path:
    """A folder like ShapeNetCore's: y up, a plain and a textured square, each from both sides."""
    folder = tmp_path / "0123abc"
    (folder / "models").mkdir(parents=True)
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4], picture[:, 4:] = (250, 0, 0), (0, 0, 250)
    write_image(folder / "images" / "texture0.png", picture)
    (folder / "models" / "model_normalized.mtl").write_text(
        "newmtl plain\nKd 0 0.5 1\nnewmtl printed\nKd 1 1 1\nmap_Kd ../images/texture0.png\n"
    )
    (folder / "models" / "model_normalized.obj").write_text(
        "mtllib model_normalized.mtl\n"
        "v 0 0 0\nv 1 0 0\nv 1 0 1\nv 0 0 1\nv 0 1 0\nv 1 1 0\nv 1 1 1\nv 0 1 1\n"
        "vt 0 0\nvt 2 0\nvt 2 1\nvt 0 1\n"
        "usemtl plain\nf 1 2 3\nf 1 3 4\nf 3 2 1\nf 4 3 1\n"
        "usemtl printed\nf 5/1 7/3 6/2\nf 5/1 8/4 7/3\nf 6/2 7/3 5/1\nf 7/3 8/4 5/1\n"
    )
    return folder


def test_shapenet_layout(shapenet: Path) -> None:
    mesh = load_mesh(shapenet, size=0.2)
    assert (len(mesh.faces), mesh.removed_faces) == (4, 4)
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [-0.1, -0.1, 0], atol=1e-12)
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [0.1, 0.1, 0.2], atol=1e-12)
    facing = np.cross(*np.diff(mesh.vertices[mesh.faces], axis=1).swapaxes(0, 1))[:, 2]
    above = mesh.vertices[mesh.faces].mean(axis=1)[:, 2] > 0.1
    np.testing.assert_array_equal(facing > 0, above)  # each square is kept from its outer side
    # The picture is repeated twice along the file's x, which is -y here; the plain square is below.
    y = np.array([-0.09, -0.04, 0.02, 0.06])
    shown = colors_at(mesh, np.stack([0 * y, y, 0 * y + 0.2], axis=1))
    red, blue = (250, 0, 0), (0, 0, 250)
    np.testing.assert_allclose(shown, [blue, red, blue, red], atol=2)
    np.testing.assert_allclose(
        colors_at(mesh, np.array([(0.02, 0.03, 0)])), [(0, 127, 255)], atol=1
    )


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_colors_of_vertices_run_over_the_faces(suffix: str, tmp_path: Path) -> None:
    colors = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200), (100, 100, 100)], np.uint8)
    flat = trimesh.Trimesh(CORNERS, SQUARE, vertex_colors=colors, process=False)
    flat.export(tmp_path / f"flat.{suffix}")
    mesh = load_mesh(tmp_path / f"flat.{suffix}")
    if suffix == "glb":
        mesh = Mesh(mesh.vertices[:, [1, 2, 0]], mesh.faces, mesh.uv, mesh.texture)
    weights = np.array([(0.2, 0.5, 0.3), (0.4, 0.3, 0.3)])
    shown = colors_at(mesh, weights @ CORNERS[:3])
    np.testing.assert_allclose(shown, weights @ colors[:3], atol=3)


def test_a_mesh_without_any_color_is_grey(tmp_path: Path) -> None:
    trimesh.Trimesh(CORNERS, SQUARE, process=False).export(tmp_path / "plain.obj")
    assert len(np.unique(load_mesh(tmp_path / "plain.obj").texture)) == 1


def edited(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """What replaces a piece of a file, once."""

    def edit(folder: Path) -> None:
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))

    return edit


def cut_off(name: str, share: float) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return cut


BROKEN = {
    "a corner is cut off": ("quad.obj", edited("quad.obj", b"3/3/3 4/4/4\n", b"3/")),
    "no faces": ("quad.obj", cut_off("quad.obj", 0.4)),
    "empty": ("quad.obj", cut_off("quad.obj", 0)),
    "index too large": ("quad.obj", edited("quad.obj", b"4/4/4", b"9/4/4")),
    "index zero": ("quad.obj", edited("quad.obj", b"4/4/4", b"0/4/4")),
    "nan": ("quad.obj", edited("quad.obj", b"v 2 1 0", b"v 2 nan 0")),
    "no texture": ("quad.png", lambda folder: (folder / "quad.png").unlink()),
    "broken texture": ("quad.png", cut_off("quad.png", 0.5)),
    "no material": ("quad.mtl", lambda folder: (folder / "quad.mtl").unlink()),
    "half a ply": ("quad.ply", cut_off("quad.ply", 0.9)),
    "ply index too large": (
        "quad.ply",
        edited("quad.ply", b"\x03\x00\x00\x00", b"\x09\x00\x00\x00"),
    ),
    "half a glb": ("quad.glb", cut_off("quad.glb", 0.7)),
    "no glb": ("quad.glb", edited("quad.glb", b"glTF", b"none")),
    "missing": ("quad.obj", lambda folder: (folder / "quad.obj").unlink()),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(case: str, quad: Mesh, tmp_path: Path) -> None:
    named, damage = BROKEN[case]
    write_obj(quad, tmp_path, "quad")
    for suffix in ("ply", "glb"):
        trimesh.Trimesh(quad.vertices, quad.faces, process=False).export(
            tmp_path / f"quad.{suffix}"
        )
    damage(tmp_path)
    file = named if named.endswith(("ply", "glb")) else "quad.obj"
    with pytest.raises(DataError) as caught:
        load_mesh(tmp_path / file)
    assert file in str(caught.value) and named in str(caught.value)


def test_other_errors(quad: Mesh, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("v 0 0 0")
    for path in (tmp_path / "notes.txt", tmp_path):
        with pytest.raises(DataError, match=str(path)):
            load_mesh(path)
    with pytest.raises(InvalidInputError, match="size"):
        load_mesh(write_obj(quad, tmp_path, "quad"), size=0)
    with pytest.raises(DataError, match=r"notes\.txt"):
        write_obj(quad, tmp_path / "notes.txt", "quad")
    for wrong in (SQUARE[:0], SQUARE + 1, SQUARE - 1):
        with pytest.raises(InvalidInputError):
            Mesh(CORNERS, wrong)
    with pytest.raises(InvalidInputError, match="finite"):
        Mesh(np.full((4, 3), np.nan), SQUARE)


@pytest.mark.parametrize("name", ["../../secret.png", "/{tmp}/secret.png"])
def test_a_mesh_file_cannot_reach_outside_of_its_model(
    shapenet: Path, tmp_path: Path, name: str
) -> None:
    write_image(tmp_path / "secret.png", np.zeros((8, 8, 3), np.uint8))
    name = name.format(tmp=str(tmp_path).lstrip("/"))
    materials = shapenet / "models" / "model_normalized.mtl"
    materials.write_text(materials.read_text().replace("../images/texture0.png", name))
    with pytest.raises(DataError, match=r"secret.png.* is outside of"):
        load_mesh(shapenet)
