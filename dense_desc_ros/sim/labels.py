"""What is printed on the objects of the rendered table: no two places look alike."""

import numpy as np

from dense_desc_ros.sim.textures import (
    BLACK,
    BLUE,
    BROWN,
    CREAM,
    GREEN,
    INK,
    NAVY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    TEAL,
    WHITE,
    YELLOW,
    Canvas,
    Color,
    Picture,
    blend,
    gradient,
    metal,
    noise,
    speckled,
    tiled,
    wood,
)


def cereal_box(rng: np.random.Generator) -> Picture:
    """All six faces of a box of cereals, as one texture."""
    front = Canvas(480, 680, gradient(480, 680, ORANGE, RED))
    for angle in np.arange(0, 2 * np.pi, np.pi / 10):
        ray = [(0.5, 0.62)]
        ray += [(0.5 + 1.2 * np.cos(a), 0.62 + 1.2 * np.sin(a)) for a in (angle, angle + 0.15)]
        front.polygon(ray, YELLOW)
    front.rectangle(0, 0, 1, 0.27, NAVY)
    front.text(0.5, 0.14, "OATIES", 0.17, WHITE, 0.09)
    front.star(0.13, 0.35, 0.06, WHITE)
    front.text(0.78, 0.36, "NEW!", 0.075, NAVY)
    front.ellipse(0.5, 0.70, 0.25, BLUE, 0.62)
    front.ellipse(0.5, 0.66, 0.235, WHITE, 0.55)
    for _ in range(60):
        u, v = rng.normal((0.5, 0.66), (0.12, 0.045))
        front.ellipse(u, v, rng.uniform(0.012, 0.022), BROWN if rng.random() < 0.6 else RED)
    front.rectangle(0, 0.9, 1, 1, TEAL)
    front.text(0.36, 0.95, "500 g", 0.07, WHITE)
    front.polygon([(0.75, 1), (0.83, 0.9), (1, 0.9), (1, 1)], PINK)

    side = Canvas(220, 680, CREAM)
    side.rectangle(0, 0, 1, 0.12, NAVY)
    side.text(0.5, 0.06, "FACTS", 0.05, WHITE)
    for row in range(16):
        v = 0.17 + 0.032 * row
        side.rectangle(0.1, v, rng.uniform(0.4, 0.9), v + 0.012, INK)
    _bars(side, rng, 0.74, 0.96)
    other = Canvas(220, 680, GREEN)
    other.text(0.5, 0.12, "MIX", 0.1, YELLOW)
    for row in range(9):
        other.star(rng.uniform(0.15, 0.85), 0.24 + 0.08 * row, rng.uniform(0.02, 0.05), WHITE, 4)
    back = Canvas(480, 680, TEAL)
    for row in range(7):
        back.line([(0, 0.1 + 0.13 * row), (1, 0.02 + 0.13 * row)], 0.03, YELLOW)
    top = Canvas(480, 220, NAVY)
    top.rectangle(0, 0.4, 0.6, 1, RED)
    top.text(0.3, 0.7, "OPEN", 0.4, WHITE)
    top.star(0.82, 0.5, 0.3, YELLOW, 6)
    faces = {
        "front": front,
        "right": side,
        "back": back,
        "left": other,
        "top": top,
        "bottom": Canvas(64, 64, CREAM),
    }
    return speckled(rng, tiled({name: canvas.picture() for name, canvas in faces.items()}), 0.05)


def book(rng: np.random.Generator) -> Picture:
    """All six faces of a book that lies on its back: the cover is the top."""
    sky = gradient(640, 448, (18, 70, 110), (250, 180, 120))
    cover = Canvas(640, 448, sky)
    cover.ellipse(0.74, 0.36, 0.13, YELLOW)
    for height, color in ((0.62, (90, 90, 130)), (0.76, (52, 96, 92)), (0.9, (22, 58, 52))):
        ridge = height + 0.28 * (noise(rng, 40, 2, (6, 1), 4)[0] - 0.6)
        cover.polygon([(0, 1), *zip(np.linspace(0, 1, 40), ridge, strict=True), (1, 1)], color)
    cover.text(0.35, 0.17, "ATLAS", 0.24, WHITE, 0.07)
    cover.text(0.26, 0.34, "of peaks", 0.1, CREAM, 0.03)
    cover.rectangle(0.83, 0.82, 0.97, 0.95, RED)
    cover.text(0.9, 0.885, "3rd", 0.09, WHITE)
    spine = Canvas(640, 112, NAVY)
    spine.text(0.34, 0.5, "ATLAS of peaks", 0.5, YELLOW)
    for u in (0.68, 0.72, 0.95):
        spine.rectangle(u, 0, u + 0.02, 1, RED)
    pages = np.repeat(rng.integers(190, 250, (112, 1, 1), dtype=np.uint8), 448, axis=1)
    pages = np.repeat(pages, 3, axis=2)
    back = Canvas(448, 640, (18, 70, 110)).picture()
    faces = {"front": spine.picture(), "top": cover.picture(), "bottom": back}
    faces |= dict.fromkeys(("right", "back", "left"), pages)
    return speckled(rng, tiled(faces), 0.05)


