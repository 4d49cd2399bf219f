import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json, write_json
from pipeline.core.store import Store
from pipeline.core.tracking import MlflowRecorder, Rows, flat, reason_of, without_passwords
from pipeline.core.tracking import recorder as recording
from tests.core.test_store import MADE, Thing, make

MISTAKES = {"line": [2, 9], "first": ["a", "b|c"], "probabilities": [[0.9, 0.1], [0.2, math.nan]]}


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> MlflowRecorder:
    folder = tmp_path_factory.mktemp("mlflow")
    return MlflowRecorder(f"sqlite:///{folder / 'mlflow.db'}", "tiny", folder / "artifacts")


def client(recorder: MlflowRecorder) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=recorder.uri)


def history(recorder: MlflowRecorder, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((point.step, point.value) for point in client(recorder).get_metric_history(run_id, name))


def test_a_stage_is_a_run_under_its_parent_with_params_inputs_and_costs(
    recorder: MlflowRecorder, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store").open()
    upstream = make(store, Thing(label="corpus"))
    parent = recorder.begin("tiny", {"prefect.flow_run_id": "abc"})
    step = Thing(seed=3, label="tokenizer")
    with store.making(step) as draft, recorder.stage(step, {"corpus": upstream}, draft / ".work") as track:
        track.metrics(1, {"loss": 2.0})
        run_id = track.where()["run_id"]
        track.made(store.commit(step, {"vocab_size": 7}, MADE | {"tracking": track.where()}))
    recorder.hit(Thing(label="corpus"), upstream)
    recorder.end("FINISHED")
    run = client(recorder).get_run(run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["pretrace.key"] == step.key
    assert run.data.tags["pretrace.input.corpus"] == f"corpus/{upstream.key}"
    assert run.data.params == {"seed": "3"}
    assert run.data.metrics["duration_s"] == 1.0
    assert run.data.metrics["vocab_size"] == 7
    assert run.info.status == "FINISHED"
    assert [(given.dataset.name, given.dataset.digest) for given in run.inputs.dataset_inputs] == [
        ("corpus", upstream.manifest["digest"][:36])
    ]
    assert [file.path for file in client(recorder).list_artifacts(run_id)] == ["manifest.json"]
    above = client(recorder).get_run(parent)
    assert above.data.tags["prefect.flow_run_id"] == "abc"
    assert (
        f"| corpus | `corpus/{upstream.key}` | cached | 1.00 s | 0.00 Wh | 0.00 g | not recorded |"
        in above.data.tags["mlflow.note.content"]
    )
    assert (
        f"[tokenizer {run_id[:8]}](#/experiments/{recorder.experiment_id}/runs/{run_id}?"
        in above.data.tags["mlflow.note.content"]
    )


def test_a_resumed_stage_goes_on_in_its_run_without_gaps_or_repeats(recorder: MlflowRecorder, tmp_path: Path) -> None:
    recorder.begin("tiny", {})
    step = Thing(seed=4, label="pretrain")
    first = _die_after_three_steps(recorder, step, tmp_path)
    with recorder.stage(step, {}, tmp_path) as track:
        for at in (2, 3, 4):  # from the checkpoint on
            track.metrics(at, {"loss": float(at)})
        assert track.where()["run_id"] == first
    assert history(recorder, first, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


def test_a_stage_killed_before_it_was_described_is_described_when_resumed(
    recorder: MlflowRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = make(Store(tmp_path / "store").open(), Thing(label="corpus"))
    recorder.begin("tiny", {})
    with monkeypatch.context() as killed:
        killed.setattr(recorder._client, "log_inputs", _killed)
        with pytest.raises(KeyboardInterrupt):
            recorder.stage(Thing(seed=7), {"corpus": upstream}, tmp_path).__enter__()
    for _ in range(2):
        with recorder.stage(Thing(seed=7), {"corpus": upstream}, tmp_path) as track:
            track.metrics(1, {"loss": 1.0})
    run = client(recorder).get_run(track.where()["run_id"])
    assert run.data.params == {"seed": "7"}
    assert run.data.tags["pretrace.input.corpus"] == f"corpus/{upstream.key}"
    assert [given.dataset.name for given in run.inputs.dataset_inputs] == ["corpus"]


def test_a_stage_waits_for_a_server_that_is_away_when_it_begins(
    recorder: MlflowRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.begin("tiny", {})
    create, calls = recorder._client.create_run, []

    def away_twice(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return create(*given, **named) if len(calls) > 2 else _away()

    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(recorder._client, "create_run", away_twice)
    with recorder.stage(Thing(seed=8), {}, tmp_path) as track:
        track.metrics(1, {"loss": 1.0})
    assert len(calls) == 3
    assert history(recorder, track.where()["run_id"], "loss") == [(1, 1.0)]


def _die_after_three_steps(recorder: MlflowRecorder, step: Thing, work: Path) -> str:
    with contextlib.suppress(RuntimeError), recorder.stage(step, {}, work) as track:
        for at in (1, 2, 3):
            track.metrics(at, {"loss": float(at)})
        first: str = track.where()["run_id"]
        raise RuntimeError("died")
    return first


def test_a_stage_whose_run_was_deleted_begins_another_one_with_all_its_figures(
    recorder: MlflowRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0)
    step = Thing(seed=9, label="pretrain")
    recorder.begin("tiny", {})
    first = _die_after_three_steps(recorder, step, tmp_path)
    client(recorder).delete_run(first)
    with recorder.stage(step, {}, tmp_path) as track:
        track.metrics(4, {"loss": 4.0})
    assert history(recorder, track.where()["run_id"], "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


@pytest.mark.parametrize(("run_id", "same"), [("", True), ("0" * 32, False)], ids=["another address", "elsewhere"])
def test_a_stage_recorded_under_another_address_goes_on_there_and_one_recorded_elsewhere_begins_again(
    recorder: MlflowRecorder, tmp_path: Path, run_id: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0)
    step = Thing(seed=10, label="pretrain")
    recorder.begin("tiny", {})
    first = _die_after_three_steps(recorder, step, tmp_path)
    write_json(tmp_path / "mlflow.json", {"uri": "http://elsewhere:5000", "run_id": run_id or first})
    with recorder.stage(step, {}, tmp_path) as track:
        track.metrics(4, {"loss": 4.0})
    assert (track.where()["run_id"] == first) is same
    assert history(recorder, track.where()["run_id"], "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


def test_a_line_cut_by_a_kill_and_figures_not_sent_are_mended(recorder: MlflowRecorder, tmp_path: Path) -> None:
    recorder.begin("tiny", {})
    with recorder.stage(Thing(seed=5), {}, tmp_path) as track:
        track.metrics(1, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as journal:
        journal.write('{"step": 2, "time_ms": 5, "values": {"loss": 2.0}}\n{"step": 3, "ti')
    with recorder.stage(Thing(seed=5), {}, tmp_path) as track:
        track.metrics(3, {"loss": 3.0})
    assert history(recorder, read_json(tmp_path / "mlflow.json")["run_id"], "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_server_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=r"run\.tracking_uri=http://127\.0\.0\.1:9: does not answer") as caught:
        MlflowRecorder("http://user:secret@127.0.0.1:9", "tiny", tmp_path)
    assert "secret" not in str(caught.value)


def test_a_reason_is_one_line_without_passwords_also_where_an_error_says_nothing() -> None:
    said = OSError("GET http://me:a@b@host:5000/api failed,\nand sqlite:////x@y/a.db is no URI with a password")
    assert reason_of(said) == "GET http://host:5000/api failed,"
    assert reason_of(OSError("sqlite:////x@y/a.db")) == "sqlite:////x@y/a.db"
    assert reason_of(TimeoutError()) == "TimeoutError"


def test_passwords_are_left_out_of_uris() -> None:
    assert without_passwords("postgresql://me:secret@host:5432/db") == "postgresql://host:5432/db"
    assert without_passwords("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_nested_settings_become_dotted_names() -> None:
    assert flat({"a": {"b": [1, {"c": None}]}}) == {"a.b.0": 1, "a.b.1.c": None}


def test_a_server_away_at_the_end_gets_everything_the_next_time(
    recorder: MlflowRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store").open()
    step = Thing(seed=6, label="tokenizer")
    recorder.begin("tiny", {})
    with monkeypatch.context() as away, store.making(step) as draft:
        with recorder.stage(step, {}, draft / ".work") as track:
            track.metrics(1, {"loss": 1.0})
            artifact = store.commit(step, {"vocab_size": 9}, MADE | {"tracking": track.where()})
            for name in ("log_batch", "log_dict", "set_terminated"):
                away.setattr(recorder._client, name, _away)
            track.made(artifact)
        assert not track.complete
    with store.making(step) as draft, recorder.stage(step, {}, draft / ".work") as track:
        track.made(artifact)
    assert track.complete
    run = client(recorder).get_run(track.where()["run_id"])
    assert (run.data.metrics["loss"], run.data.metrics["vocab_size"]) == (1.0, 9.0)
    assert run.info.status == "FINISHED"
    recorder.hit(step, artifact)
    recorder.end("FINISHED")
    parent = client(recorder).get_run(recorder.parent).data
    assert parent.metrics.get("energy_kwh", 0.0) == 0.0  # the run that made it counts it
    assert [row.how for row in recorder._rows if row.artifact == artifact] == ["cached"]


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def _away(*_: Any, **__: Any) -> None:
    raise OSError("no route to host")


def table(recorder: MlflowRecorder, run_id: str, name: str, folder: Path) -> Any:
    return json.loads(Path(client(recorder).download_artifacts(run_id, name, str(folder))).read_text())


def test_the_mistakes_of_a_model_are_a_table_of_its_run_however_often_they_are_told(
    recorder: MlflowRecorder, tmp_path: Path
) -> None:
    store, step = Store(tmp_path / "store").open(), Thing(label="finetune")
    recorder.begin("tiny", {})
    with store.making(step) as draft, recorder.stage(step, {}, draft / ".work") as track:
        pq.write_table(pa.table(MISTAKES), draft / "mistakes.parquet")
        pq.write_table(pa.table({"x": [1]}), draft / "predictions.parquet")
        (draft / "dev.png").write_bytes(b"\x89PNG")
        artifact = store.commit(step, {}, MADE)
        track.made(artifact)
        track.made(artifact)  # as the next run does where this one lost the server
        run_id = track.where()["run_id"]
    recorder.end("FINISHED")
    found = table(recorder, run_id, "mistakes.json", tmp_path)
    assert found["columns"] == list(MISTAKES)
    assert found["data"] == [[2, "a", [0.9, 0.1]], [9, "b|c", [0.2, None]]]
    run = client(recorder).get_run(run_id)
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "mistakes.json", "type": "table"}]
    names = {file.path for file in client(recorder).list_artifacts(run_id)}
    assert names == {"manifest.json", "mistakes.json", "dev.png"}


def test_a_table_of_the_parent_stands_in_its_description_too(recorder: MlflowRecorder, tmp_path: Path) -> None:
    parent = recorder.begin("tiny", {})
    recorder.table("tasks.json", "a row a task", Rows(("task", "score"), [("rte|x", "0.7")]))
    recorder.end("FINISHED")
    assert table(recorder, parent, "tasks.json", tmp_path) == {"columns": ["task", "score"], "data": [["rte|x", "0.7"]]}
    tags = client(recorder).get_run(parent).data.tags
    assert "| task | score |\n| --- | --- |\n| rte\\|x | 0.7 |" in tags["mlflow.note.content"]
    assert "[tasks.json](#/experiments/" in tags["mlflow.note.content"]
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "tasks.json", "type": "table"}]
