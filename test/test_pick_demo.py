"""The demonstration of picks, with one pick: four processes, real physics, the shipped weights."""

from pathlib import Path

from dense_desc_ros.pick_demo import run_pick_demo

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "caps.safetensors"


def test_taught_on_one_cap_picked_on_another(tmp_path: Path) -> None:
    figures = run_pick_demo(WEIGHTS, tmp_path / "picks", picks=1)
    (pick,) = figures["each"]
    assert pick["held"], pick["reason"]
    assert pick["error_mm"] < 20
    for name in ("picks.mp4", "taught.png", "pick_1.png", "results.json", "table.txt"):
        assert (tmp_path / "picks" / name).stat().st_size > 100, name
