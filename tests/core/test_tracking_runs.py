"""Runs as the page lists them: how they ended, who ran them, and how few columns they need."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import DataError, Interrupted
from pipeline.core.fingerprint import key_of
from pipeline.core.store import Artifact, Store
from pipeline.core.tracking import MlflowRecorder, Trial
from pipeline.core.tracking.figures import metrics_of, params_of
from tests.core.test_store import MADE, Thing, make

FILE = {"name": "enwiki|1.bz2", "bytes": 12345, "sha256": "ab" * 32}


@dataclass(frozen=True)
class Made:
    """A stage with settings, inputs and source files of its own."""

    label: str
    config: Mapping[str, Any]
    files: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return self.label

    @property
    def recipe(self) -> dict[str, Any]:
        sources = {"sources.0": list(self.files)} if self.files else {}
        return {"stage": self.label, "version": 1, "config": dict(self.config), "inputs": {}, "sources": sources}

    @property
    def key(self) -> str:
        return key_of(self.recipe)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that all tests share."""
    folder = tmp_path_factory.mktemp("mlflow")
    _recorder(folder)
    return folder


def _recorder(folder: Path, operator: str | None = None) -> MlflowRecorder:
    return MlflowRecorder(f"sqlite:///{folder / 'mlflow.db'}", "tiny", folder / "artifacts", operator)


def _run(recorder: MlflowRecorder, run_id: str) -> Any:
    return recorder._client.get_run(run_id)


