"""Orders as JSON: the same back, and nothing unknown."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.training.order import Asked, Order, Tuning, order_of


def test_an_order_comes_back_from_its_file(order: Order, tmp_path: Path) -> None:
    order.write(tmp_path / "order.json")
    assert Order.read(tmp_path / "order.json") == order


def test_a_finetune_order_comes_back(order: Order) -> None:
    tuning = Tuning("classify", "a", "b", epochs=3, batch=8, labels=("no", "yes"), predicted=(Asked("dev", "b"),))
    tuned = replace(order, job="finetune", tuning=tuning, objectives=(), phases=(), masking=None, init="c")
    assert order_of(json.loads(json.dumps(tuned.as_dict()))) == tuned


def test_whole_numbers_will_do_for_real_ones(order: Order) -> None:
    plain = order.as_dict()
    plain["optimizer"]["clip"] = 1
    assert order_of(plain).optimizer.clip == 1.0


def _set(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(plain: dict[str, Any]) -> None:
        for name in path[:-1]:
            plain = plain[int(name)] if isinstance(plain, list) else plain[name]
        plain[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("run", "microbatch", value=3), r"order\.run\.microbatch: unknown key; known are micro_batch"),
        (_set("phases", "1", "steps", value="9"), r"order\.phases\.1\.steps='9': expected int"),
        (_set("phases", "1", "steps", value=True), r"order\.phases\.1\.steps=True: expected int"),
        (_set("phases", value={}), r"order\.phases=\{\}: expected a list"),
        (_set("shape", value=[]), r"order\.shape=\[\]: expected a table of Shape"),
        (_set("run", "zero_stage", value=4), r"order\.run\.zero_stage=4: expected one of 0, 1, 2, 3"),
        (lambda plain: plain["shape"].pop("width"), r"order\.shape\.width: missing"),
        (_set("phases", value=[]), r"order\.phases, order\.objectives: a pretrain order needs"),
        (_set("job", value="finetune"), r"order\.tuning: a finetune order needs it"),
        (_set("masking", value=None), r"order\.masking: the objective mlm needs it"),
        (_set("masking", "unit", value="word"), r"order\.masking\.tokenizer: unit word needs"),
        (_set("masking", "unit", value="span"), r"order\.masking\.tokenizer: unit span needs"),
        (
            _set("phases", "1", "sequence_length", value=25),
            r"order\.phases\.1\.sequence_length=25 exceeds order\.shape\.max_positions=24",
        ),
    ],
)
def test_a_wrong_order_is_refused_with_its_path(
    change: Callable[[dict[str, Any]], None], message: str, order: Order
) -> None:
    plain = order.as_dict()
    change(plain)
    with pytest.raises(ConfigError, match=message):
        order_of(plain)
