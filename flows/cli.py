"""The command line. Settings are given as CONFIG files and `a.b=c` overrides; nothing heavy is loaded to print help."""

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.core.errors import PretraceError, StoreError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.core.stage import Step
    from pipeline.core.store import Store

UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
CONFIG_HELP = """
CONFIG... are YAML files, laid over the defaults from left to right, and overrides such as
recipe.seed=7 or recipe.corpus.sources.0.path=/data/enwiki.xml.bz2, which come last.
"""
store_option = click.option(
    "--store", "root", default="store", show_default=True, help="The folder that holds the artifacts (run.store)."
)
settings = click.argument("config", nargs=-1, required=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pretrace")
def pretrace() -> None:
    """Pretrain BERT-style encoders on your own text, and prove afterwards what went into the model.

    \b
    Try it:
      pretrace plan configs/tiny.yaml            what would run, and what is there already
      pretrace run  configs/tiny.yaml            make everything that is missing
      pretrace run  configs/tiny.yaml recipe.corpus.sources.0.path=/data/enwiki.xml.bz2

    The same `run` again resumes what was interrupted and skips what is made.
    Exit codes: 0 done, 2 a mistake in the settings, 3 bad data, 4 a failed audit, 5 workers died, 75 interrupted (run
    it again), 1 anything else.
    """


@pretrace.command(epilog=CONFIG_HELP)
@settings
@click.option(
    "--until", metavar="STAGE", help="Stop after this stage: corpus, tokenizer, examples, pretrain or finetune."
)
def run(config: tuple[str, ...], until: str | None) -> None:
    """Make everything that is missing, and nothing twice."""
    from flows.running import run_config

    run_config(_load(config), until)


@pretrace.command(epilog=CONFIG_HELP)
@settings
def plan(config: tuple[str, ...]) -> None:
    """Show what would run and what is there, and estimate time, energy, CO2 and disk; runs nothing."""
    from flows.showing import show_plan

    tree = _load(config)
    store = _store(tree.run.store)
    show_plan(_steps(tree, store), store, tree.run)


@pretrace.command()
@store_option
@click.option("--port-base", default=4200, show_default=True, help="Prefect's port; MLflow takes the next one.")
@click.option(
    "--postgres",
    metavar="URL",
    envvar="PRETRACE_POSTGRES",
    help="A database for both servers, postgresql://USER:PASSWORD@HOST/NAME, or PRETRACE_POSTGRES; else files in the store.",
)
def up(root: str, port_base: int, postgres: str | None) -> None:
    """Open the control room: Prefect's page, MLflow's page and a worker, until Ctrl-C or SIGTERM.

    Start, watch, cancel and retry runs on Prefect's page; docs/control-room.md says how. Whoever can reach these pages
    can run what the deployments run; they listen on this machine only.
    """
    from flows.serve import up as open_room

    open_room(Path(root), port_base, postgres)


@pretrace.command()
@click.argument("what", required=False)
@click.option("--keys", is_flag=True, help="Only the keys, oldest first: for scripts.")
@store_option
def show(what: str | None, keys: bool, root: str) -> None:
    """List the artifacts, those of one LABEL, or all that is known of one KEY."""
    from flows.showing import show_artifact, show_artifacts

    store = _store(root)
    if keys:
        for artifact in store.all(what or "*"):
            click.echo(artifact.key)
    elif what is None or any(artifact.label == what for artifact in store.all()):
        show_artifacts(store, what)
    else:
        show_artifact(store, store.get(what))


@pretrace.command(epilog=CONFIG_HELP)
@click.argument("label")
@settings
def why(label: str, config: tuple[str, ...]) -> None:
    """Say why the stage LABEL would be made again: in what its recipe differs from the nearest one made."""
    from flows.showing import show_why

    tree = _load(config)
    store = _store(tree.run.store)
    show_why(label, _steps(tree, store), store)


@pretrace.command()
@click.argument("key")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--license", "license_id", metavar="ID", help="The licence you give it, as the model card names it: apache-2.0."
)
@store_option
def export(key: str, folder: Path, license_id: str | None, root: str) -> None:
    """Write the model KEY as a Hugging Face folder: weights, config, tokenizer, and what there is to tell of it.

    README.md is its model card, TRAINING_DATA.md a summary of what it was trained on; both are written from the manifests
    of its lineage, and `pretrace audit FOLDER` proves them with the rest.
    """
    from flows.export import export_model

    store = _store(root)
    names = export_model(store, store.get(key), folder, license_id)
    click.echo(f"{folder}: {', '.join(names)}")
    click.echo(f"load it with transformers.AutoModel.from_pretrained({str(folder)!r})")


