import io

import pytest
from rich.console import Console

from flows.progress import LINE_SECONDS, Lines, shown


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def test_elsewhere_than_on_a_terminal_a_stage_is_a_few_lines(screen: io.StringIO) -> None:
    with shown(Console(file=screen, width=80)) as progress:
        progress.start("corpus")
        for done in range(1, 1001):
            progress.update("corpus", done, 1000, "files")
        progress.finish("corpus")
    lines = screen.getvalue().splitlines()
    assert lines[0] == "corpus: started"
    assert lines[1] == "corpus: 1/1,000 files"
    assert lines[-2].startswith("corpus: 1,000/1,000 files")
    assert lines[-1].startswith("corpus: ended after ")
    assert len(lines) < 10


def test_a_line_comes_every_few_seconds_with_rate_and_remaining_time(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    lines = Lines(Console(file=screen, width=80))
    lines.start("pretrain")
    lines.update("pretrain", 100, 300, "steps", "loss 5.0")  # resumed at 100
    for _ in range(4):
        now += LINE_SECONDS / 2
        lines.update("pretrain", 100 + (now - 1000) * 2, 300, "steps", "loss 4.0")
    assert screen.getvalue().splitlines() == [
        "pretrain: started",
        "pretrain: 100/300 steps loss 5.0",
        "pretrain: 110/300 steps, 2.0 steps/s, 95 s left loss 4.0",
        "pretrain: 120/300 steps, 2.0 steps/s, 90 s left loss 4.0",
    ]


def test_on_a_terminal_each_running_stage_has_a_bar(screen: io.StringIO) -> None:
    console = Console(file=screen, width=120, force_terminal=True)
    with shown(console) as progress:
        progress.start("corpus")
        progress.update("corpus", 3, 8, "files")
        progress.start("tokenizer")
        progress.finish("corpus")
        progress.finish("tokenizer")
    assert "corpus" in screen.getvalue()
    assert "3/8 files" in screen.getvalue()
