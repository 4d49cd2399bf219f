"""From a registered model, click by click, down to the bytes of the source files; and a model that answers over HTTP."""

import csv
import io
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.outcome import Outcome
from flows.recording import candidate, record, registered_name
from pipeline.core.errors import ConfigError
from pipeline.core.files import sha256_of
from pipeline.core.progress import Quiet
from pipeline.core.stage import Step, materialize
from pipeline.core.store import WORK, Artifact, Store
from pipeline.core.tracking import MlflowRecorder, registered
from pipeline.model import huggingface
from pipeline.model.fill import fill_masks
from pipeline.model.shape import SIZES, Shape
from pipeline.serving import filled_with
from tests.conftest import BIN
from tests.core.places import InTurn
from tests.flows.conftest import MADE, RECIPE, TEXTS, Shop
from tests.model.conftest import learner_of, state_of
from tests.processes import PATIENCE_SECONDS, free_port, kill_tree, wait_for_answer

NAME = "apples and pears"
TEXT = "Nobody counted the [MASK] there."
LINK = re.compile(r"\(#/experiments/(\d+)/runs/([0-9a-f]{32})\?")


@dataclass(frozen=True)
class Recorded:
    """A store in which one recorded flow run made everything, the model's weights excepted: they were drawn."""

    shop: Shop
    recorder: MlflowRecorder
    outcomes: list[Outcome]

    @property
    def store(self) -> Store:
        return self.shop.store

    @property
    def model(self) -> Artifact:
        return self.outcomes[-1].artifact

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.recorder.uri, registry_uri=self.recorder.uri)

    def again(self) -> MlflowRecorder:
        """Begin another flow run of the same recipe."""
        recorder = _recorder(self.store)
        recorder.begin(NAME, {})
        return recorder


def _recorder(store: Store) -> MlflowRecorder:
    return MlflowRecorder(f"sqlite:///{store.root / 'mlflow.db'}", NAME, store.root / "mlflow-artifacts")


def _shop(folder: Path) -> Shop:
    texts = folder / "texts"
    texts.mkdir()
    for name, part in (("a.txt", TEXTS[:20]), ("b.txt", TEXTS[20:])):
        (texts / name).write_text("\n\n".join(part))
    corpus = {**RECIPE["corpus"], "sources": [{"kind": "text", "path": str(texts)}]}  # type: ignore[dict-item]
    tree = {"recipe": {**RECIPE, "name": NAME, "corpus": corpus}, "run": {"store": str(folder / "store")}}
    (folder / "c.yaml").write_text(yaml.safe_dump(tree))
    return Shop(folder / "c.yaml", Store(folder / "store").open())


def _pretend(step: Step, store: Store, recorder: MlflowRecorder, vocab_size: int) -> Artifact:
    """Commit drawn weights as what pretraining made."""
    inputs = {role: store.get(given.key) for role, given in step.inputs.items()}
    shape = Shape(*SIZES["tiny"], vocab_size=vocab_size, max_positions=64, dropout=0.0)
    with store.making(step) as draft, recorder.stage(step, inputs, draft / WORK) as track:
        huggingface.save(draft, shape, state_of(learner_of(shape, ["mlm", "nsp"])))
        track.metrics(1, {"loss": 5.0})
        facts = {"held_out_mlm_loss": 5.0, "measured": {"tokens_per_second": 10.0}}
        artifact = store.commit(step, facts, MADE | {"energy_kwh_total": 0.002, "tracking": track.where()})
        track.made(artifact)
    store.tidy(artifact)
    return artifact


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    shop = _shop(tmp_path_factory.mktemp("recorded"))
    store, recorder, outcomes = shop.store, _recorder(shop.store), []
    recorder.begin(NAME, {})
    for name in ("corpus", "tokenizer", "examples-32"):
        step = shop.step(name)
        artifact, _ = materialize(step, store, InTurn(), recorder, Quiet(), shop.load().run)
        outcomes.append(Outcome(name, artifact, made=True))
    model = _pretend(shop.step("pretrain"), store, recorder, outcomes[1].artifact.manifest["facts"]["vocab_size"])
    outcomes.append(Outcome("pretrain", model, made=True))
    record(recorder, store, outcomes, {})
    recorder.end("FINISHED")
    return Recorded(shop, recorder, outcomes)