def can_side(rng: np.random.Generator) -> Picture:
    """The label of a can of tomatoes."""
    label = Canvas(1024, 480, gradient(1024, 480, (28, 120, 52), (14, 70, 40)))
    label.rectangle(0, 0, 1, 0.06, (190, 190, 196))
    label.rectangle(0, 0.94, 1, 1, (190, 190, 196))
    label.rectangle(0.28, 0.16, 0.72, 0.5, CREAM)
    label.text(0.5, 0.33, "POMODORO", 0.15, RED, 0.07)
    for u, v, radius in ((0.42, 0.72, 0.13), (0.52, 0.76, 0.11), (0.6, 0.7, 0.09)):
        label.ellipse(u, v, radius, RED)
        label.ellipse(u - 0.012, v - 0.04, radius * 0.25, PINK)
        label.star(u + 0.01, v - radius * 0.7, radius * 0.5, YELLOW)
    label.text(0.14, 0.3, "400 g", 0.14, YELLOW)
    for row in range(7):
        label.rectangle(0.07, 0.45 + 0.06 * row, rng.uniform(0.14, 0.24), 0.475 + 0.06 * row, WHITE)
    _bars(label, rng, 0.3, 0.8, 0.78, 0.9)
    label.star(0.94, 0.5, 0.16, ORANGE, 9)
    return speckled(rng, label.picture(), 0.06)


def can_lid(rng: np.random.Generator) -> Picture:
    """A metal lid with rings, a pull tab and a printed date."""
    lid = Canvas(384, 384, metal(rng, 384, 384, (205, 206, 212)))
    for radius, color in (
        (0.47, (120, 120, 126)),
        (0.45, (220, 220, 225)),
        (0.38, (150, 150, 156)),
    ):
        lid.ellipse(0.5, 0.5, radius, color)
    lid.ellipse(0.5, 0.5, 0.365, (198, 199, 205))
    lid.ellipse(0.5, 0.33, 0.13, (112, 112, 120), 1.25)
    lid.ellipse(0.5, 0.29, 0.075, (198, 199, 205), 1.1)
    lid.ellipse(0.5, 0.46, 0.04, (70, 70, 76))
    lid.text(0.5, 0.66, "07 27", 0.12, INK)
    lid.rectangle(0.33, 0.75, 0.6, 0.775, RED)
    return lid.picture()


def mug_outside(rng: np.random.Generator) -> Picture:
    """Flowers, leaves and dots on white turning to blue."""
    print_ = Canvas(1024, 420, gradient(1024, 420, WHITE, (120, 170, 225)))
    print_.rectangle(0, 0, 1, 0.045, NAVY)
    petals: list[Color] = [RED, PURPLE, ORANGE, PINK, TEAL, YELLOW, GREEN, BLUE]
    for i, color in enumerate(petals):
        u, v = (i + 0.5) / len(petals), 0.36 + 0.26 * (i % 2)
        print_.line([(u, v), (u + 0.02, 0.98)], 0.016, GREEN)
        count = 5 + i % 4
        for angle in np.arange(count) * 2 * np.pi / count + rng.random():
            print_.ellipse(u + 0.035 * np.cos(angle), v + 0.085 * np.sin(angle), 0.06, color)
        print_.ellipse(u, v, 0.045, INK if i % 3 else YELLOW)
    for _ in range(70):
        print_.ellipse(
            rng.random(), rng.uniform(0.08, 1), rng.uniform(0.008, 0.02), petals[rng.integers(8)]
        )
    return print_.picture()