def _stage(
    recorder: MlflowRecorder, store: Store, step: Any, inputs: Mapping[str, Artifact], facts: dict[str, Any]
) -> Artifact:
    with store.making(step) as draft, recorder.stage(step, inputs, draft / ".work") as track:
        artifact = store.commit(step, facts, MADE | {"tracking": track.where()})
        track.made(artifact)
    store.tidy(artifact)
    return artifact


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Interrupted("asked for"), "KILLED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (DataError("bad"), "FAILED"),
        (RuntimeError("worse"), "FAILED"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_a_stage_asked_to_stop_is_killed_and_one_that_broke_has_failed(
    record: Path, tmp_path: Path, error: BaseException, status: str
) -> None:
    recorder = _recorder(record)
    recorder.begin("tiny", {})
    with contextlib.suppress(type(error)), recorder.stage(Thing(), {}, tmp_path) as track:
        raise error
    assert _run(recorder, track.where()["run_id"]).info.status == status
    recorder.end(status)


def test_a_parent_whose_process_was_killed_is_ended_by_the_next_run_and_one_that_lives_is_not(record: Path) -> None:
    code = (
        "import sys; from tests.core.test_tracking_runs import *; from tests.core.test_tracking_runs import _recorder\n"
        f"recorder = _recorder(Path({str(record)!r})); recorder.begin('dies', {{}})\n"
        "recorder._start(Thing(seed=5), Path(sys.argv[1])); print(recorder.parent, flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(record)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as other:
        assert other.stdout
        parent = other.stdout.readline().strip()
        alive = _recorder(record)
        alive.begin("lives", {})
        assert _run(alive, parent).info.status == "RUNNING"
        other.kill()
        other.wait()
    later = _recorder(record)
    later.begin("later", {})
    assert _run(later, parent).info.status == "FAILED"
    assert "ended without a word" in _run(later, parent).data.tags["mlflow.note.content"]
    below = later._client.search_runs([later.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert [run.info.status for run in below] == ["FAILED"]
    assert _run(later, alive.parent).info.status == "RUNNING"
    for recorder in (alive, later):
        recorder.end("FINISHED")
    assert list((record / "mlflow-unfinished").iterdir()) == []


def test_the_end_of_a_parent_that_could_not_be_told_is_told_by_the_next_run(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = _recorder(record)
    recorder.begin("tiny", {})
    recorder.hit(Thing(), make(Store(tmp_path / "store").open(), Thing()))
    with monkeypatch.context() as away:
        away.setattr(recorder._client, "set_tag", _away)
        recorder.end("KILLED")
    assert _run(recorder, recorder.parent).info.status == "RUNNING"
    later = _recorder(record)
    later.begin("later", {})
    later.end("FINISHED")
    ended = _run(later, recorder.parent)
    assert ended.info.status == "KILLED"
    assert f"| corpus | `corpus/{Thing().key}` | cached |" in ended.data.tags["mlflow.note.content"]


def _away(*_: Any, **__: Any) -> None:
    raise OSError("no route to host")


def test_nobody_is_named_unless_asked_for(record: Path, tmp_path: Path) -> None:
    quiet, named = _recorder(record), _recorder(record, operator="A. Reader")
    for recorder in (quiet, named):
        recorder.begin("tiny", {})
        recorder.end("FINISHED")
    found = _run(quiet, quiet.parent)
    assert "mlflow.user" not in found.data.tags
    assert found.info.user_id in ("", "unknown")
    assert found.data.tags["mlflow.source.name"] == "pretrace"
    assert _run(named, named.parent).data.tags["mlflow.user"] == "A. Reader"


def test_no_password_comes_into_the_record(record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = _recorder(record)
    recorder.begin("tiny", {})
    monkeypatch.setattr(recorder, "uri", "postgresql://me:hunter2@head/mlflow")
    step = Made("corpus", {"mirror": "https://me:hunter2@mirror/wiki"}, ({**FILE, "name": "ftp://me:hunter2@a/b"},))
    upstream = make(Store(tmp_path / "store").open(), Thing())
    with recorder.stage(step, {"corpus": upstream}, tmp_path) as track:
        track.metrics(1, {"loss": 1.0})
    recorder.end("FINISHED")
    run = _run(recorder, track.where()["run_id"])
    assert run.data.params["mirror"] == "https://mirror/wiki"
    assert track.where()["uri"] == "postgresql://head/mlflow"
    assert b"hunter2" not in (record / "mlflow.db").read_bytes()
    assert not [path for path in record.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_an_input_made_under_another_recipe_or_in_another_record_is_linked_where_it_is(
    record: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store").open()
    theirs = MlflowRecorder(f"sqlite:///{record / 'mlflow.db'}", "other recipe", record / "artifacts")
    theirs.begin("other", {})
    corpus = _stage(theirs, store, Made("corpus", {}, (FILE,)), {}, {"documents": 3})
    theirs.end("FINISHED")
    lost = make(store, Thing(seed=2, label="tokenizer"))
    lost.manifest["made"]["tracking"] = {"uri": "http://gone:5000", "run_id": "f" * 32}
    ours = _recorder(record)
    ours.begin("tiny", {})
    model = _stage(ours, store, Made("pretrain", {}), {"corpus": corpus, "tokenizer": lost}, {})
    ours.end("FINISHED")
    note = _run(ours, model.manifest["made"]["tracking"]["run_id"]).data.tags["mlflow.note.content"]
    run_id = corpus.manifest["made"]["tracking"]["run_id"]
    assert f"(#/experiments/{theirs.experiment_id}/runs/{run_id}?" in note
    assert "| tokenizer | `tokenizer/" in note
    assert "| run ffffffff, recorded elsewhere |" in note
    about = _run(ours, run_id).data.tags["mlflow.note.content"]
    assert f"| sources.0 | enwiki\\|1.bz2 | 12,345 | `{FILE['sha256']}` |" in about


def test_what_was_expected_stands_beside_what_came(record: Path, tmp_path: Path) -> None:
    recorder = _recorder(record)
    recorder.begin("tiny", {})
    recorder.expect("corpus", {"duration_s": 2.0, "energy_kwh": 0.001, "emissions_kg": 0.0})
    _stage(recorder, Store(tmp_path / "store").open(), Made("corpus", {}), {}, {})
    recorder.end("FINISHED")
    parent = _run(recorder, recorder.parent)
    assert "1.00 s (2.00 expected) | 0.00 Wh (1.00 expected)" in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics["duration_s"] == 1.0


def test_columns_do_not_grow_with_the_number_of_runs(record: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store").open()
    recorder = MlflowRecorder(f"sqlite:///{record / 'mlflow.db'}", "many", record / "artifacts")
    seen = [_columns_after(recorder, store, number) for number in range(4)]
    assert seen[0] == seen[3]
    assert len(seen[3]) < 40
    experiment = recorder._client.get_experiment(recorder.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "`energy_kwh`" in experiment.tags["mlflow.note.content"]


def _columns_after(recorder: MlflowRecorder, store: Store, number: int) -> set[tuple[str, str]]:
    """Record a run whose data are called differently each time; give all columns that the experiment has now."""
    recorder.begin("many", {"prefect.flow_run_id": str(number)})
    config = {"seed": number, "steps": [f"step {at}" for at in range(number)], "near": {"mode": "keep"}}
    facts = {"documents": number, "read_by_source": {f"dump-{number}": 5}, "dropped": {f"length: of {number}": 1}}
    corpus = _stage(recorder, store, Made("corpus", config, (FILE,)), {}, {**facts, "clusters": [{"kept": number}]})
    _stage(recorder, store, Made("pretrain", {"seed": number}), {"corpus": corpus}, {"loss": 1.0})
    recorder.hit(Thing(label="corpus"), corpus)
    recorder.end("FINISHED")
    runs = recorder._client.search_runs([recorder.experiment_id])
    kinds = {"metric": "metrics", "param": "params", "tag": "tags"}
    return {(kind, name) for run in runs for kind, part in kinds.items() for name in getattr(run.data, part)}


def test_params_are_one_a_setting_and_short_lists_are_one_param() -> None:
    config = {"steps": ["a", "b"], "phases": [{"steps": 3}], "path": "x" * 7000, "empty": []}
    assert params_of(config) == {"steps": '["a", "b"]', "phases.0.steps": "3", "path": "x" * 6000, "empty": "[]"}


def test_metrics_are_the_figures_whose_names_are_ours() -> None:
    facts = {"dev": {"accuracy": 0.5}, "dropped": {"length: < 3 words (all)": 4}, "ok": True, "list": [1], "text": "a"}
    assert metrics_of({"facts": facts, "made": {"duration_s": 1, "host": "a"}}) == {
        "dev.accuracy": 0.5,
        "duration_s": 1.0,
    }


def test_trials_are_runs_below_their_stage_once_each_however_often_they_are_told(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = _recorder(record, operator="Ada")
    recorder.begin("sweep", {})
    trials = [
        Trial(
            f"{seed:012}", f"seed={seed}", {"seed": str(seed)}, {"dev.f1": 0.5 + seed}, 10.0, 12.5, [(1, 0.7), (2, 0.6)]
        )
        for seed in range(3)
    ]
    with recorder.stage(Thing(), {}, tmp_path) as track:
        for seed, name in enumerate(("create_run", "log_batch")):  # nothing is sent; a run is begun and not filled
            with monkeypatch.context() as away:
                away.setattr(recorder._client, name, _away)
                track.trial(trials[seed])
    with recorder.stage(Thing(), {}, tmp_path) as again:
        for trial in (*trials, trials[0]):
            again.trial(trial)
    assert again.complete
    above = again.where()["run_id"]
    below = recorder._client.search_runs([recorder.experiment_id], f"tags.`mlflow.parentRunId` = '{above}'")
    told = [(run.info.run_name, run.info.status, run.data.params, run.data.metrics["dev.f1"]) for run in below]
    assert sorted(told) == [(f"seed={seed}", "FINISHED", {"seed": str(seed)}, 0.5 + seed) for seed in range(3)]
    for run in below:
        assert (run.info.start_time, run.info.end_time) == (10_000, 12_500)
        assert run.data.tags["mlflow.user"] == "Ada"
        curve = recorder._client.get_metric_history(run.info.run_id, "loss")
        assert sorted((point.step, point.value) for point in curve) == [(1, 0.7), (2, 0.6)]
    recorder.end("FINISHED")
