import json
import shutil
from pathlib import Path

import pytest

from flows.copies import RETOLD, check_texts, exported, to_check
from flows.outcome import Outcome
from flows.recording import record
from pipeline.core.errors import AuditError
from pipeline.core.files import json_text
from pipeline.core.store import Artifact, Store
from pipeline.core.tracking import MlflowRecorder
from tests.flows.conftest import Command, Shop
from tests.flows.test_cli import FACTS, WEIGHTS


@pytest.fixture
def model(shop: Shop) -> Artifact:
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    return shop.pretend("pretrain", WEIGHTS, FACTS)


@pytest.fixture
def folder(pretrace: Command, shop: Shop, model: Artifact, tmp_path: Path) -> Path:
    arguments = ("export", model.key, tmp_path / "bert", "--license", "mit", "--store", shop.store.root)
    assert pretrace(*arguments).code == 0
    return tmp_path / "bert"


def named(store: Store, folder: Path) -> set[str]:
    """Name the files of an exported folder that are found to be other than they were."""
    try:
        copy = exported(folder, store)
    except AuditError as error:
        return {Path(str(error).partition(":")[0]).name}
    checked = to_check(store, copy)
    checked.problems += [problem for file in checked.files if (problem := file.problem())]
    check_texts(store, copy, checked, lineage_proved=True)
    return {problem.path.name for problem in checked.problems}


def test_a_model_is_proved_down_to_the_files_from_outside(pretrace: Command, shop: Shop, model: Artifact) -> None:
    said = pretrace("audit", model.key, "--store", shop.store.root)
    assert (said.code, said.err) == (0, "")
    told = [line.split()[0] for line in said.out.splitlines() if "as it was made" in line]
    assert [name.split("/")[0] for name in told] == ["pretrain", "examples", "tokenizer", "corpus", "sources"]
    assert f"pretrain/{model.key}: proved, " in said.out.splitlines()[-1]


def test_what_is_not_as_it_was_made_is_named_and_is_exit_code_4(
    pretrace: Command, shop: Shop, model: Artifact, tmp_path: Path
) -> None:
    shard = shop.make("corpus").path / "documents" / "00000.arrow"
    shard.unlink()
    (tmp_path / "texts.txt").write_text("Another text.")
    said = pretrace("audit", model.key, "--store", shop.store.root)
    assert said.code == 4
    assert said.out.splitlines()[-2:] == [f"{shard}: missing", f"{tmp_path / 'texts.txt'}: changed"]
    assert said.err.startswith(f"pretrace: pretrain/{model.key}: not proved: 2 of its files ")


def test_what_was_found_is_told_to_programs(pretrace: Command, shop: Shop, model: Artifact, tmp_path: Path) -> None:
    said = pretrace("audit", model.key, "--json", "--store", shop.store.root)
    found = json.loads(said.out)
    assert (said.code, found["proved"], found["artifact"]) == (0, True, f"pretrain/{model.key}")
    (tmp_path / "texts.txt").unlink()
    said = pretrace("audit", model.key, "--json", "--store", shop.store.root)
    found = json.loads(said.out)
    assert (said.code, found["proved"]) == (4, False)
    assert found["checked"][-1]["problems"] == [{"path": str(tmp_path / "texts.txt"), "what": "missing"}]


def test_an_exported_folder_is_held_against_the_store(pretrace: Command, shop: Shop, folder: Path) -> None:
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert said.code == 0
    assert f"export {folder}" in said.out
    (folder / "pytorch_model.bin").write_text("other weights")
    (folder / "config.json").write_text("[]")
    (folder / "TRAINING_DATA.md").unlink()
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert said.code == 4
    assert said.out.splitlines()[-3:] == [
        f"{folder / 'pytorch_model.bin'}: extra",
        f"{folder / 'config.json'}: changed",
        f"{folder / 'TRAINING_DATA.md'}: missing",
    ]