def mug_handle(rng: np.random.Generator) -> Picture:
    """Bands of different widths along the handle."""
    handle = Canvas(128, 512, WHITE)
    bands = ((0.08, NAVY), (0.2, RED), (0.27, YELLOW), (0.42, NAVY), (0.6, TEAL), (0.66, ORANGE))
    for v, color in bands:
        handle.rectangle(0, v, 1, v + 0.055, color)
    for v in (0.5, 0.535, 0.57):
        for u in np.arange(0, 1, 0.25):
            handle.ellipse(u + 0.12, v, 0.012, PURPLE)
    handle.rectangle(0, 0.8, 1, 1, NAVY)
    return speckled(rng, handle.picture(), 0.05)


def bottle(rng: np.random.Generator) -> Picture:
    """A bottle of honey; v runs from the neck to the foot."""
    label = Canvas(1024, 640, gradient(1024, 640, (250, 196, 60), (214, 120, 14)))
    label.rectangle(0.24, 0.42, 0.76, 0.9, CREAM)
    label.rectangle(0.24, 0.42, 0.76, 0.46, BROWN)
    label.text(0.5, 0.55, "HONEY", 0.15, BROWN, 0.09)
    label.text(0.4, 0.68, "from limes", 0.06, INK, 0.03)
    _bee(label, 0.61, 0.68)
    for i, (u, v) in enumerate([(0.3, 0.8), (0.37, 0.84), (0.44, 0.8), (0.51, 0.84), (0.58, 0.8)]):
        _hexagon(label, u, v, 0.055, (ORANGE, YELLOW, BROWN, RED, ORANGE)[i])
    for _ in range(24):
        u = rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1)])
        _hexagon(label, u, rng.uniform(0.3, 0.95), rng.uniform(0.02, 0.05), BROWN)
    label.rectangle(0, 0.94, 1, 0.97, RED)
    return speckled(rng, label.picture(), 0.06)


def cap_top(rng: np.random.Generator) -> Picture:
    """The top of a bottle's cap: an arrow on unequal sectors."""
    top = Canvas(256, 256, RED)
    for start, color in ((0.3, NAVY), (1.9, WHITE), (3.6, YELLOW)):
        arc = np.linspace(start, start + 0.8, 12)
        top.polygon([(0.5, 0.5), *zip(0.5 + np.cos(arc), 0.5 + np.sin(arc), strict=True)], color)
    top.ellipse(0.5, 0.5, 0.16, BLACK)
    top.star(0.5, 0.5, 0.12, YELLOW, 3)
    return speckled(rng, top.picture(), 0.04)


def cap_side(rng: np.random.Generator) -> Picture:
    side = Canvas(512, 96, RED)
    for i in range(40):
        side.rectangle(i / 40, 0, i / 40 + 0.008, 1, (140, 20, 20))
    side.rectangle(0.4, 0.2, 0.6, 0.8, YELLOW)
    return speckled(rng, side.picture(), 0.04)


def hammer_handle(rng: np.random.Generator) -> Picture:
    """Varnished wood (v = 0, at the head) with a rubber grip (v = 1) and a brand."""
    length = 900
    plain = np.rot90(wood(rng, length, 200, 1, (226, 178, 110), (150, 92, 44))).copy()
    handle = Canvas(200, length, plain)
    handle.text(0.25, 0.3, "16", 0.05, RED)
    handle.rectangle(0, 0.40, 1, 0.42, INK)
    handle.rectangle(0, 0.52, 1, 1, (30, 64, 120))
    for v, thickness in ((0.55, 0.035), (0.64, 0.012), (0.68, 0.012), (0.8, 0.05), (0.9, 0.012)):
        handle.rectangle(0, v, 1, v + thickness, ORANGE)
    for v in np.arange(0.715, 0.79, 0.02):
        for u in np.arange(0.05, 1, 0.1):
            handle.ellipse(u, v, 0.004, WHITE)
    return handle.picture()


def hammer_head(rng: np.random.Generator) -> Picture:
    """Forged steel with a stamped mark and a painted cheek; v = 0 is the claw's end."""
    steel = Canvas(256, 512, metal(rng, 256, 512, (150, 152, 160)))
    steel.rectangle(0, 0, 1, 0.24, RED)
    steel.rectangle(0, 0.28, 1, 0.31, BLACK)
    steel.text(0.5, 0.62, "IDEAL", 0.09, BLACK)
    steel.rectangle(0, 0.78, 1, 0.82, YELLOW)
    steel.rectangle(0, 0.9, 1, 1, (205, 207, 214))
    return speckled(rng, steel.picture(), 0.08)


