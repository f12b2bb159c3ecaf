"""Renders a folder's scene with Cycles: run as a script, by an interpreter that has bpy and NumPy.

It imports nothing else of this package, since that interpreter need not have it. What it reads is
what `cycles.py` writes; a line "RENDERED NAME" on standard output says that a picture is there.
"""

import json
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np

LAMP_WATTS = 90.0  # makes a lamp at 1.7 m about as bright as the other renderer's
OPTICAL_TO_BLENDER = np.diag([1.0, -1.0, -1.0, 1.0])


def main(folder: Path) -> None:
    content = json.loads((folder / "scene.json").read_text())
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module="cycles")  # the line before switched it off
    scene = bpy.context.scene
    set_up(scene, content["samples"], content["threads"])
    objects = {
        name: add_mesh(scene, folder, name, shine) for name, shine in content["shine"].items()
    }
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    for view in content["views"]:
        arrange(scene, folder, objects, view)
        scene.render.filepath = str(folder / view["picture"])
        bpy.ops.render.render(write_still=True)
        print("RENDERED", view["picture"], flush=True)


def set_up(scene: Any, samples: int, threads: int) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = 4
    scene.render.threads_mode = "FIXED" if threads else "AUTO"
    if threads:
        scene.render.threads = threads
    scene.render.use_persistent_data = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.view_settings.view_transform = "Standard"
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True


def add_mesh(scene: Any, folder: Path, name: str, shine: float) -> Any:
    arrays = np.load(folder / f"{name}.npz", allow_pickle=False)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(arrays["vertices"].tolist(), [], arrays["faces"].tolist())
    layer = mesh.uv_layers.new(name="uv")
    layer.data.foreach_set("uv", arrays["uv"][arrays["faces"].ravel()].ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), dtype=bool))
    mesh.normals_split_custom_set_from_vertices(arrays["normals"].tolist())
    mesh.materials.append(make_material(folder, name, shine))
    thing = bpy.data.objects.new(name, mesh)
    thing.rotation_mode = "QUATERNION"
    scene.collection.objects.link(thing)
    return thing


def make_material(folder: Path, name: str, shine: float) -> Any:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    surface = nodes["Principled BSDF"]
    surface.inputs["Roughness"].default_value = 0.9 - 0.7 * shine
    surface.inputs["Base Color"].default_value = (0.4, 0.4, 0.4, 1)
    picture = nodes.new("ShaderNodeTexImage")
    picture.name = "picture"
    path = folder / f"{name}.png"
    if path.exists():
        picture.image = bpy.data.images.load(str(path))
    if path.exists() or name in ("table", "room"):
        material.node_tree.links.new(picture.outputs["Color"], surface.inputs["Base Color"])
    return material


def arrange(scene: Any, folder: Path, objects: dict[str, Any], view: dict[str, Any]) -> None:
    for name in ("table", "room"):
        node = objects[name].data.materials[0].node_tree.nodes["picture"]
        old, node.image = node.image, bpy.data.images.load(str(folder / view[name]))
        if old:
            bpy.data.images.remove(old)
    for i, pose in enumerate(view["poses"]):
        thing = objects[f"body_{i}"]
        thing.hide_render = pose is None
        if pose is not None:
            thing.matrix_world = np.array(pose).T
    background = scene.world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*view["ambient"], 1)
    for old in [each for each in scene.objects if each.type == "LIGHT"]:
        bpy.data.objects.remove(old)
    for lamp in view["lamps"]:
        add_lamp(scene, lamp)
    set_camera(scene, view)


def add_lamp(scene: Any, lamp: list[float]) -> None:
    x, y, z, red, green, blue, radius = lamp
    light = bpy.data.lights.new("lamp", "POINT")
    light.energy = LAMP_WATTS * (x * x + y * y + z * z) / 1.7**2
    light.color = (red, green, blue)
    light.shadow_soft_size = max(radius, 0.02)
    thing = bpy.data.objects.new("lamp", light)
    thing.location = (x, y, z)
    scene.collection.objects.link(thing)


def set_camera(scene: Any, view: dict[str, Any]) -> None:
    fx, fy, cx, cy, width, height = view["camera"]
    camera = scene.camera.data
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = 36.0
    camera.lens = fx * camera.sensor_width / width
    # Blender's pixels have their corner at the origin, ours their centre.
    camera.shift_x = (width / 2 - (cx + 0.5)) / width
    camera.shift_y = ((cy + 0.5) - height / 2) / width * fx / fy
    camera.clip_start, camera.clip_end = 0.02, 20.0
    scene.render.resolution_x, scene.render.resolution_y = int(width), int(height)
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = 1.0, fx / fy
    scene.camera.matrix_world = (np.array(view["T_world_camera"]) @ OPTICAL_TO_BLENDER).T


if __name__ == "__main__":
    main(Path(sys.argv[1]))