def test_every_flipped_bit_of_an_exported_folder_is_found_and_its_file_named(shop: Shop, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        text = path.read_bytes()
        for at in range(0, len(text), 1 if path.name == "pretrace.json" else 1 + len(text) // 20):
            path.write_bytes(text[:at] + bytes([text[at] ^ 1 << at % 8]) + text[at + 1 :])
            assert path.name in named(shop.store, folder), (path, at)
        path.write_bytes(text)
    assert named(shop.store, folder) == set()


def test_a_card_that_was_changed_together_with_its_digest_is_found(pretrace: Command, shop: Shop, folder: Path) -> None:
    from flows.export import note_of

    texts = {name: (folder / name).read_text() for name in ("README.md", "TRAINING_DATA.md")}
    texts["README.md"] = texts["README.md"].replace("| mlm loss | 3 |", "| mlm loss | 1 |")
    (folder / "README.md").write_text(texts["README.md"])
    (model,) = shop.store.all("pretrain")
    (folder / "pretrace.json").write_text(note_of(model, texts, "mit"))
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert said.code == 4
    assert said.out.splitlines()[-2] == f"{folder / 'README.md'}: {RETOLD}"


def test_what_tells_of_a_lineage_that_is_not_proved_is_held_against_its_note(
    pretrace: Command, shop: Shop, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("Another text.")
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert (said.code, said.out.splitlines()[-1]) == (4, f"{tmp_path / 'texts.txt'}: changed")
    (folder / "README.md").write_text("# The best model")
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert f"{folder / 'README.md'}: changed" in said.out.splitlines()


@pytest.mark.parametrize("note", ["", "[]", "{}", "null", '{"artifact": "../etc"}', "[" * 100_000])
def test_an_exported_folder_that_says_nothing_of_what_it_is_is_not_proved(
    pretrace: Command, shop: Shop, folder: Path, note: str
) -> None:
    (folder / "pretrace.json").write_text(note)
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert (said.code, said.err) == (
        4,
        f"pretrace: {folder / 'pretrace.json'}: changed; it does not say which model this is. Export the model again\n",
    )


def test_a_folder_exported_from_another_store_is_one_sentence(
    pretrace: Command, shop: Shop, folder: Path, tmp_path: Path
) -> None:
    Store(tmp_path / "other").open()
    said = pretrace("audit", folder, "--store", tmp_path / "other")
    assert said.code == 4
    assert f"which is no model in run.store={tmp_path / 'other'}; it was changed, or the model was exported" in said.err


def test_a_model_whose_tokenizer_is_gone_is_not_proved(pretrace: Command, shop: Shop, folder: Path) -> None:
    tokenizer = shop.make("tokenizer")
    note = tokenizer.path / "manifest.json"
    note.unlink()
    said = pretrace("audit", folder, "--store", shop.store.root)
    assert (said.code, said.out.splitlines()[-1]) == (4, f"{note}: missing")


def test_a_registered_model_is_proved_with_its_lineage(pretrace: Command, shop: Shop, model: Artifact) -> None:
    store = ("--store", shop.store.root)
    record_at = shop.store.root / "mlflow.db"
    said = pretrace("audit", "models:/apples@candidate", *store)
    assert (said.code, said.err) == (
        2,
        f"pretrace: models:/apples@candidate: there is no record at {record_at}; name one with --tracking-uri\n",
    )
    recorder = MlflowRecorder(f"sqlite:///{record_at}", "apples", shop.store.root / "mlflow-artifacts")
    recorder.begin("apples", {})
    record(recorder, shop.store, [Outcome("pretrain", model, made=True)], {})
    recorder.end("FINISHED")
    said = pretrace("audit", "models:/apples@candidate", *store)
    assert (said.code, said.err) == (0, "")
    assert f"pretrain/{model.key}: proved" in said.out
    (weights,) = (shop.store.root / "mlflow-artifacts").rglob("model.safetensors")
    weights.unlink()  # a link to the store's file until now
    weights.write_text("Weights")
    (note,) = (shop.store.root / "mlflow-artifacts").rglob("pretrace.json")
    note.write_text(json_text({"artifact": f"pretrain/{model.key}"}).replace(" ", "  "))
    shutil.copyfile(note, note.with_name("more.json"))
    said = pretrace("audit", "models:/apples/1", "--tracking-uri", f"sqlite:///{record_at}", *store)
    assert said.code == 4
    assert sorted(said.out.splitlines()[-3:]) == sorted(
        [f"{weights}: changed", f"{note}: changed", f"{note.with_name('more.json')}: extra"]
    )
    said = pretrace("audit", "models:/apples@nobody", *store)
    assert said.code == 2
    assert "models:/apples@nobody at sqlite:///" in said.err
