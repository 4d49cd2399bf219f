"""What a person does who never opens a terminal: fill in the form, see a stage fail, press Retry, look at the record."""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipeline.outside import locate
from tests.conftest import BIN, free_port
from tests.e2e.conftest import NEWS, RECIPE, RUN

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
ARTICLES = 150
STEPS = ("corpus", "tokenizer", "examples-64", "pretrain")
PATIENCE_SECONDS = 300.0
NAME = "from the page"


@dataclass(frozen=True)
class Room:
    """A control room that is open."""

    prefect: str
    mlflow: str
    store: Path

    def ask(self, path: str, **content: Any) -> Any:
        """Ask Prefect's API."""
        request = urllib.request.Request(
            f"{self.prefect}/api/{path}",
            json.dumps(content).encode() if content else None,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def wait_for(self, run_id: str, *names: str) -> dict[str, Any]:
        """Wait until a flow run is in one of these states."""
        patience = time.monotonic() + PATIENCE_SECONDS
        state: dict[str, Any] = {}
        while time.monotonic() < patience:
            with suppress(OSError):
                state = self.ask(f"flow_runs/{run_id}")["state"]
            if state.get("name") in names:
                return state
            time.sleep(1)
        raise AssertionError(f"{run_id}: {state}, not {names}")

    def tasks(self, run_id: str) -> dict[str, list[str]]:
        """Give the states in which the tasks of a run ended, by name, the oldest first."""
        found = self.ask(
            "task_runs/filter", flow_runs={"id": {"any_": [run_id]}}, sort="EXPECTED_START_TIME_ASC", limit=50
        )
        return {name: [one["state"]["name"] for one in found if one["name"] == name] for name in STEPS}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    news = locate(NEWS)
    if not news.is_file():
        pytest.skip("the sample files are not installed: pip install 'pretrace[sample]'")
    folder = tmp_path_factory.mktemp("room")
    articles = news.read_text(encoding="utf-8").split("\n")[:ARTICLES]
    (folder / "news.txt").write_text("\n\n".join(articles) + "\n", encoding="utf-8")
    source = {"kind": "text", "path": str(folder / "news.txt")}
    recipe = {**RECIPE, "name": "page", "finetune": [], "corpus": {"shards": 2, "sources": [source]}}
    (folder / "configs").mkdir()
    (folder / "configs" / "news.yaml").write_text(yaml.safe_dump({"recipe": recipe, "run": RUN}), encoding="utf-8")
    yield from _open(folder)


def _open(folder: Path) -> Iterator[Room]:
    port = _two_free_ports()
    command = [BIN / "pretrace", "up", "--store", "store", "--port-base", str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as up:
        try:
            patience = time.monotonic() + PATIENCE_SECONDS
            while (folder / "log").read_text().count("answers") < 3:
                assert up.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < patience, (folder / "log").read_text()
                time.sleep(0.5)
            yield Room(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", folder / "store")
        finally:
            up.terminate()
            up.wait(90)


def _two_free_ports() -> int:
    while True:
        port = free_port()
        with suppress(OSError):
            import socket

            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port + 1))
                return port


def test_a_run_is_started_in_the_form_fails_is_retried_and_is_found_in_the_record(
    room: Room, page: "Page", outside: list[str], pictures: Path
) -> None:
    run_id = _start(room, page, pictures)
    state = room.wait_for(run_id, "Failed", "Crashed", "Completed")
    assert state["name"] == "Failed", state
    assert "run.fault=pretrain:20" in state["message"]
    _retry(room, page, pictures, run_id)
    assert room.wait_for(run_id, "Completed", "Failed", "Crashed")["name"] == "Completed"
    _see_what_was_made(room, page, pictures, run_id)
    _see_the_record(room, page, pictures)
    assert outside == []


def _start(room: Room, page: "Page", pictures: Path) -> str:
    """Fill in the form: a file of configs as the base, another seed, a fault; give the id of the run."""
    page.goto(f"{room.prefect}/v2/deployments")
    page.get_by_role("link", name="pretraining", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Fault").fill("pretrain:20")
    page.get_by_label("base").click()
    page.get_by_role("option", name="news.yaml").click()
    page.get_by_label("Run Name").fill(NAME)
    page.screenshot(path=pictures / "room-1-form.png", full_page=True)
    with page.expect_response(lambda answer: answer.url.endswith("create_flow_run")) as made:
        page.get_by_role("button", name="Submit").click()
    run_id = str(made.value.json()["id"])
    page.goto(f"{room.prefect}/v2/runs/flow-run/{run_id}")
    return run_id


def _retry(room: Room, page: "Page", pictures: Path, run_id: str) -> None:
    page.goto(f"{room.prefect}/v2/runs/flow-run/{run_id}")
    page.get_by_text("Failed", exact=True).first.wait_for()
    page.get_by_text("run.fault=pretrain:20").first.wait_for()  # in its lines
    page.screenshot(path=pictures / "room-2-failed.png")
    page.locator("main button[aria-haspopup=menu]").first.click()
    page.get_by_role("menuitem", name="Retry").click()
    dialog = page.locator("[role=dialog], [role=alertdialog]")
    dialog.wait_for()
    page.screenshot(path=pictures / "room-3-retry.png")
    dialog.get_by_role("button", name="Retry").click()
    page.get_by_text(re.compile("Awaiting ?Retry|Retrying|Running|Pending|Scheduled")).first.wait_for()


def _see_what_was_made(room: Room, page: "Page", pictures: Path, run_id: str) -> None:
    tasks = room.tasks(run_id)
    for name in STEPS[:-1]:
        assert tasks[name][-1] == "Cached", tasks
    assert tasks["pretrain"][-1] == "Completed", tasks
    page.goto(f"{room.prefect}/v2/runs/flow-run/{run_id}")
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_role("tab", name="Task Runs").click()
    page.get_by_text("Cached", exact=True).nth(len(STEPS) - 2).wait_for()
    page.screenshot(path=pictures / "room-4-completed.png", full_page=True)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("lineage").first.wait_for()
    page.screenshot(path=pictures / "room-5-artifacts.png", full_page=True)


def _see_the_record(room: Room, page: "Page", pictures: Path) -> None:
    """Find the parent run and the stages below it, what they cost, and the page of the lineage."""
    page.goto(f"{room.mlflow}/#/experiments/1/runs?viewStateShareKey=pretrace&workflowType=machine_learning")
    page.get_by_text("energy_kwh").first.wait_for()
    page.locator("a[href*='/runs/']").first.wait_for()
    page.screenshot(path=pictures / "room-6-runs.png")
    page.locator("a[href*='/runs/']").first.click()  # the newest one
    page.get_by_text("energy_kwh_total").first.wait_for()
    page.locator("a[href*='/runs/']").nth(len(STEPS) - 1).wait_for()  # what it made and found made
    page.screenshot(path=pictures / "room-7-parent.png", full_page=True)
    page.get_by_role("tab", name="Artifacts").first.click()
    page.get_by_text("lineage.html").first.click()
    page.frame_locator("iframe").get_by_role("heading", name="What it was made of").wait_for()
    page.screenshot(path=pictures / "room-8-lineage.png")
