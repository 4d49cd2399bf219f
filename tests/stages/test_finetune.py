"""Tasks as the stage encodes and judges them; ranks are tested in tests/training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.config import FinetuneSlice, Recipe
from pipeline.core.arrow import read_rows, read_table, write_table
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.files import Digests, sha256_of, write_json
from pipeline.core.progress import Quiet
from pipeline.core.stage import materialize
from pipeline.core.store import Artifact
from pipeline.model import huggingface
from pipeline.plan import plan
from pipeline.running import Run
from pipeline.tables import predicted_schema
from pipeline.text.encode import load
from pipeline.training.order import Asked, Order
from pipeline.training.predictions import predictions_path
from pipeline.tuning import EncodeRows, encode_rows
from tests.core.places import InTurn, Unrecorded
from tests.stages.conftest import PIECES, Workshop

HEADER = "index\tsentence1\tsentence2\tlabel"
PAIRS = [f"{n}\tThe minister met number {n} on Monday.\tHe met a number.\tentailment" for n in range(40)]


@pytest.fixture
def tokenizer(workshop: Workshop, news: list[str]) -> Artifact:
    return workshop.make(workshop.plan(workshop.write({"a.txt": news[:30]}))["tokenizer"])


def job(tokenizer: Artifact, folder: Path, sequence_length: int = 32, **splits: list[str]) -> EncodeRows:
    files = []
    for split, lines in splits.items():
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
        files.append((split, folder / f"{split}.tsv", sha256_of(folder / f"{split}.tsv")))
    config = FinetuneSlice(task="rte", seed=0, sequence_length=sequence_length, dev_fraction=0.25)
    return EncodeRows(tuple(files), tokenizer.path, tokenizer.sha256("tokenizer.json"), config)


def encoded(work: EncodeRows, out: Path) -> dict[str, list[dict[str, object]]]:
    out.mkdir()
    counts = encode_rows(work, out)["rows"]
    rows = {split: list(read_rows(out / f"{split}.arrow")) for split in counts}
    assert {split: len(found) for split, found in rows.items()} == counts
    return rows


def test_rows_are_encoded_as_the_tokenizer_encodes_a_pair(tokenizer: Artifact, tmp_path: Path) -> None:
    rows = encoded(job(tokenizer, tmp_path, train=[HEADER, *PAIRS], dev=[HEADER, PAIRS[0]]), tmp_path / "out")
    (row,) = rows["dev"]
    expected = load(tokenizer.path).encode(*PAIRS[0].split("\t")[1:3])
    assert row["ids"] == expected.ids
    assert row["second_at"] == expected.type_ids.index(1)
    assert row["label"] == 0
    assert len(rows["train"]) == 40


def test_a_long_row_is_cut_to_the_length(tokenizer: Artifact, tmp_path: Path) -> None:
    work = job(tokenizer, tmp_path, sequence_length=8, train=[HEADER, *PAIRS], dev=[HEADER, *PAIRS])
    for row in encoded(work, tmp_path / "out")["train"]:
        assert isinstance(row["ids"], list)
        assert len(row["ids"]) == 8


def test_without_a_development_set_some_training_rows_are_held_back(tokenizer: Artifact, tmp_path: Path) -> None:
    rows = encoded(job(tokenizer, tmp_path, train=[HEADER, *PAIRS]), tmp_path / "out")
    texts = {split: {str(row["ids"]) for row in found} for split, found in rows.items()}
    assert texts.keys() == {"train", "dev"}
    assert not texts["train"] & texts["dev"]
    assert len(texts["train"] | texts["dev"]) == 40
    assert 3 <= len(texts["dev"]) <= 20
    (tmp_path / "again").mkdir()
    again = encoded(job(tokenizer, tmp_path, train=[HEADER, *PAIRS]), tmp_path / "again" / "out")
    assert again == rows


def test_a_test_set_may_be_unlabelled_and_the_others_may_not(tokenizer: Artifact, tmp_path: Path) -> None:
    unlabelled = ["index\tsentence1\tsentence2", "0\tA text.\tAnother."]
    labelled = [HEADER, *PAIRS]
    rows = encoded(job(tokenizer, tmp_path, train=labelled, dev=labelled, test=unlabelled), tmp_path / "out")
    assert [row["label"] for row in rows["test"]] == [-1]
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        work = job(tokenizer, tmp_path, **{"train": labelled, "dev": labelled, split: unlabelled})
        with pytest.raises(DataError, match=rf"{split}\.tsv: line 2 has no answer; .* of the {split} split; give"):
            encode_rows(work, tmp_path / split)


def test_too_few_rows_to_hold_any_back_are_refused(tokenizer: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.tsv: has too few rows to hold some back for the dev split"):
        encode_rows(job(tokenizer, tmp_path, train=[HEADER, PAIRS[0]]), tmp_path)


class Oracle(InTurn):
    """Ranks that predict what is right."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        asked = Order.read(order)
        self.orders.append(asked)
        assert asked.tuning is not None
        for one in asked.tuning.predicted:
            _answer(asked, one)
        (Path(asked.out) / "model.safetensors").write_bytes(b"")
        write_json(Path(asked.out) / "result.json", {"steps": 1})
        write_json(Path(asked.work) / "measured.json", {"seconds": 1.0})