def bowl_inside(rng: np.random.Generator) -> Picture:
    """A fish, seen from above (a flat picture)."""
    water = blend(noise(rng, 640, 640, (6, 6), 4), (196, 222, 220), (96, 170, 178))
    inside = Canvas(640, 640, water)
    inside.ellipse(0.46, 0.52, 0.17, ORANGE, 0.6)
    inside.polygon([(0.60, 0.52), (0.76, 0.38), (0.74, 0.66)], RED)
    inside.polygon([(0.42, 0.43), (0.55, 0.30), (0.55, 0.45)], YELLOW)
    inside.ellipse(0.36, 0.49, 0.03, WHITE)
    inside.ellipse(0.355, 0.49, 0.014, BLACK)
    for u in (0.45, 0.5, 0.55):
        inside.line([(u, 0.45), (u + 0.02, 0.52), (u, 0.59)], 0.008, BROWN)
    for i, angle in enumerate(np.linspace(0, 2 * np.pi, 14, endpoint=False)):
        color = (NAVY, TEAL, PURPLE, GREEN, PINK)[i % 5]
        u, v = 0.5 + 0.4 * np.cos(angle), 0.5 + 0.4 * np.sin(angle)
        inside.star(u, v, 0.03 + 0.012 * (i % 3), color, 3 + i % 4)
    return inside.picture()


def bowl_outside(rng: np.random.Generator) -> Picture:
    outside = Canvas(1024, 220, TEAL)
    u = np.linspace(0, 1, 200)
    for i, color in enumerate((WHITE, YELLOW, NAVY)):
        wave = 0.3 + 0.22 * i + 0.1 * np.sin(2 * np.pi * (3 + 2 * i) * u)
        outside.line(np.stack([u, wave], axis=1), 0.05, color)
    return speckled(rng, outside.picture(), 0.06)


def egg(rng: np.random.Generator) -> Picture:
    """A painted egg: bands, zigzags and blobs around it, no two alike."""
    painted = Canvas(1024, 512, gradient(1024, 512, PINK, (250, 226, 120)))
    blobs = noise(rng, 1024, 512, (14, 7), 3)
    painted = Canvas(1024, 512, blend((blobs > 0.62).astype(float), painted.picture(), PURPLE))
    for v, teeth, color in ((0.3, 18, BLUE), (0.52, 12, GREEN), (0.72, 22, RED)):
        zigzag = v + 0.05 * (np.arange(2 * teeth + 1) % 2)
        painted.line(np.stack([np.linspace(0, 1, 2 * teeth + 1), zigzag], axis=1), 0.035, color)
    for i in range(10):
        color = (WHITE, YELLOW, ORANGE, NAVY)[i % 4]
        painted.star((i + 0.5) / 10, 0.42 + 0.2 * (i % 2), 0.06, color, 3 + i % 5)
    return painted.picture()


def _bars(
    canvas: Canvas, rng: np.random.Generator, v0: float, v1: float, u0: float = 0.1, u1: float = 0.9
) -> None:
    """A bar code."""
    canvas.rectangle(u0, v0, u1, v1, WHITE)
    edges = np.sort(rng.uniform(u0 + 0.01, u1 - 0.01, 24))
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        canvas.rectangle(left, v0 + 0.02, right, v1 - 0.02, BLACK)


def _bee(canvas: Canvas, u: float, v: float) -> None:
    canvas.ellipse(u - 0.01, v - 0.05, 0.05, (190, 220, 240))
    canvas.ellipse(u, v, 0.06, YELLOW, 0.65)
    for shift in (-0.018, 0.002, 0.022):
        canvas.rectangle(u + shift, v - 0.035, u + shift + 0.008, v + 0.035, BLACK)


def _hexagon(canvas: Canvas, u: float, v: float, radius: float, color: Color) -> None:
    angle = np.arange(6) * np.pi / 3
    shape = canvas.size[1] / canvas.size[0]
    corners = np.stack([u + shape * radius * np.cos(angle), v + radius * np.sin(angle)], axis=1)
    canvas.polygon(corners, color)
