"""A mistake in a task's file: one sentence that names the file and the place, exit code 3, and nothing was made before it."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.planning import plan_in
from pipeline.core.errors import DataError
from tests.flows.conftest import Command, Shop, bert_in

RTE = "index\tsentence1\tsentence2\tlabel\n0\tA b.\tC.\tentailment\n1\tD e.\tF.\tnot_entailment\n"
STSB = "index\tsentence1\tsentence2\tscore\n0\tA b.\tC.\t1.5\n1\tD e.\tF.\t3\n"
COLA = "gj04\t1\t\tA b.\ngj04\t0\t*\tC d.\n"
CSV = "text,label\na b,yes\nc d,no\n"
JSONL = '{"text": "a b", "label": "yes"}\n{"text": "c d", "label": "no"}\n'
SWAG = "id,sent1,sent2,ending0,ending1,ending2,ending3,label\n1,A hen.,It,a,b,c,d,2\n2,A cow.,It,a,b,c,d,0\n"
CODAH = "i\tI am\ta\tb\tc\td\t2\no\tI go\ta\tb\tc\td\t0\n"
CONLL = "Anna B-PER\nsings O\n\nRome B-LOC\nis O\n"
UNSEEN = "which no training row has; expected one of"


def squad(start: int = 3, without: str = "", **changed: Any) -> str:
    asked = {"id": "q7", "question": "Where?", "answers": [{"text": "France", "answer_start": start}], **changed}
    asked.pop(without, None)
    return json.dumps({"data": [{"title": "x", "paragraphs": [{"context": "In France it rains.", "qas": [asked]}]}]})


GOOD = {
    "rte": (".tsv", RTE),
    "stsb": (".tsv", STSB),
    "cola": (".tsv", COLA),
    "table": (".csv", CSV),
    "swag": (".csv", SWAG),
    "codah": (".tsv", CODAH),
    "squad": ("-v1.1.json", squad()),
    "conll": (".txt", CONLL),
}
"""Task -> end of its files' names, and a file that is right."""
MISSING = [
    (
        "rte",
        RTE.replace("sentence2", "other"),
        "dev.tsv: has no column sentence2; its columns are index, sentence1, oth",
    ),
    (
        "rte",
        RTE.replace("label", "gold"),
        "dev.tsv: line 2 has no answer; expected one in the column label of every row",
    ),
    (
        "stsb",
        STSB.replace("score", "value"),
        "dev.tsv: line 2 has no answer; expected one in the column score of every",
    ),
    ("cola", COLA.replace("\t*", ""), "dev.tsv: line 2 has 3 columns and the layout of CoLA 4; mend the row"),
    ("table", CSV.replace("text", "words"), "dev.csv: has no column text; its columns are words, label"),
    (
        "table",
        CSV.replace("label", "class"),
        "dev.csv: line 2 has no answer; expected one in the column label of every",
    ),
    ("swag", SWAG.replace("ending3", "ending4"), "dev.csv: has no column ending3; its columns are id, sent1, sent2, "),
    ("codah", CODAH.replace("d\t2", "2"), "dev.tsv: line 1 has 6 columns and the layout of CODAH 7; mend the row"),
    ("squad", squad(without="question"), "dev-v1.1.json: data.0.paragraphs.0.qas.0 has no field question; its fields "),
    ("squad", squad(without="answers"), "dev-v1.1.json: question q7 has no answer; expected one in the field answers "),
    (
        "conll",
        CONLL.replace("sings O", "sings"),
        "dev.txt: line 2 has 1 columns; expected 2, a word first and its tag l",
    ),
]
WRONG = [
    (
        "rte",
        RTE.replace("not_", "non_"),
        "dev.tsv: line 3 has the label 'non_entailment'; expected one of entailment, ",
    ),
    ("stsb", STSB.replace("1.5", "high"), "dev.tsv: line 2 has the score 'high'; expected a number such as 3.8"),
    ("cola", COLA.replace("\t0\t", "\t2\t"), "dev.tsv: line 2 has the label '2'; expected one of 0, 1"),
    ("table", CSV.replace("no", ""), "dev.csv: line 3 has nothing in the column label; expected a label"),
    ("swag", SWAG.replace("d,2", "d,4"), "dev.csv: line 2 has the label '4'; expected one of 0, 1, 2, 3"),
    ("codah", CODAH.replace("\t0", "\t5"), "dev.tsv: line 2 has the label '5'; expected one of 0, 1, 2, 3"),
    (
        "squad",
        squad(40),
        "dev-v1.1.json: data.0.paragraphs.0.qas.0 (question q7) has the answer 'France' at character 40",
    ),
    ("squad", squad(is_impossible=True), "dev-v1.1.json: data.0.paragraphs.0.qas.0 (question q7) has is_impossible a"),
    ("conll", CONLL.replace("B-PER", "PER"), "dev.txt: line 1 has the tag 'PER'; expected O, B-TYPE or I-TYPE, such "),
]
EMPTY = [(task, "", f"dev{end}: is empty; expected one row a line") for task, (end, _) in GOOD.items()]
EMPTY += [
    ("rte", RTE.partition("\n")[0], "dev.tsv: has a header and no rows; expected one row a line"),
    ("squad", '{"data": []}', "dev-v1.1.json: holds no questions; expected some in data, paragraphs, qas"),
    ("conll", "\n\n", "dev.txt: holds no words; expected a word and its tag a line"),
]
ONLY_THERE = [
    ("table", CSV + "e f,perhaps\n", f"line 4 has the label 'perhaps', {UNSEEN} no, yes"),
    ("conll", CONLL.replace("PER", "ORG"), f"line 1 has the label 'B-ORG', {UNSEEN} O, B-LOC, I-LOC, B-PER, I-PER"),
]
IN_LINES = [
    (JSONL.replace('"text": "c', '"words": "c'), "dev.jsonl: line 2 has no field text; its fields are words, label"),
    (JSONL.replace('"no"', "null"), "dev.jsonl: line 2 has null in the field label; expected text, or a number as a "),
    (JSONL.replace('"no"', '"perhaps"'), f"dev.jsonl: line 2 has the label 'perhaps', {UNSEEN} no, yes"),
    (JSONL.replace("}", ""), "dev.jsonl: line 1 is not JSON (Expecting ',' delimiter, column "),
    ("", "dev.jsonl: is empty; expected one row a line"),
]


