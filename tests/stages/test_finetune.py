from pathlib import Path

import pytest

from pipeline.config import FinetuneSlice
from pipeline.core.arrow import read_rows
from pipeline.core.errors import DataError
from pipeline.core.files import sha256_of
from pipeline.core.store import Artifact
from pipeline.stages.finetune import EncodeRows, encode_rows
from pipeline.text.encode import load
from tests.stages.conftest import Workshop

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
    facts = encode_rows(work, out)
    rows = {split: list(read_rows(out / f"{split}.arrow")) for split in facts}
    assert {split: len(found) for split, found in rows.items()} == facts
    return rows


def test_rows_are_encoded_as_the_tokenizer_encodes_a_pair(tokenizer: Artifact, tmp_path: Path) -> None:
    rows = encoded(job(tokenizer, tmp_path, train=[HEADER, *PAIRS], dev=[HEADER, PAIRS[0]]), tmp_path / "out")
    (row,) = rows["dev"]
    expected = load(tokenizer.path).encode(row["first"], row["second"])
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
    texts = {split: {str(row["first"]) for row in found} for split, found in rows.items()}
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
        with pytest.raises(DataError, match=rf"^recipe\.finetune: task rte has no labels in its {split} split; give"):
            encode_rows(work, tmp_path / split)


def test_too_few_rows_to_hold_any_back_are_refused(tokenizer: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^recipe\.finetune: task rte has no rows in its (dev|train) split; give more"):
        encode_rows(job(tokenizer, tmp_path, train=[HEADER, PAIRS[0]]), tmp_path)
