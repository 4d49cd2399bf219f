"""What is handed to the outbox for Prefect's page; test_pretraining.py sees it arrive."""

import logging
from pathlib import Path
from typing import Any

import pytest

from cluster.logs import REMOTE
from flows.outbox import Card, Outbox
from flows.shown import Shown, key_of, lines_shown
from pipeline.core.files import write_json
from pipeline.core.progress import Quiet


class Kept(Outbox):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(None)
        self.cards: dict[str, Card] = {}
        self.said: list[tuple[int, str]] = []

    def show(self, card: Card) -> None:
        self.cards[card.key] = card

    def say(self, line: dict[str, Any]) -> None:
        self.said.append((line["level"], line["message"]))


class Terminal(logging.Handler):
    """Keeps what reaches the root; pytest's own handlers listen to loggers that do not propagate, too."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_progress_is_one_card_that_changes(kept: Kept, tmp_path: Path) -> None:
    shown = Shown(Quiet(), kept, lambda name: tmp_path)
    shown.start("examples-64")
    assert kept.cards["examples-64-progress"].data == 0
    shown.update("examples-64", 3, 8, "shards", "soon")
    card = kept.cards["examples-64-progress"]
    assert (card.data, card.description) == (37.5, "examples-64: 3 of 8 shards soon")
    assert list(kept.cards) == ["examples-64-progress"]


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://me:secret@head:5000", "[pretrain in MLflow](http://head:5000/#/experiments/7/runs/abc)"),
        ("sqlite:////s/mlflow.db", "run `abc` in `sqlite:////s/mlflow.db`; `mlflow ui --backend-store-uri sqlite:"),
    ],
)
def test_the_record_is_linked_as_soon_as_it_is_there_and_without_its_password(
    kept: Kept, tmp_path: Path, uri: str, text: str
) -> None:
    shown = Shown(Quiet(), kept, lambda name: tmp_path, experiment_id="7")
    shown.update("pretrain", 1, 2, "steps")
    assert "pretrain-record" not in kept.cards
    write_json(tmp_path / "mlflow.json", {"uri": uri, "run_id": "abc"})
    shown.update("pretrain", 2, 2, "steps")
    assert kept.cards["pretrain-record"].data.startswith(text)


def test_lines_of_the_driver_and_of_ranks_are_shown_and_the_terminal_has_the_drivers_warnings_alone(
    kept: Kept,
) -> None:
    terminal = Terminal()
    logging.getLogger().addHandler(terminal)
    log = logging.getLogger("pretrace.cluster")
    before = logging.getLogger("pretrace").level
    with lines_shown(kept):
        log.info("made 3 on h1")
        log.warning("waiting for hosts")
        REMOTE.handle(logging.LogRecord("pipeline", logging.WARNING, "", 0, "rank 1 on h2: spike", None, None))
    log.info("after")
    logging.getLogger().removeHandler(terminal)
    assert kept.said == [
        (logging.INFO, "made 3 on h1"),
        (logging.WARNING, "waiting for hosts"),
        (logging.WARNING, "rank 1 on h2: spike"),
    ]
    assert terminal.lines == ["waiting for hosts"]
    assert (logging.getLogger("pretrace").level, logging.getLogger("pretrace").propagate) == (before, True)


def test_a_stage_of_any_name_has_a_key_that_prefect_takes() -> None:
    assert key_of("finetune-My Task_2") == "finetune-my-task-2"
