"""The audit as Prefect's page shows it: the flow of the deployment on a real server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.auditing import Audited
from flows.deploy import audit
from flows.evidence import rows_of, summary_of
from flows.serve import STORE
from pipeline.core.audit import Checked, Problem
from pipeline.core.store import Artifact
from tests.flows.conftest import Shop
from tests.flows.test_cli import FACTS, WEIGHTS
from tests.flows.test_pretraining import Answers

Audit = Callable[[str], Answers]


@pytest.fixture
def model(shop: Shop) -> Artifact:
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    return shop.pretend("pretrain", WEIGHTS, FACTS)


@pytest.fixture
def audit_of(shop: Shop, prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Audit]:
    """Run the flow as the worker does."""
    monkeypatch.setenv(STORE, str(shop.store.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(what: str) -> Answers:
        state: Any = audit(what, return_state=True)
        return Answers(str(state.state_details.flow_run_id))

    with temporary_settings({PREFECT_API_URL: prefect_url}):
        yield run


def rows_in(said: Answers) -> list[dict[str, str]]:
    found = said.artifacts()["audit-files"]["data"]
    rows: list[dict[str, str]] = json.loads(found) if isinstance(found, str) else found
    return rows


def test_every_file_is_shown_with_its_digest_and_the_run_says_that_all_is_proved(
    audit_of: Audit, shop: Shop, model: Artifact
) -> None:
    said = audit_of(model.key)
    rows = rows_in(said)
    sentence = f"pretrain/{model.key}: proved, {len(rows)} files are the ones that it was made of"
    assert said.state() == ("COMPLETED", "Completed", sentence)
    assert sentence in said.artifacts()["audit"]["data"]
    assert {row["found"] for row in rows} == {"proved"}
    shard = shop.make("corpus").manifest["files"][0]
    assert (shard["name"], shard["sha256"]) in {(row["file"], row["sha256"]) for row in rows}


def test_what_is_missing_changed_or_extra_comes_first_and_the_run_fails_with_the_sentence(
    audit_of: Audit, shop: Shop, model: Artifact, tmp_path: Path
) -> None:
    corpus = shop.make("corpus").path
    (corpus / "documents" / "00000.arrow").unlink()
    (corpus / "more.txt").write_text("from nowhere")
    (tmp_path / "texts.txt").write_text("Another text.")
    said = audit_of(model.key)
    sentence = f"pretrain/{model.key}: not proved: 3 of its files are not what its manifests say; each is named"
    assert said.state() == ("FAILED", "Failed", sentence)
    found = [(Path(row["file"]).name, row["found"]) for row in rows_in(said)]
    assert sorted(found[:3]) == [("00000.arrow", "missing"), ("more.txt", "extra"), ("texts.txt", "changed")]
    assert {state for _, state in found[3:]} == {"proved"}
    assert all(name in said.artifacts()["audit"]["data"] for name in ("00000.arrow", "more.txt", "texts.txt"))


def test_what_names_nothing_fails_with_the_sentence_of_the_command_line(audit_of: Audit, shop: Shop) -> None:
    said = audit_of("models:/nobody@candidate")
    problem = f"there is no record at {shop.store.root / 'mlflow.db'}; name one with --tracking-uri"
    assert said.state() == ("FAILED", "Failed", f"models:/nobody@candidate: {problem}")
    assert said.artifacts() == {}


def test_names_of_files_stay_text(tmp_path: Path) -> None:
    checked = Checked("corpus/0", tmp_path, [], [Problem(tmp_path / "a|b<i>.txt", "extra")])
    assert r"a\|b\<i\>.txt" in "\n".join(summary_of(Audited("corpus/0", [checked])))
    assert [row["file"] for row in rows_of(Audited("corpus/0", [checked]))] == ["a|b<i>.txt"]