@pretrace.command()
@click.argument("key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@store_option
def lineage(key: str, file: Path, root: str) -> None:
    """Write the lineage of the artifact KEY as one HTML page: the graph, curves, sources and costs.

    The page holds all that it shows and loads nothing; a browser opens it from wherever it lies. The record in MLflow
    has it as `lineage.html` on every parent run.
    """
    from flows.page import write_page

    store = _store(root)
    write_page(store, store.get(key), file)
    click.echo(f"{file}: open it in a browser")


@pretrace.command()
@click.argument("what")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    help="Where models:/NAME is registered; MLFLOW_TRACKING_URI, else the record in the store.",
)
@store_option
def audit(what: str, as_json: bool, tracking_uri: str | None, root: str) -> None:
    """Prove what the artifact, exported folder or registered model WHAT was made of.

    Every file of it and of all that it was made from is hashed again, down to the files from outside, and every
    manifest is checked. What is missing, changed or extra is named (hidden files are not looked at). Exit code 0 when
    all is proved, 4 otherwise.

    \b
      pretrace audit 968d2dc1321c          an artifact, by its key or the beginning of it
      pretrace audit my-bert               a folder that `pretrace export` wrote
      pretrace audit models:/tiny@candidate    a model registered in MLflow; models:/tiny/3 for its version 3
    """
    from flows.auditing import audit_and_tell

    audit_and_tell(_store(root), what, as_json=as_json, tracking_uri=tracking_uri)


@pretrace.command()
@click.argument("wanted", metavar="TEXT|TITLE|URL|ID")
@click.option("--model", metavar="KEY", help="Only this model; without it, all models of the store.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was found as JSON.")
@store_option
def trace(wanted: str, model: str | None, as_json: bool, root: str) -> None:
    """Say what became of a document: its file, shard and row, the examples made of it, the steps that saw them.

    It is named by its id, its url, its title, or words that stand in its text, case and all; what fits first in this
    order counts. Steps and epochs count from 1; a step is a row of the model's curve.

    \b
      pretrace trace "Hume Highway"                              whatever holds these words, in every model
      pretrace trace https://en.wikipedia.org/wiki/Walnut --model 968d2dc1321c
      pretrace trace 01a2def7ee48481a5d631e5baf6a999a --json     all of it, for programs
    """
    from flows.tracing import trace_and_tell

    trace_and_tell(_store(root), wanted, model, as_json=as_json)


@pretrace.command()
@click.argument("key")
@click.argument("text")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many answers.")
@store_option
def fill(key: str, text: str, top: int, root: str) -> None:
    """Let the model KEY fill in each [MASK] of TEXT."""
    from flows.export import model_files
    from pipeline.model.fill import fill_masks

    store = _store(root)
    weights, vocabulary = model_files(store, store.get(key))
    for answers in fill_masks(weights, vocabulary, text, top):
        click.echo("  ".join(f"{answer.piece} {answer.probability:.1%}" for answer in answers))


@pretrace.command()
@click.argument("key")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default="features.parquet", show_default=True)
@click.option(
    "--token-layers", type=click.IntRange(0), default=0, metavar="N",
    help="Also the activations of the last N layers of each token.",
)  # fmt: skip
@store_option
def embed(key: str, file: Path, out: Path, token_layers: int, root: str) -> None:
    """Write what the model KEY makes of each line of FILE: a vector of the sentence, and one of each layer."""
    from flows.embedding import embed_file

    store = _store(root)
    rows = embed_file(store, store.get(key), file, out, token_layers)
    click.echo(f"{out}: {rows} rows")


@pretrace.command()
@store_option
def gc(root: str) -> None:
    """Free the disk of finished pieces that no artifact holds.

    Pieces are what stages are put together from; those of a run that was interrupted are among them, and the next
    run makes them again. Refused while anything is being made in the store.
    """
    from flows.clearing import clear
    from flows.showing import size

    click.echo(f"freed {size(clear(_store(root)))} of pieces that no artifact holds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a mistake a user can mend is one sentence and an exit code."""
    try:
        pretrace.main(args=arguments, standalone_mode=False)
    except PretraceError as error:
        _end(f"pretrace: {error}", error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _end(f"pretrace: {error.filename}: cannot be written ({error.strerror})", StoreError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end("pretrace: stopped; the same command goes on from here", 130)


def _end(sentence: str, code: int) -> None:
    click.echo(sentence, err=True)
    sys.exit(code)


def _load(config: Sequence[str]) -> "PipelineConfig":
    from pipeline.config import load

    overrides = [part for part in config if _is_override(part)]
    return load([Path(part) for part in config if part not in overrides], overrides)


def _is_override(part: str) -> bool:
    return "=" in part and not Path(part).exists()


def _store(root: str) -> "Store":
    from pipeline.core.store import Store

    return Store(Path(root).absolute()).check()


def _steps(tree: "PipelineConfig", store: "Store") -> "list[Step]":
    from flows.planning import plan_in

    return plan_in(store, tree.recipe)
