import json
from pathlib import Path

import pytest

from pipeline.core.store import Artifact
from tests.flows.conftest import Command, Shop
from tests.flows.test_cli import FACTS, WEIGHTS


@pytest.fixture
def model(shop: Shop) -> Artifact:
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    return shop.pretend("pretrain", WEIGHTS, FACTS)


@pytest.fixture
def exported(pretrace: Command, shop: Shop, model: Artifact, tmp_path: Path) -> Path:
    assert pretrace("export", model.key, tmp_path / "bert", "--store", shop.store.root).code == 0
    return tmp_path / "bert"


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


def test_an_exported_folder_is_held_against_the_store(pretrace: Command, shop: Shop, exported: Path) -> None:
    assert pretrace("audit", exported, "--store", shop.store.root).code == 0
    (exported / "pytorch_model.bin").write_text("other weights")
    (exported / "config.json").write_text("[]")
    said = pretrace("audit", exported, "--store", shop.store.root)
    assert said.code == 4
    assert said.out.splitlines()[-2:] == [
        f"{exported / 'pytorch_model.bin'}: extra",
        f"{exported / 'config.json'}: changed",
    ]


def test_an_exported_folder_that_names_no_model_is_one_sentence(pretrace: Command, shop: Shop, exported: Path) -> None:
    (exported / "pretrace.json").write_text('{"artifact": "../etc"}')
    said = pretrace("audit", exported, "--store", shop.store.root)
    assert (said.code, said.err) == (
        2,
        f"pretrace: {exported / 'pretrace.json'}: names no model; export the model again\n",
    )


def test_a_model_whose_tokenizer_is_gone_is_not_proved(pretrace: Command, shop: Shop, exported: Path) -> None:
    tokenizer = shop.make("tokenizer")
    note = tokenizer.path / "manifest.json"
    note.unlink()
    said = pretrace("audit", exported, "--store", shop.store.root)
    assert (said.code, said.out.splitlines()[-1]) == (4, f"{note}: missing")
