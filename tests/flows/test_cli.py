import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.files import read_json
from tests.flows.conftest import Command, Shop

COMMANDS = ("run", "plan", "show", "why", "export", "lineage", "audit", "trace", "fill", "gc")
HEAVY = (
    "torch",
    "numpy",
    "pyarrow",
    "ray",
    "mlflow",
    "prefect",
    "tokenizers",
    "deepspeed",
    "transformers",
    "codecarbon",
)
WEIGHTS = {"config.json": "{}", "model.safetensors": "weights"}
FACTS = {"curve": "9.0 █▁ 3.0", "held_out_mlm_loss": 3.0, "held_out_mlm_perplexity": 20.1, "unigram_entropy_nats": 5.5}


def loaded_by(*arguments: object) -> list[str]:
    """Say which heavy modules a command loads."""
    code = (
        "import json, sys\nfrom flows.cli import pretrace\n"
        f"pretrace.main({[str(argument) for argument in arguments]!r}, standalone_mode=False)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_help_teaches_the_commands_and_the_exit_codes(pretrace: Command) -> None:
    said = pretrace("--help")
    assert said.code == 0
    assert "pretrace run  configs/tiny.yaml recipe.corpus.sources.0.path=/data/enwiki.xml.bz2" in said.out
    assert "0 done, 2 a mistake in the settings, 3 bad data" in said.out
    assert all(f"\n  {name} " in said.out for name in COMMANDS)
    assert pretrace("-h").out == said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(pretrace: Command, name: str) -> None:
    said = pretrace(name, "--help")
    assert said.code == 0
    assert len(said.out.splitlines()) > 5
    if name in ("run", "plan", "why"):
        assert "recipe.seed=7" in said.out


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(*arguments) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "No such command 'nope'"),
        (["run"], "Missing argument 'CONFIG...'"),
        (["plan", "--nope", "c.yaml"], "No such option"),
        (["plan", "nope.yaml"], "nope.yaml: cannot be read (No such file or directory)"),
        (["plan", "recipe.sed=1"], "recipe.sed: is not a setting; did you mean recipe.seed?"),
        (["plan", "recipe.seed=1"], "recipe.corpus.sources.0.path: is not set"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_code_2(
    pretrace: Command, arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = pretrace(*arguments)
    assert said.code == 2
    assert sentence in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_what_is_there_what_to_resume_and_what_to_make(pretrace: Command, shop: Shop) -> None:
    corpus = shop.make("corpus")
    tokenizer = shop.step("tokenizer")
    with shop.store.making(tokenizer):
        pass
    said = pretrace("plan", shop.config)
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[1] == ["corpus", f"corpus/{corpus.key}", "there", "1", "file", "(sources.0)"]
    assert rows[2] == ["tokenizer", f"tokenizer/{tokenizer.key}", "to", "resume", "corpus"]
    assert [row[:1] + row[2:4] for row in rows[3:5]] == [["examples-32", "to", "make"], ["pretrain", "to", "make"]]


def test_a_plan_makes_no_store(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    assert pretrace("plan", shop.config, f"run.store={tmp_path / 'new'}").code == 0
    assert not (tmp_path / "new").exists()


def test_an_override_is_told_from_a_file_that_has_a_sign_in_its_name(pretrace: Command, shop: Shop) -> None:
    odd = shop.config.with_name("a=b.yaml")
    shop.config.rename(odd)
    assert pretrace("plan", odd, "recipe.seed=3").code == 0


def test_show_lists_artifacts_and_those_of_one_label(pretrace: Command, shop: Shop) -> None:
    corpus, tokenizer = shop.make("corpus"), shop.make("tokenizer")
    said = pretrace("show", "--store", shop.store.root)
    assert f"corpus/{corpus.key}" in said.out
    assert "documents 40" in said.out
    assert f"tokenizer/{tokenizer.key}" in said.out
    one = pretrace("show", "tokenizer", "--store", shop.store.root)
    assert f"tokenizer/{tokenizer.key}" in one.out
    assert corpus.key not in one.out


def test_show_prints_keys_for_scripts(pretrace: Command, shop: Shop) -> None:
    keys = [shop.make("corpus").key, shop.make("tokenizer").key]
    assert pretrace("show", "--keys", "--store", shop.store.root).out.split() == keys
    assert pretrace("show", "tokenizer", "--keys", "--store", shop.store.root).out == f"{keys[1]}\n"
    for other in ("nope", "/data/bert"):
        said = pretrace("show", other, "--keys", "--store", shop.store.root)
        assert (said.out, said.code) == ("", 0)


def test_a_store_with_another_note_is_one_sentence(pretrace: Command, shop: Shop) -> None:
    for text in ("{}", "[]", "cut {"):
        (shop.store.root / "store.json").write_text(text)
        said = pretrace("show", "--store", shop.store.root)
        assert said.code == 2
        assert "store.json: is not " in said.err


def test_at_least_one_answer_is_asked_for(pretrace: Command, shop: Shop) -> None:
    said = pretrace("fill", "aaaaaa", "a [MASK]", "--top", "0", "--store", shop.store.root)
    assert said.code == 2
    assert "0 is not in the range x>=1" in said.err


def test_show_tells_all_of_one_artifact(pretrace: Command, shop: Shop) -> None:
    tokenizer = shop.make("corpus") and shop.make("tokenizer")
    said = pretrace("show", tokenizer.key[:6], "--store", shop.store.root)
    assert f"tokenizer/{tokenizer.key}" in said.out
    assert '"vocab_size": 300' in said.out
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        assert f"{tokenizer.sha256(name)[:16]}" in said.out


def test_show_says_what_there_is_if_a_key_is_unknown(pretrace: Command, shop: Shop) -> None:
    corpus = shop.make("corpus")
    said = pretrace("show", "nope", "--store", shop.store.root)
    assert said.code == 2
    assert said.err == (
        f"pretrace: nope: names no artifact in run.store={shop.store.root}, which holds corpus/{corpus.key}\n"
    )


def test_the_beginning_of_a_key_must_name_one_artifact(pretrace: Command, shop: Shop) -> None:
    made = [shop.pretend("pretrain", {}, FACTS, f"recipe.seed={seed}") for seed in range(17)]  # of 16 first digits
    digit = next(key[0] for key in (one.key for one in made) if sum(one.key[0] == key[0] for one in made) > 1)
    said = pretrace("show", digit, "--store", shop.store.root)
    both = [f"pretrain/{one.key}" for one in shop.store.all() if one.key[0] == digit]
    assert said.code == 2
    assert f"{digit}: names several artifacts in run.store={shop.store.root}, which holds {', '.join(both)}" in said.err


def test_why_names_the_settings_that_differ(pretrace: Command, shop: Shop) -> None:
    tokenizer = shop.make("corpus") and shop.make("tokenizer")
    assert pretrace("why", "tokenizer", shop.config).out == f"tokenizer: {tokenizer.key} is there; nothing to make\n"
    said = pretrace("why", "tokenizer", shop.config, "recipe.tokenizer.vocab_size=301")
    assert said.out.splitlines()[1:] == ["  config.vocab_size: 300 -> 301"]
    assert "is not there; the nearest differs in" in said.out
    examples = pretrace("why", "examples", shop.config)
    assert examples.out == f"examples-32: {shop.step('examples-32').key} is not there, and no other examples is\n"


def test_why_names_the_digest_of_a_changed_file(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    shop.make("corpus")
    with (tmp_path / "texts.txt").open("a") as file:
        file.write("\n\nOne more.")
    said = pretrace("why", "corpus", shop.config)
    assert "  sources.sources.0.0.sha256: " in said.out
    assert "config" not in said.out


def test_why_of_no_stage_says_which_there_are(pretrace: Command, shop: Shop) -> None:
    said = pretrace("why", "nope", shop.config)
    assert (said.code, said.err) == (
        2,
        "pretrace: nope: is not a stage of this plan; it has corpus, tokenizer, examples, pretrain\n",
    )


def test_export_writes_weights_and_tokenizer_into_a_new_folder(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    _, tokenizer, _ = [shop.make(name) for name in ("corpus", "tokenizer", "examples-32")]
    model = shop.pretend("pretrain", WEIGHTS, FACTS)
    said = pretrace("export", model.key, tmp_path / "bert", "--store", shop.store.root)
    assert said.code == 0
    assert f"AutoModel.from_pretrained('{tmp_path / 'bert'}')" in said.out
    written = {path.name: path.read_bytes() for path in (tmp_path / "bert").iterdir()}
    files = {*WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}
    assert written.keys() == files | {"pretrace.json", "README.md", "TRAINING_DATA.md"}
    assert written["model.safetensors"] == b"weights"
    assert written["tokenizer.json"] == tokenizer.file("tokenizer.json").read_bytes()
    again = pretrace("export", model.key, tmp_path / "bert", "--store", shop.store.root)
    assert (again.code, again.err) == (2, f"pretrace: {tmp_path / 'bert'}: is not empty; name a new folder\n")


def test_only_a_model_can_be_exported(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    corpus = shop.make("corpus")
    arguments = ("export", corpus.key, tmp_path / "bert", "--store", shop.store.root)
    said = pretrace(*arguments)
    assert (said.code, said.err) == (2, f"pretrace: corpus/{corpus.key}: is not a model; models are not made yet\n")
    model = shop.make("tokenizer") and shop.pretend("pretrain", WEIGHTS, FACTS)
    assert pretrace(*arguments).err.endswith(f"is not a model; models are pretrain/{model.key}\n")
    assert not (tmp_path / "bert").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    model = shop.pretend("pretrain", WEIGHTS, FACTS)
    (tmp_path / "file").write_text("")
    said = pretrace("export", model.key, tmp_path / "file", "--store", shop.store.root)
    assert (said.code, said.err) == (
        2,
        f"pretrace: {tmp_path / 'file'}: cannot be written (Not a directory); name a new folder\n",
    )


def test_a_run_that_finds_everything_made_tells_so_and_starts_nothing(pretrace: Command, shop: Shop) -> None:
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    model = shop.pretend("pretrain", WEIGHTS, FACTS)
    said = pretrace("run", shop.config)
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines()]
    assert [row[:2] for row in rows if "cached" in row] == [
        [name, "cached"] for name in ("corpus", "tokenizer", "examples-32", "pretrain")
    ]
    assert (
        "held-out MLM loss 3.000 nats (perplexity 20.1), below the corpus's unigram entropy of 5.500 nats" in said.out
    )
    assert f'pretrace fill {model.key} "Paris is the [MASK] of France."' in said.out
    assert {"ray", "mlflow", "prefect", "torch", "deepspeed"}.isdisjoint(loaded_by("run", shop.config))


def test_a_run_can_stop_after_a_stage(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    said = pretrace("run", shop.config, "--until", "corpus")
    assert said.code == 0
    assert "corpus" in said.out
    assert "tokenizer" not in said.out
    nope = pretrace("run", shop.config, "--until", "nope")
    assert (nope.code, nope.err) == (
        2,
        "pretrace: --until nope: is not a stage of this plan; it has corpus, tokenizer, examples-32, pretrain\n",
    )


def test_a_store_of_another_version_is_refused_by_every_command(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    note = shop.store.root / "store.json"
    note.write_text(note.read_text().replace("1", "99"))
    assert read_json(note) == {"format": 99}
    store = ("--store", shop.store.root)
    for arguments in (
        ("run", shop.config),
        ("plan", shop.config),
        ("why", "corpus", shop.config),
        ("show", *store),
        ("export", "abc", tmp_path / "out", *store),
        ("trace", "abc", *store),
        ("fill", "abc", "a [MASK]", *store),
    ):
        said = pretrace(*arguments)
        assert said.code == 2
        assert "has format 99 and this version reads format 1" in said.err