def test_links_lead_from_the_registered_model_to_every_source_file(recorded: Recorded) -> None:
    client, store = recorded.client, recorded.store
    version = client.get_model_version_by_alias("apples-and-pears", "candidate")
    assert version.tags["pretrace.key"] == recorded.model.key
    assert version.tags["pretrace.digest"] == recorded.model.manifest["digest"]
    assert f"pretrace audit {recorded.model.key}" in version.description
    seen, waiting = {}, [version.run_id]
    while waiting:
        run = client.get_run(waiting.pop())
        seen[run.data.tags["pretrace.key"]] = run
        note = run.data.tags["mlflow.note.content"]
        links = LINK.findall(note)
        artifact = store.get(run.data.tags["pretrace.key"])
        assert {experiment for experiment, _ in links} <= {recorded.recorder.experiment_id}
        assert len(links) == len(artifact.manifest["inputs"])
        assert {f"`{given}`" in note for given in artifact.manifest["inputs"].values()} <= {True}
        assert [(given.dataset.name, given.dataset.digest) for given in run.inputs.dataset_inputs] != []
        for given in run.inputs.dataset_inputs:
            (sha256,) = [tag.value for tag in given.tags if tag.key == "sha256"]
            assert (given.dataset.digest, len(sha256)) == (sha256[:36], 64)
        waiting += [run_id for _, run_id in links]
    assert set(seen) == {outcome.artifact.key for outcome in recorded.outcomes}
    corpus = seen[recorded.outcomes[0].artifact.key]
    files = sorted((recorded.shop.config.parent / "texts").iterdir())
    rows = list(csv.DictReader(io.StringIO(_text(client, corpus.info.run_id, "sources.csv"))))
    assert [(row["file"], int(row["bytes"]), row["sha256"]) for row in rows] == [
        (file.name, file.stat().st_size, sha256_of(file)) for file in files
    ]
    assert all(f"`{sha256_of(file)}`" in corpus.data.tags["mlflow.note.content"] for file in files)


def _text(client: Any, run_id: str, name: str) -> str:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(run_id=run_id, artifact_path=name, tracking_uri=client.tracking_uri)).read_text()


def test_the_parent_shows_the_page_of_the_lineage_what_was_reached_and_the_model(recorded: Recorded) -> None:
    parent = recorded.client.get_run(recorded.recorder.parent)
    assert "<html" in _text(recorded.client, parent.info.run_id, "lineage.html")
    assert parent.data.metrics["held_out_mlm_loss"] == 5.0
    assert parent.data.metrics["energy_kwh_total"] == 0.002
    assert parent.data.metrics["duration_s"] > MADE["duration_s"]  # type: ignore[operator]
    note = parent.data.tags["mlflow.note.content"]
    assert "(#/models/apples-and-pears/versions/1?" in note
    assert f"/runs/{parent.info.run_id}/artifacts/lineage.html?" in note
    assert len(LINK.findall(note)) == len(recorded.outcomes)


def test_the_experiment_links_to_a_view_whose_columns_are_there(recorded: Recorded) -> None:
    experiment = recorded.client.get_experiment(recorded.recorder.experiment_id)
    (key,) = re.findall(r"viewStateShareKey=(\w+)", experiment.tags["mlflow.note.content"])
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    parent = recorded.client.get_run(recorded.recorder.parent)
    metrics = [name for name in view["selectedColumns"] if name.startswith("metrics.")]
    assert {name.split("`")[1] for name in metrics} <= set(parent.data.metrics)


def test_a_model_lies_on_the_disk_once_and_holds_no_pickle(recorded: Recorded) -> None:
    found = registered(recorded.recorder.uri, "models:/apples-and-pears@candidate")
    assert found.key == recorded.model.key
    assert (found.folder / "model.safetensors").samefile(recorded.model.path / "model.safetensors")
    names = {path.name for path in found.folder.parent.rglob("*") if path.is_file()}
    assert {"MLmodel", "input_example.json", "config.json", "tokenizer.json", "pretrace.json"} <= names
    assert {Path(name).suffix for name in names} <= {"", ".json", ".yaml", ".txt", ".safetensors"}