def refused(pretrace: Command, shop: Shop, task: str, files: dict[str, str]) -> str:
    """Run a recipe with a task of such files, and give what is said; nothing may be made."""
    folder = shop.config.parent / "rows"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    said = pretrace("run", shop.config, f"recipe.finetune=[{{task: {task}, path: {folder}, sequence_length: 32}}]")
    assert (said.code, said.out) == (3, "")
    assert not [place for place in shop.store.root.iterdir() if place.is_dir()]
    (line,) = said.err.splitlines()
    assert line.startswith(f"pretrace: {folder}/")
    return line.removeprefix(f"pretrace: {folder}/")


@pytest.mark.parametrize(("task", "text", "told"), [*MISSING, *WRONG, *EMPTY])
def test_a_mistake_in_a_file_is_told_before_anything_is_made(
    pretrace: Command, shop: Shop, task: str, text: str, told: str
) -> None:
    end, good = GOOD[task]
    assert refused(pretrace, shop, task, {f"train{end}": good, f"dev{end}": text}).startswith(told)


@pytest.mark.parametrize(("text", "told"), IN_LINES)
def test_a_mistake_in_lines_of_json_is_told_before_anything_is_made(
    pretrace: Command, shop: Shop, text: str, told: str
) -> None:
    assert refused(pretrace, shop, "table", {"train.jsonl": JSONL, "dev.jsonl": text}).startswith(told)


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize(("task", "text", "told"), ONLY_THERE)
def test_a_label_that_training_never_sees_is_told_with_its_line(
    pretrace: Command, shop: Shop, task: str, text: str, told: str, split: str
) -> None:
    end, good = GOOD[task]
    files = {f"train{end}": good, f"dev{end}": good} | {f"{split}{end}": text}
    assert refused(pretrace, shop, task, files) == f"{split}{end}: {told}"


def test_files_of_a_task_that_is_not_to_be_tuned_yet_are_not_read(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("")
    recipe = shop.load(f"recipe.finetune=[{{task: rte, path: {tmp_path}, sequence_length: 32}}]").recipe
    with pytest.raises(DataError, match=r"train\.tsv: is empty"):
        plan_in(shop.store, recipe)
    assert [step.label for step in plan_in(shop.store, recipe, "corpus")] == ["corpus"]


def test_rows_too_long_for_the_model_are_refused_before_anything_is_made(
    pretrace: Command, shop: Shop, tmp_path: Path
) -> None:
    short = bert_in(tmp_path / "bert")
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text(RTE)
    task = f"recipe.finetune=[{{task: rte, path: {tmp_path}, init: {short}, sequence_length: 64}}]"
    said = pretrace("run", shop.config, task)
    assert said.code == 2
    assert "task rte has sequence_length=64, which exceeds the 48 positions of the model it starts from" in said.err
    said = pretrace("run", shop.config, f"recipe.pretrain.init={short}", "recipe.phases.0.sequence_length=64")
    assert said.code == 2
    assert "recipe.phases.0.sequence_length=64 exceeds the 48 positions of the model of recipe.pretrain" in said.err
    (short / "config.json").write_text('{"model_type": "gpt2"}')
    said = pretrace("run", shop.config, task)
    assert said.code == 3
    assert "config.json: model_type='gpt2', expected 'bert' or 'modernbert'" in said.err
    assert not list(shop.store.root.glob("*/*/manifest.json"))
