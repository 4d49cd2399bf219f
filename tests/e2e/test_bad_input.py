"""Bad input to the real command: one sentence, its exit code, no traceback, and nothing half made taken for finished."""

import bz2
import gzip
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from flows.planning import plan_in
from pipeline.config import load
from pipeline.core.errors import DataError
from pipeline.core.progress import Quiet
from pipeline.core.stage import materialize
from pipeline.core.store import Store
from pipeline.outside import locate
from tests.core.places import InTurn, Unrecorded
from tests.e2e.conftest import Pretrace, Project
from tests.processes import wait_for_line

DUMP = "package:gensim/test/test_data/enwiki-table-markup.xml.bz2"

SETTINGS, DATA = 2, 3


def fails(pretrace: Pretrace, *arguments: str | Path) -> tuple[int, str]:
    """Run a command that fails; returns its exit code and the one sentence that it says."""
    done = pretrace(*arguments)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("pretrace: ")
    return done.returncode, sentence.removeprefix("pretrace: ")


def make(project: Project, store: Path, name: str, *overrides: str) -> None:
    """Make a step in this process, whose inputs are there."""
    config = load([project.config], overrides)
    opened = Store(store).open()
    step = next(step for step in plan_in(opened, config.recipe) if step.name == name)
    materialize(step, opened, InTurn(), Unrecorded(), Quiet(), config.run)


def committed(store: Path) -> list[str]:
    return sorted(artifact.label for artifact in Store(store).all())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


MISTAKES = [
    ("recipe.corpus.shard=3", "recipe.corpus.shard: is not a setting; did you mean recipe.corpus.shards?"),
    ("run.zero_stage=9", "run.zero_stage=9: input should be less than or equal to 3"),
    (
        "recipe.corpus.sources.0.path=/no/such/file.xml",
        "recipe.corpus.sources.0.path=/no/such/file.xml: /no/such/file.xml: no such file or folder, and no file "
        "matches it as a glob; expected text file (.txt, .txt.gz)",
    ),
    (
        "recipe.tokenizer.path=/no/such/vocab.txt",
        "recipe.tokenizer.path=/no/such/vocab.txt: no tokenizer there; name a tokenizer.json, a vocab.txt, or "
        "a folder that holds one of them",
    ),
    (
        "recipe.corpus.exclude=/no/such/list.txt",
        "recipe.corpus.exclude=/no/such/list.txt: no such file; name a text file with an id, a title or a url a line",
    ),
    (
        "recipe.corpus.near_duplicates.bands=7",
        "recipe.corpus.near_duplicates.permutations=128 is not a multiple of recipe.corpus.near_duplicates.bands=7; change one of them",
    ),
    (
        "recipe.finetune.0.path=/no/such/file.cor",
        "recipe.finetune.0.path=/no/such/file.cor: /no/such/file.cor: no such file; expected one with lines such as "
        "__label__pos a warm , funny film",
    ),
]


@pytest.mark.parametrize(("override", "sentence"), MISTAKES)
def test_a_mistake_in_the_settings_ends_before_anything_starts(
    project: Project, store: Path, override: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(project.config), f"run.store={store}", override])
    assert (ended.value.code, capsys.readouterr().err) == (SETTINGS, f"pretrace: {sentence}\n")
    assert committed(store) == []
    assert not (store / "corpus").exists()


def test_the_installed_command_ends_alike(pretrace: Pretrace, project: Project, store: Path) -> None:
    override, sentence = MISTAKES[0]
    assert fails(pretrace, "run", project.config, f"run.store={store}", override) == (SETTINGS, sentence)


def test_a_missing_config_file_is_named(pretrace: Pretrace, store: Path) -> None:
    code, sentence = fails(pretrace, "run", "nope.yaml", f"run.store={store}")
    assert code == SETTINGS
    assert sentence.startswith("nope.yaml: cannot be read (No such file or directory)")
    assert not store.exists()


def test_a_store_of_another_version_is_left_alone(pretrace: Pretrace, project: Project, store: Path) -> None:
    store.mkdir()
    (store / "store.json").write_text(json.dumps({"format": 99}))
    said = fails(pretrace, "run", project.config, f"run.store={store}")
    assert said == (
        SETTINGS,
        f"run.store={store}: has format 99 and this version reads format 1; "
        "name a new folder or use the version that made it",
    )
    assert [path.name for path in store.iterdir()] == ["store.json"]