def test_a_model_registered_again_stays_one_version_and_a_new_one_becomes_the_candidate(recorded: Recorded) -> None:
    again = recorded.again()
    record(again, recorded.store, [Outcome("pretrain", recorded.model, made=False)], {})
    other = _pretend(recorded.shop.step("pretrain", "recipe.pretrain.learning_rate=0.5"), recorded.store, again, 300)
    record(again, recorded.store, [Outcome("pretrain", other, made=True)], {})
    again.end("FINISHED")
    found = recorded.client.search_model_versions("name = 'apples-and-pears'")
    assert {str(version.version): version.tags["pretrace.key"] for version in found} == {
        "1": recorded.model.key,
        "2": other.key,
    }
    name = "models:/apples-and-pears"
    assert registered(recorded.recorder.uri, f"{name}@candidate").key == other.key
    assert registered(recorded.recorder.uri, f"{name}/1").key == recorded.model.key
    record(again, recorded.store, recorded.outcomes, {})
    assert registered(recorded.recorder.uri, f"{name}@candidate").key == recorded.model.key


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("models:/nobody@candidate", r"models:/nobody@candidate at sqlite:.* cannot be fetched \(.*nobody"),
        ("models:/apples-and-pears/99", "cannot be fetched"),
        ("models:/apples-and-pears", "names no registered model; write models:/NAME@candidate or models:/NAME/3"),
        ("apples@candidate", "names no registered model"),
    ],
)
def test_a_model_that_is_not_registered_is_one_sentence(recorded: Recorded, reference: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        registered(recorded.recorder.uri, reference)


def test_nothing_fails_where_the_record_is_away(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = recorded.again()
    for name in ("log_text", "log_metric", "search_model_versions"):
        monkeypatch.setattr(again._client, name, _away)
    record(again, recorded.store, recorded.outcomes, {})
    assert caplog.text.count("not recorded, the next run does it: no route to http://head:5000") == 3
    again.end("FAILED")


def _away(*_: Any, **__: Any) -> None:
    raise OSError("no route to http://me:secret@head:5000")


def test_no_password_reaches_the_record(recorded: Recorded) -> None:
    model = candidate(recorded.store, recorded.model, NAME, "postgresql://me:secret@head/mlflow")
    assert "postgresql://head/mlflow" in model.description
    assert "secret" not in repr(model)


def test_names_of_recipes_become_names_that_mlflow_takes() -> None:
    assert registered_name("wiki/en: 2026") == "wiki-en-2026"
    assert registered_name("://") == "model"


def test_pieces_that_continue_a_word_are_joined_to_it() -> None:
    assert filled_with(["wal", "##nuts"], "the [MASK] [MASK].") == "the walnuts."


@pytest.fixture(scope="module")
def served(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `mlflow models serve` of the candidate."""
    log, port = tmp_path_factory.mktemp("served") / "log", free_port()
    command = [BIN / "mlflow", "models", "serve", "-m", "models:/apples-and-pears@candidate", "-p", str(port)]
    command += ["-h", "127.0.0.1", "--env-manager", "local"]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "MLFLOW_TRACKING_URI": recorded.recorder.uri, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as server:
        try:
            wait_for_answer(server, f"http://127.0.0.1:{port}/ping", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            kill_tree(server)


def _ask(url: str, question: dict[str, Any]) -> Any:
    body = json.dumps(question).encode()
    asked = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_served_model_fills_a_mask_over_http(recorded: Recorded, served: str) -> None:
    tokenizer = recorded.store.get(recorded.model.manifest["inputs"]["tokenizer"])
    expected = fill_masks(recorded.model.path, tokenizer.path, TEXT, top=3)
    (answer,) = _ask(served, {"dataframe_records": [{"text": TEXT}], "params": {"top": 3}})["predictions"]
    assert [[one["piece"] for one in gap] for gap in answer["masks"]] == [
        [one.piece for one in gap] for gap in expected
    ]
    assert answer["masks"][0][0]["probability"] == pytest.approx(expected[0][0].probability)
    assert answer["filled"] == filled_with([expected[0][0].piece], TEXT)


@pytest.mark.slow
def test_the_example_of_a_registered_model_is_answered(recorded: Recorded, served: str) -> None:
    folder = registered(recorded.recorder.uri, "models:/apples-and-pears@candidate").folder.parent
    (answer,) = _ask(served, json.loads((folder / "serving_input_example.json").read_text()))["predictions"]
    assert len(answer["masks"][0]) == 5


@pytest.mark.slow
def test_a_text_that_cannot_be_filled_is_refused_by_the_served_model(served: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _ask(served, {"dataframe_records": [{"text": "no gap here"}]})
    assert caught.value.code == 400
    assert r"has no [MASK]" in caught.value.read().decode()
