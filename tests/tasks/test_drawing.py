from pathlib import Path

import pytest

from pipeline.tasks.drawing import draw
from pipeline.tasks.task import Picture

NAMES = tuple(f"tag {at}" for at in range(21))
PICTURES = {
    "grid": Picture("grid", "rows", "label", ("yes", "no"), ("yes", "no"), ((5.0, 1.0), (0.0, 7.0))),
    "many": Picture("grid", "rows", "label", NAMES, NAMES, ((1.0,) * 21,) * 21),
    "nothing": Picture("grid", "rows", "label", ("yes",), ("yes",), ((0.0,),)),
    "bars": Picture("bars", "questions", "answer", ("",), ("too long", "elsewhere"), ((3.0, 0.0),)),
    "points": Picture("points", "rows", "label", (), (), ((0.0, 0.5), (5.0, 4.5))),
}


@pytest.mark.parametrize("name", PICTURES)
def test_equal_numbers_give_equal_bytes(name: str, tmp_path: Path) -> None:
    draw(PICTURES[name], tmp_path / "a.png", "rte")
    draw(PICTURES[name], tmp_path / "b.png", "rte")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_other_numbers_give_another_picture(tmp_path: Path) -> None:
    draw(PICTURES["grid"], tmp_path / "a.png", "rte")
    draw(
        Picture("grid", "rows", "label", ("yes", "no"), ("yes", "no"), ((5.0, 2.0), (0.0, 7.0))),
        tmp_path / "b.png",
        "rte",
    )
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