def _answer(order: Order, asked: Asked) -> None:
    assert order.tuning is not None
    kind, table = order.tuning.kind, read_table(Path(asked.path))
    rows = table.to_pylist()
    if kind == "span":
        found = [{name: np.eye(len(row["ids"]))[row[edge]] for name, edge in EDGES.items()} for row in rows]
    elif kind == "tag":
        found = [{"predicted": np.maximum(row["labels"], 0)} for row in rows]
    elif kind == "regress":
        found = [{"predicted": row["label"]} for row in rows]
    else:
        count = order.tuning.choices if kind == "choose" else len(order.tuning.labels)
        units = rows[:: order.tuning.choices]
        found = [{"predicted": row["label"], "probabilities": np.eye(count)[row["label"]]} for row in units]
    made = pa.Table.from_pylist(found, schema=predicted_schema(kind))
    write_table(predictions_path(order, asked), made, codec=None)


EDGES = {"starts": "start", "ends": "end"}
QUESTION = {"id": "7", "question": "Where?", "answers": [{"text": "France", "answer_start": 3}]}
SQUAD = {"data": [{"title": "x", "paragraphs": [{"context": "In France, " + "it rains. " * 9, "qas": [QUESTION]}]}]}
FILES: dict[str, dict[str, str]] = {
    "rte": {f"{split}.tsv": "\n".join([HEADER, *PAIRS[:4], "4\ta\tb\tnot_entailment"]) for split in ("train", "dev")},
    "stsb": {
        f"{split}.tsv": "sentence1\tsentence2\tscore\na cat\ta dog\t1.5\na cat\ta cat\t5\nno\tyes\t0\n"
        for split in ("train", "dev")
    },
    "swag": {
        f"{split}.csv": "id,sent1,sent2,ending0,ending1,ending2,ending3,label\n1,A hen.,It,a,b,c,d,2\n2,A cow.,It,a,b,c,d,0\n"
        for split in ("train", "val")
    },
    "squad": {f"{split}-v1.1.json": json.dumps(SQUAD) for split in ("train", "dev")},
    "conll": {f"{split}.txt": "Anna B-PER\nsings O\n\nRome B-LOC\nis O\n" for split in ("train", "dev")},
}
SCORES = {
    "rte": {"accuracy": 1.0},
    "stsb": {"spearman": 1.0, "pearson": 1.0},
    "swag": {"accuracy": 1.0},
    "squad": {"f1": 1.0, "exact": 1.0},
    "conll": {"f1": 1.0, "precision": 1.0, "recall": 1.0},
}


def made(workshop: Workshop, bert: Path, task: str, ranks: Oracle, **settings: Any) -> Artifact:
    """Tune on a small task from the folder, and give what it leaves."""
    folder = workshop.folder / task
    folder.mkdir(parents=True)
    for name, text in FILES[task].items():
        (folder / name).write_text(text, encoding="utf-8")
    tree = {"task": task, "path": str(folder), "init": str(bert), "sequence_length": 40, "window_stride": 10} | settings
    recipe = Recipe.model_validate({"finetune": [{"max_answer_tokens": 8} | tree]})
    run = Run(country="FRA")
    steps = plan(recipe, Digests(workshop.store.root / "digests.jsonl").describe, workshop.store.get)
    done = [materialize(step, workshop.store, ranks, Unrecorded(), Quiet(), run)[0] for step in steps]
    return done[-1]


@pytest.mark.parametrize("task", FILES)
def test_a_model_that_is_always_right_has_full_scores(task: str, workshop: Workshop, bert: Path) -> None:
    artifact = made(workshop, bert, task, Oracle())
    scores = json.loads(artifact.file("scores.json").read_text())
    assert scores["dev"] == pytest.approx(scores["dev"] | SCORES[task])
    assert scores["init"].startswith("adopt/")
    assert artifact.manifest["facts"]["rows"]["train"] >= 1
    table = pq.read_table(artifact.file("predictions.parquet"))
    assert set(table["split"].to_pylist()) == {"dev"}
    assert len(table) == scores["rows"]["dev"]
    assert not len(pq.read_table(artifact.file("mistakes.parquet")))
    assert artifact.file("dev.png").read_bytes().startswith(b"\x89PNG")


def test_an_order_says_how_to_tune_and_where_from(workshop: Workshop, bert: Path) -> None:
    ranks = Oracle()
    made(workshop, bert, "conll", ranks, trained="gradual", layer_decay=0.5, batch=1, epochs=3)
    (order,) = ranks.orders
    assert order.tuning is not None
    assert (order.tuning.trained, order.tuning.layer_decay, order.tuning.epochs) == ("gradual", 0.5, 3)
    assert order.tuning.labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert order.init is not None
    shape, state = huggingface.load(Path(order.init))
    assert shape == order.shape
    assert torch.equal(state["encoder.layers.0.inner.bias"], huggingface.load(bert)[1]["encoder.layers.0.inner.bias"])
    assert sha256_of(Path(order.init) / "model.safetensors") == sha256_of(bert / "model.safetensors")


def test_rows_longer_than_the_model_reads_are_refused(workshop: Workshop, bert: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"task conll has sequence_length=64, which exceeds the 48 positions of the mo"
    ):
        made(workshop, bert, "conll", Oracle(), sequence_length=64)


def test_a_folder_whose_tokenizer_has_more_pieces_than_its_weights_is_refused(workshop: Workshop, bert: Path) -> None:
    (bert / "vocab.txt").write_text("\n".join([*PIECES, "more"]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bert: its tokenizer has 84 pieces and its weights 83; mend the folder"):
        made(workshop, bert, "conll", Oracle())


def test_answers_that_change_while_ranks_train_are_refused(workshop: Workshop, bert: Path) -> None:
    class Meddled(Oracle):
        def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
            super().gang(entry, order, watch)
            path = workshop.folder / "squad" / "dev-v1.1.json"
            path.write_text(path.read_text().replace("Where?", "Where is it?"))

    with pytest.raises(DataError, match=r"dev-v1\.1\.json"):
        made(workshop, bert, "squad", Meddled())
