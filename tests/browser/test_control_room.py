"""What a person does who never opens a terminal: fill in the form, see a stage fail, press Retry, look at the record.

Pages draw themselves bit by bit. So whatever is clicked is named so that nothing else can be meant at any moment, and
what a click brought about is asked of the servers.
"""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import yaml

from pipeline.core.store import Artifact, Store
from pipeline.outside import locate
from tests.conftest import BIN
from tests.e2e.conftest import NEWS, RECIPE, RUN
from tests.processes import free_port, kill_tree

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

T = TypeVar("T")

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]
ARTICLES = 150
STEPS = ("corpus", "tokenizer", "examples-64", "pretrain")
PATIENCE_SECONDS = 600.0
END_SECONDS = 120.0
GRAPH_MS = 10_000
NAME = "from the page"
FAULT = "run.fault=pretrain:20"
SEEN_BEFORE = """
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("_mlflow_model_registry_promo_modal_dismissed_v1", "true");
"""
"""What MLflow's page keeps of somebody who pressed `Model training` and closed what it advertises at the first visit."""


@dataclass(frozen=True)
class Room:
    """A control room that is open."""

    prefect: str
    mlflow: str
    store: Path

    def ask(self, path: str, **content: Any) -> Any:
        """Ask Prefect's API; it is busy now and then."""
        request = urllib.request.Request(
            f"{self.prefect}/api/{path}",
            json.dumps(content).encode() if content else None,
            {"Content-Type": "application/json"},
        )

        def answer() -> Any:
            with suppress(OSError), urllib.request.urlopen(request, timeout=60) as said:
                return json.load(said)

        return wait_for(answer)

    def ended(self, run_id: str) -> dict[str, Any]:
        """Wait until a flow run is over; its state."""

        def final() -> dict[str, Any] | None:
            state: dict[str, Any] = self.ask(f"flow_runs/{run_id}")["state"]
            return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return wait_for(final)

    def tasks(self, run_id: str, attempt: int) -> dict[str, str]:
        """Wait until the tasks of an attempt at a run are over, news of which come late; their states by name."""

        def final() -> dict[str, str] | None:
            found = self.ask("task_runs/filter", flow_runs={"id": {"any_": [run_id]}})
            states = {one["name"]: one["state"] for one in found if one["flow_run_run_count"] == attempt}
            over = all(state["type"] not in ("PENDING", "RUNNING") for state in states.values())
            return (
                {name: state["name"] for name, state in states.items()} if over and len(states) == len(STEPS) else None
            )

        return wait_for(final)

    def artifact(self, run_id: str, key: str) -> str:
        """Wait for an artifact of a run; the page of the newest one."""

        def newest() -> str | None:
            wanted = {"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}}
            found = self.ask("artifacts/filter", artifacts=wanted, sort="CREATED_DESC")
            return f"{self.prefect}/v2/artifacts/artifact/{found[0]['id']}" if found else None

        return wait_for(newest)

    def made(self, name: str) -> Artifact:
        """Give what a step made."""
        [key] = [path.name for path in (self.store / name).iterdir() if (path / "manifest.json").exists()]
        return Store(self.store).get(f"{name}/{key}")


def wait_for(ask: Callable[[], T | None]) -> T:
    """Ask until there is an answer."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.5)
    raise AssertionError("waited in vain")


@pytest.fixture(scope="module")
def room(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Open a room, if there is a browser to see it with."""
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
    port = free_port(neighbours=1)
    command = [BIN / "pretrace", "up", "--store", "store", "--port-base", str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as up:
        try:
            wait_for(lambda: (folder / "log").read_text().count(": answers") >= 3 or up.poll() is not None or None)
            assert up.poll() is None, (folder / "log").read_text()
            yield Room(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", folder / "store")
        finally:
            up.terminate()
            with suppress(subprocess.TimeoutExpired):
                up.wait(END_SECONDS)
            kill_tree(up)


@pytest.fixture
def visitor(page: "Page") -> "Page":
    """Somebody who has looked at both pages before."""
    page.context.add_init_script(SEEN_BEFORE)
    return page


def test_a_run_is_started_in_the_form_fails_is_retried_and_is_found_in_the_record(
    room: Room, visitor: "Page", outside: list[str], pictures: Path
) -> None:
    run_id = _start(room, visitor, pictures)
    state = room.ended(run_id)
    assert state["name"] == "Failed", state
    assert FAULT in state["message"]
    _retry(room, visitor, pictures, run_id)
    assert room.ended(run_id)["name"] == "Completed"
    _see_what_was_made(room, visitor, pictures, run_id)
    _see_the_record(room, visitor, pictures)
    _follow_the_model_to_its_sources(room, visitor, pictures)
    _audit(room, visitor, pictures)
    assert outside == []


def _open_form(room: Room, page: "Page", deployment: str) -> None:
    page.goto(f"{room.prefect}/v2/deployments")
    page.locator("a[href*='/deployments/deployment/']", has_text=re.compile(f"^{deployment}$")).click()
    page.wait_for_url("**/deployments/deployment/*")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.wait_for_url("**/run?*")


def _fill(page: "Page", label: str, value: str) -> None:
    from playwright.sync_api import expect

    field = page.get_by_label(re.compile(rf"^{label}( \(Optional\))?$"))
    field.fill(value)
    expect(field).to_have_value(value)


def _submit(page: "Page") -> dict[str, Any]:
    with page.expect_response(lambda answer: answer.url.endswith("create_flow_run")) as made:
        page.get_by_role("button", name="Submit").click()
    assert made.value.ok, made.value.text()
    run: dict[str, Any] = made.value.json()
    return run


def _start(room: Room, page: "Page", pictures: Path) -> str:
    """Fill in the form: a file of configs as the base, another seed, a fault; give the id of the run."""
    _open_form(room, page, "pretraining")
    _fill(page, "Seed", "7")
    _fill(page, "Fault", "pretrain:20")
    page.get_by_label("Select base", exact=True).click()
    page.get_by_role("option", name="news.yaml", exact=True).click()
    _fill(page, "Run Name", NAME)
    page.screenshot(path=pictures / "room-1-form.png", full_page=True)
    run = _submit(page)
    sent = run["parameters"]
    assert (sent["base"], sent["recipe"]["seed"], sent["run"]["fault"]) == ("news.yaml", 7, "pretrain:20")
    return str(run["id"])


def _retry(room: Room, page: "Page", pictures: Path, run_id: str) -> None:
    page.goto(f"{room.prefect}/v2/runs/flow-run/{run_id}")
    page.get_by_text("Failed", exact=True).first.wait_for()
    page.get_by_role("tab", name="Logs").click()
    page.get_by_role("combobox").filter(has_text="Oldest to newest").click()
    page.get_by_role("option", name="Newest to oldest").click()
    page.get_by_text(FAULT).first.wait_for()  # one sentence a line, which are drawn when they come into sight
    assert page.get_by_text("Traceback").count() == 0
    _draw(page)
    page.screenshot(path=pictures / "room-2-failed.png")
    page.locator("main button[aria-haspopup=menu]").click()
    page.get_by_role("menuitem", name="Retry").click()
    dialog = page.locator("[role=dialog], [role=alertdialog]")
    button = dialog.get_by_role("button", name="Retry")
    button.wait_for()
    page.screenshot(path=pictures / "room-3-retry.png")
    with page.expect_response(lambda answer: answer.url.endswith("/set_state")) as answered:
        button.click()
    assert answered.value.json()["status"] == "ACCEPT"


def _draw(page: "Page") -> None:
    """Give the graph of a run a moment: it is there to be looked at, and needs WebGL, which not every machine has."""
    from playwright.sync_api import TimeoutError as Late

    with suppress(Late):
        page.locator("main canvas").first.wait_for(timeout=GRAPH_MS)


def _see_what_was_made(room: Room, page: "Page", pictures: Path, run_id: str) -> None:
    assert room.tasks(run_id, attempt=1)["pretrain"] == "Failed"
    assert room.tasks(run_id, attempt=2) == dict.fromkeys(STEPS, "Cached") | {"pretrain": "Completed"}
    page.goto(f"{room.prefect}/v2/runs/flow-run/{run_id}")
    page.get_by_text("Completed", exact=True).first.wait_for()
    _draw(page)
    page.get_by_role("tab", name="Task Runs").click()
    page.get_by_text("Cached", exact=True).nth(len(STEPS) - 2).wait_for()
    page.screenshot(path=pictures / "room-4-completed.png", full_page=True)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("lineage", exact=True).first.wait_for()
    page.screenshot(path=pictures / "room-5-artifacts.png", full_page=True)
    page.goto(room.artifact(run_id, "lineage"))
    page.locator("main svg").get_by_text("pretrain").first.wait_for()
    page.screenshot(path=pictures / "room-6-lineage.png", full_page=True)


def _see_the_record(room: Room, page: "Page", pictures: Path) -> None:
    """Find the parent run and the stages below it, what they cost, and the page of the lineage."""
    page.goto(f"{room.mlflow}/#/experiments/1/runs?viewStateShareKey=pretrace&workflowType=machine_learning")
    page.get_by_text("energy_kwh", exact=True).first.wait_for()
    newest = page.locator("a[href*='/experiments/1/runs/']").first
    newest.wait_for()
    page.screenshot(path=pictures / "room-7-runs.png")
    newest.click()
    page.get_by_text("energy_kwh_total").first.wait_for()
    for name in STEPS:  # what it made and found made
        page.get_by_role("link", name=re.compile(f"^{name.partition('-')[0]} [0-9a-f]{{8}}$")).first.wait_for()
    page.get_by_text("Show more", exact=True).first.click()
    page.screenshot(path=pictures / "room-8-parent.png", full_page=True)
    shown = _opened_by(page, "lineage.html")
    shown.frame_locator("iframe").get_by_role("heading", name="What it was made of").wait_for()
    shown.screenshot(path=pictures / "room-9-lineage.png")
    shown.close()


def _follow_the_model_to_its_sources(room: Room, page: "Page", pictures: Path) -> None:
    """Click from the registered model to the run that made it, to those that made its data, down to the source files."""
    page.goto(f"{room.mlflow}/#/models")
    page.get_by_role("link", name="Version 1").first.click()
    page.get_by_text("Source Run").first.wait_for()
    page.screenshot(path=pictures / "room-10-model.png")
    page.get_by_role("link", name="pretrain", exact=True).click()
    page.get_by_text(room.made("examples").manifest["digest"][:36]).first.wait_for()  # among its datasets
    page.get_by_role("link", name=re.compile("^examples [0-9a-f]{8}$")).wait_for()
    page.screenshot(path=pictures / "room-11-made-by.png")
    examples = _opened_by(page, "examples")
    examples.get_by_text(room.made("corpus").manifest["digest"][:36]).first.wait_for()
    examples.screenshot(path=pictures / "room-12-examples.png")
    corpus = _opened_by(examples, "corpus")
    [file] = room.made("corpus").manifest["sources"]["sources.0"]
    source = corpus.get_by_role("row").filter(has_text=file["name"])
    source.get_by_text(file["sha256"]).wait_for()
    source.get_by_text(f"{file['bytes']:,}").wait_for()
    corpus.screenshot(path=pictures / "room-13-sources.png")


def _opened_by(page: "Page", link: str) -> "Page":
    """Click a link of a run's description; MLflow opens it in a tab of its own."""
    with page.expect_popup() as opened:
        page.get_by_role("link", name=re.compile(rf"^{re.escape(link)}( [0-9a-f]{{8}})?$")).first.click()
    return opened.value


def _audit(room: Room, page: "Page", pictures: Path) -> None:
    """Have the registered model audited from its form, and see what was found."""
    _open_form(room, page, "audit")
    _fill(page, "what", "models:/page@candidate")
    run_id = str(_submit(page)["id"])
    state = room.ended(run_id)
    assert state["name"] == "Completed", state
    page.goto(room.artifact(run_id, "audit"))
    page.get_by_role("row").filter(has_text="models:/page@candidate").get_by_text("proved", exact=True).wait_for()
    page.get_by_text(state["message"]).first.wait_for()
    page.screenshot(path=pictures / "room-14-audit.png")
    page.goto(room.artifact(run_id, "audit-files"))
    page.get_by_text("model.safetensors").first.wait_for()
    page.screenshot(path=pictures / "room-15-files.png")
