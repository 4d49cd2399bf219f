"""What a user has after one run of the real command: models that others load, a record, and nothing left to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from pipeline.core.store import Artifact, Store
from tests.e2e.conftest import Pretrace, Project

SENTENCES = [
    "The cabinet met on Sunday to discuss the crisis in the east of the country.",
    "A fire near Sydney burned 20 homes, and firefighters expect no rain before Christmas.",
]


@pytest.fixture(scope="module")
def model(undisturbed: Path) -> Artifact:
    (found,) = Store(undisturbed).all("pretrain")
    return found


@pytest.fixture(scope="module")
def exported(pretrace: Pretrace, undisturbed: Path, model: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "bert"
    done = pretrace("export", model.key, folder, "--store", undisturbed)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_same_command_again_finds_everything_and_starts_nothing(
    pretrace: Pretrace, project: Project, undisturbed: Path
) -> None:
    before = project.files(undisturbed)
    nowhere = Pretrace({**pretrace.env, "PREFECT_API_URL": "http://127.0.0.1:9/api"}, "http://127.0.0.1:9")
    done = nowhere("run", project.config, f"run.store={undisturbed}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" cached ") == len(before)
    assert "started" not in done.stdout
    assert project.files(undisturbed) == before


def test_the_table_tells_cost_scores_and_what_to_try_next(
    project: Project, undisturbed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    main(["run", str(project.config), f"run.store={undisturbed}"])
    told = capsys.readouterr().out
    for expected in (
        "CO2 (USA)",
        "Wh",
        "held-out MLM loss",
        "unigram entropy",
        "accuracy",
        "pretrace fill",
        "pretrace export",
    ):
        assert expected in told


def test_the_exported_folder_gives_our_ids_in_auto_tokenizer(
    exported: Path, model: Artifact, undisturbed: Path
) -> None:
    from transformers import AutoTokenizer

    from pipeline.text.encode import load

    ours = load(Store(undisturbed).get(model.manifest["inputs"]["tokenizer"]).path)
    theirs = AutoTokenizer.from_pretrained(exported)
    for text in SENTENCES:
        assert theirs(text)["input_ids"] == ours.encode(text).ids
    pair = theirs(*SENTENCES)
    assert pair["input_ids"] == ours.encode(*SENTENCES).ids
    assert pair["token_type_ids"] == ours.encode(*SENTENCES).type_ids


def test_the_exported_folder_gives_our_logits_in_transformers(exported: Path, model: Artifact) -> None:
    import torch
    from transformers import AutoTokenizer, BertForPreTraining

    from pipeline.model import huggingface
    from pipeline.model.heads import Learner
    from pipeline.objectives import OBJECTIVES

    theirs = BertForPreTraining.from_pretrained(exported).eval()
    shape, state = huggingface.load(model.path)
    ours = Learner(shape, {name: OBJECTIVES[name] for name in ("mlm", "nsp")})
    ours.load_state_dict(state)
    ours.eval()
    batch = AutoTokenizer.from_pretrained(exported)(SENTENCES, SENTENCES[::-1], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**batch)
        attended_BT = batch["attention_mask"].bool()
        hidden_BTD = ours.encoder(batch["input_ids"], batch["token_type_ids"], attended_BT)
        words_VD = ours.encoder.embeddings.word.weight
        tokens_MV = ours.heads["mlm"](hidden_BTD[attended_BT], words_VD)
        next_B2 = ours.heads["nsp"](hidden_BTD)
    torch.testing.assert_close(tokens_MV, expected.prediction_logits[attended_BT], atol=1e-4, rtol=0)
    torch.testing.assert_close(next_B2, expected.seq_relationship_logits, atol=1e-4, rtol=0)


def test_the_pretrained_model_fills_a_mask(pretrace: Pretrace, undisturbed: Path, model: Artifact) -> None:
    done = pretrace("fill", model.key, "The cabinet met on [MASK] and [MASK] .", "--store", undisturbed, "--top", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.count("%") == 3 for line in lines)


@pytest.mark.parametrize(
    ("text", "complaint"), [("no gap here", r"has no \[MASK\]"), ("[MASK]" + " word" * 90, "the text has .* tokens")]
)
def test_a_text_that_cannot_be_filled_is_one_sentence(
    model: Artifact, undisturbed: Path, text: str, complaint: str
) -> None:
    from pipeline.core.errors import ConfigError
    from pipeline.model.fill import fill_masks

    vocabulary = Store(undisturbed).get(model.manifest["inputs"]["tokenizer"]).path
    with pytest.raises(ConfigError, match=complaint):
        fill_masks(model.path, vocabulary, text, 3)


def test_a_classifier_cannot_fill(undisturbed: Path, model: Artifact) -> None:
    from pipeline.core.errors import ConfigError
    from pipeline.model.fill import fill_masks

    (tuned,) = Store(undisturbed).all("finetune")
    vocabulary = Store(undisturbed).get(model.manifest["inputs"]["tokenizer"]).path
    with pytest.raises(ConfigError, match="has no masked language head"):
        fill_masks(tuned.path, vocabulary, "a [MASK] film", 3)


def test_what_is_no_model_or_has_no_room_is_not_exported(
    undisturbed: Path, model: Artifact, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["export", *map(str, arguments), "--store", str(undisturbed)])
        assert ended.value.code == 2
        return capsys.readouterr().err

    (documents,) = Store(undisturbed).all("corpus")
    assert "names no artifact" in refused("corpus", exported)
    assert "is not a model; models are pretrain/" in refused(documents.key, exported / "new")
    assert "is not empty; name a new folder" in refused(model.key, exported)


def test_predictions_stand_beside_their_texts_and_scores_follow_from_them(undisturbed: Path) -> None:
    import pyarrow.parquet as pq

    (tuned,) = Store(undisturbed).all("finetune")
    rows = pq.read_table(tuned.file("predictions.parquet")).to_pylist()
    scores = json.loads(tuned.file("scores.json").read_text())
    assert len(rows) == scores["rows"]["dev"]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert scores["dev"]["accuracy"] == right / len(rows)
    assert all(row["first"] for row in rows)


def test_the_curve_has_one_row_a_step_and_the_loss_falls(model: Artifact) -> None:
    import pyarrow.parquet as pq

    curve: list[dict[str, Any]] = pq.read_table(model.file("curve.parquet")).to_pylist()
    assert [row["step"] for row in curve] == list(range(1, 121))
    assert sum(row["mlm_loss"] for row in curve[-10:]) < sum(row["mlm_loss"] for row in curve[:10])
    assert curve[-1]["held_out_mlm_loss"] == model.manifest["facts"]["held_out_mlm_loss"]


def test_each_stage_is_a_run_below_the_flow_with_costs_inputs_and_curve(
    pretrace: Pretrace, undisturbed: Path, model: Artifact
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=pretrace.tracking_uri)
    run = client.get_run(model.manifest["made"]["tracking"]["run_id"])
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert "prefect.flow_run_id" in parent.data.tags
    assert run.info.status == parent.info.status == "FINISHED"
    assert run.data.tags["pretrace.key"] == model.key
    assert run.data.params["phases.0.steps"] == "120"
    made = model.manifest["made"]
    for name in ("energy_kwh", "emissions_kg", "duration_s", "energy_kwh_total"):
        assert run.data.metrics[name] == pytest.approx(made[name])
    assert made["energy_kwh_total"] > made["energy_kwh"] > 0
    assert {given.dataset.name for given in run.inputs.dataset_inputs} == set(model.manifest["inputs"])
    assert len(client.get_metric_history(run.info.run_id, "mlm_loss")) == 120
    assert "| corpus |" in parent.data.tags["mlflow.note.content"]


def test_the_flow_has_a_table_of_what_its_tasks_reached_and_so_has_the_page_of_its_lineage(
    pretrace: Pretrace, undisturbed: Path
) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    (tuned,) = Store(undisturbed).all("finetune")
    client = MlflowClient(tracking_uri=pretrace.tracking_uri)
    run = client.get_run(tuned.manifest["made"]["tracking"]["run_id"])
    files = {
        name: download_artifacts(
            run_id=run.data.tags["mlflow.parentRunId"], artifact_path=name, tracking_uri=pretrace.tracking_uri
        )
        for name in ("tasks.json", "lineage.html")
    }
    table = json.loads(Path(files["tasks.json"]).read_text())
    reached = f"{tuned.manifest['facts']['dev']['accuracy']:.3f}"
    assert table["columns"][:4] == ["task", "score", "begun from", "pretrained"]
    assert [row[:4] for row in table["data"]] == [["polarity", "accuracy", "pretrain", reached]]
    assert f">{reached}</td>" in Path(files["lineage.html"]).read_text()