def truncated(folder: Path) -> Path:
    data = locate(DUMP).read_bytes()
    (folder / "cut.xml.bz2").write_bytes(data[: len(data) // 2])
    return folder / "cut.xml.bz2"


def cut_in_the_middle(folder: Path) -> Path:
    xml = bz2.decompress(locate(DUMP).read_bytes())
    (folder / "cut.xml").write_bytes(xml[: len(xml) // 2])
    return folder / "cut.xml"


def not_utf8(folder: Path) -> Path:
    (folder / "latin.txt").write_bytes(b"A good text.\n\nCaf\xe9 au lait.\n")
    return folder / "latin.txt"


def empty(folder: Path) -> Path:
    (folder / "empty.txt").write_text("\n\n")
    return folder / "empty.txt"


def without_the_column(folder: Path) -> Path:
    pq.write_table(pa.table({"title": ["One"], "body": ["A good text."]}), folder / "rows.parquet")
    return folder / "rows.parquet"


def entity_bomb(folder: Path) -> Path:
    levels = "".join(f'<!ENTITY l{at + 1} "{f"&l{at};" * 10}">' for at in range(9))
    page = "<page><title>A</title><ns>0</ns><revision><text>&l9;</text></revision></page>"
    (folder / "bomb.xml").write_text(f'<!DOCTYPE m [<!ENTITY l0 "lol">{levels}]><mediawiki>{page}</mediawiki>')
    return folder / "bomb.xml"


def decompression_bomb(folder: Path) -> Path:
    (folder / "bomb.txt.gz").write_bytes(gzip.compress(b"a" * (200 << 20), compresslevel=9))
    return folder / "bomb.txt.gz"


BAD = {
    "no column": (
        "parquet", without_the_column, "{path}: no column 'text'; the file has title, body", "as the text column"
    ),
    "entities": ("wikipedia", entity_bomb, "{path}: ", ""),
    "decompression": ("text", decompression_bomb, "{path}: ", ""),
    "truncated": ("wikipedia", truncated, "{path}: cut at byte ", "with `truncated: keep`"),
    "cut": ("wikipedia", cut_in_the_middle, "{path}: cut at byte ", "with `truncated: keep`"),
    "not UTF-8": (
        "text",
        not_utf8,
        "recipe.corpus.max_bad_fraction=0.01: 1 of 2 documents cannot be parsed, the first is latin.txt: line 3: not UTF-8",
        "mend the files or raise the setting",
    ),
    "empty": ("text", empty, "recipe.corpus.sources: 1 files hold no document with text", "name other files"),
}  # fmt: skip


def bad_source(kind: str, path: Path) -> tuple[str, str]:
    return f"recipe.corpus.sources.0.kind={kind}", f"recipe.corpus.sources.0.path={path}"


@pytest.mark.parametrize("name", BAD)
def test_bad_data_ends_the_corpus(project: Project, store: Path, tmp_path: Path, name: str) -> None:
    kind, write, begin, end = BAD[name]
    path = write(tmp_path)
    with pytest.raises(DataError) as caught:
        make(project, store, "corpus", *bad_source(kind, path))
    assert (caught.value.exit_code, len(str(caught.value).splitlines())) == (DATA, 1)
    assert str(caught.value).startswith(begin.format(path=path))
    assert str(caught.value).endswith(end)
    assert committed(store) == []


@pytest.mark.slow
def test_the_command_says_it_in_the_same_words(
    pretrace: Pretrace, project: Project, store: Path, tmp_path: Path
) -> None:
    kind, write, begin, end = BAD["truncated"]  # found in a worker
    path = write(tmp_path)
    code, sentence = fails(pretrace, "run", project.config, f"run.store={store}", *bad_source(kind, path))
    assert code == DATA
    assert sentence.startswith(begin.format(path=path))
    assert sentence.endswith(end)
    assert committed(store) == []


def test_a_corpus_too_small_for_the_vocabulary_ends_the_tokenizer(
    project: Project, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.txt").write_text("A small text, though long enough to be kept by the cleaning.\n")
    path = f"recipe.corpus.sources.0.path={tmp_path / 'small.txt'}"
    make(project, store, "corpus", path)
    with pytest.raises(DataError, match=r"^recipe\.tokenizer\.vocab_size=3000 is more than the corpus yields: "):
        make(project, store, "tokenizer", path)
    assert committed(store) == ["corpus"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for MLflow's database (a megabyte) and not much more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1250k", "pretrace-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_stage_and_keeps_what_is_finished(
    pretrace: Pretrace, project: Project, small_disk: Path
) -> None:
    store = small_disk / "store"
    recorded_there = Pretrace(pretrace.env, "null")  # so that neither can be written
    code, sentence = fails(recorded_there, "run", project.config, f"run.store={store}", "run.workers=1")
    expected = f"run.store={store}: the disk is full; free some space and run again, finished pieces are kept"
    assert (code, sentence) == (SETTINGS, expected)
    assert committed(store) == []
    assert list(store.glob("pieces/corpus/*/piece.json")) != []


@pytest.mark.slow
def test_an_artifact_that_another_process_is_making_is_waited_for_and_taken(
    pretrace: Pretrace, project: Project, store: Path, tmp_path: Path
) -> None:
    step, log = project.steps(store)[0], tmp_path / "log"
    make(project, tmp_path / "maker", "corpus")
    made = Store(tmp_path / "maker").folder(step)
    with Store(store).open().making(step):
        run = pretrace.start("run", project.config, f"run.store={store}", "--until", "corpus", log=log)
        told = f"waiting for corpus/{step.key}, which pid {os.getpid()} on host {socket.gethostname()} makes"
        wait_for_line(run, told, log)
        assert committed(store) == []
        shutil.copytree(made, Store(store).folder(step), dirs_exist_ok=True)
    assert run.wait() == 0, log.read_text()
    assert " cached " in log.read_text()
    assert committed(store) == ["corpus"]
