"""What the record shows of a whole flow run: the page of its lineage, what its models reached, the model to be served."""

import fcntl
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.comparison import COLUMNS, compared
from flows.export import LINEAGE, WEIGHTS, files_of, model_files, vocabulary_of
from flows.outcome import Outcome
from pipeline.core.errors import PretraceError
from pipeline.core.files import json_text
from pipeline.core.store import Artifact, Store
from pipeline.core.tracking import ALIAS, Candidate, MlflowRecorder, Rows, reason_of, trouble, without_passwords
from pipeline.starts import TUNED

if TYPE_CHECKING:
    from pipeline.estimate import Estimate

LOG = logging.getLogger("pretrace")
PAGE = "lineage.html"
TASKS = "tasks.json"
LOADER = "pipeline.serving"
NEEDED = ("torch", "tokenizers", "safetensors", "numpy", "mlflow")
"""What serving a model imports besides this package."""
FILLS = "mlm"
"""The objective whose head fills a [MASK]."""
COUNTRY = "USA"
"""Whose electricity is meant where a manifest names none: the default of `run.country`."""
REACHED = ("held_out_mlm_loss", "held_out_mlm_perplexity")
NAMED = re.compile(r"[^A-Za-z0-9._-]+")


def record(
    recorder: MlflowRecorder, store: Store, outcomes: Sequence[Outcome], estimates: Mapping[str, "Estimate"]
) -> None:
    """Put the page of the lineage and what the models reached on the parent run, and register the pretrained model.

    Nothing fails for it: what cannot be recorded is told in a warning, and the next run records it.
    """
    for name, one in estimates.items():
        cost = {"duration_s": one.seconds, "energy_kwh": one.energy_kwh, "emissions_kg": one.emissions_kg}
        recorder.expect(name, cost)
    expected: tuple[type[Exception], ...] = (*trouble(), PretraceError)
    for part in (_show, _compare, _reach, _register) if outcomes else ():
        try:
            part(recorder, store, outcomes)
        except expected as error:
            LOG.warning("not recorded, the next run does it: %s", reason_of(error))
        except Exception:  # what was made is made; a page that cannot be drawn takes nothing from it
            LOG.exception("not recorded, by a mistake of this program")


def candidate(store: Store, artifact: Artifact, recipe: str, uri: str) -> Candidate:
    """Describe a pretrained model as one that MLflow can serve: the files that an export would write.

    Raises: ConfigError if its tokenizer is not there.
    """
    from pipeline.serving import EXAMPLE, SIGNATURE

    name = registered_name(recipe)
    weights, vocabulary = model_files(store, artifact)
    tokenizer = vocabulary_of(store, artifact)
    files = [file.name for file in files_of(artifact.manifest, tokenizer.manifest)]
    return Candidate(
        name=name,
        artifact=artifact,
        files={file: (weights if file in WEIGHTS else vocabulary) / file for file in files},
        texts={LINEAGE: json_text({"artifact": f"{artifact.label}/{artifact.key}"})},
        loader=LOADER,
        signature=SIGNATURE,
        example=EXAMPLE,
        requirements=_requirements(artifact),
        description=_description(artifact, name, uri),
    )


def registered_name(recipe: str) -> str:
    """Write a recipe's name as MLflow takes it for a model: letters, digits, `.`, `_` and `-`."""
    return NAMED.sub("-", recipe).strip("-") or "model"


def _show(recorder: MlflowRecorder, store: Store, outcomes: Sequence[Outcome]) -> None:
    from flows.page import lineage_page

    artifacts = [outcome.artifact for outcome in outcomes]
    country = artifacts[-1].manifest["made"].get("country", COUNTRY)
    recorder.page(PAGE, lineage_page(store, artifacts, country))


def _compare(recorder: MlflowRecorder, store: Store, outcomes: Sequence[Outcome]) -> None:
    """Put beside each other what tasks reached from pretrained weights and from random ones."""
    if rows := compared(outcomes):
        about = "a row a task, from pretrained weights and from random ones"
        recorder.table(TASKS, about, Rows(COLUMNS, [row.cells for row in rows]))


def _reach(recorder: MlflowRecorder, store: Store, outcomes: Sequence[Outcome]) -> None:
    """Put on the parent what makes a list of runs worth reading: what the models reached, and what they cost in all."""
    values: dict[str, float] = {}
    for outcome in _wanted(outcomes):
        facts = outcome.artifact.manifest["facts"]
        if outcome.artifact.label == "pretrain":
            values |= {name: facts[name] for name in REACHED if name in facts}
            values |= _totals(outcome.artifact)
        if outcome.artifact.label in TUNED:
            task = NAMED.sub("-", outcome.name.partition("-")[2])  # the start too: a task may be tuned from several
            values |= {f"{task}.{metric}": value for metric, value in facts["dev"].items()}
    recorder.figures(values)
    recorder.columns(REACHED[:1])


def _wanted(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """Pass over models of other runs that this one only begins from."""
    return (outcome for outcome in outcomes if not outcome.is_start)


def _totals(artifact: Artifact) -> dict[str, float]:
    made: dict[str, Any] = artifact.manifest["made"]
    return {name: float(value) for name, value in made.items() if name.endswith("_total")}


def _register(recorder: MlflowRecorder, store: Store, outcomes: Sequence[Outcome]) -> None:
    for outcome in _wanted(outcomes):
        artifact = outcome.artifact
        if artifact.label == "pretrain" and FILLS in artifact.manifest["config"]["objectives"]:
            model = candidate(store, artifact, recorder.experiment, recorder.uri)
            with _turn(store.root / "locks" / f"register-{model.name}"):
                recorder.register(model)


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Wait until nobody else registers a model of this name: two runs at once would make two versions of one model."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # freed by kill -9
        yield


def _requirements(artifact: Artifact) -> list[str]:
    known = artifact.manifest["made"].get("packages", {})
    return [f"{name}=={known[name]}" if name in known else name for name in ("pretrace", *NEEDED)]


def _description(artifact: Artifact, name: str, uri: str) -> str:
    digest = artifact.manifest["digest"]
    return f"""\
The pretrained model `{artifact.label}/{artifact.key}`; the source run above made it, and links on to the runs that made its data.

Check that it is made of what it says, down to the source files:

    pretrace audit {artifact.key}
    pretrace audit models:/{name}@{ALIAS} --tracking-uri {without_passwords(uri)}

Its manifest's sha256 is `{digest}`.

Serve it, and ask it:

    MLFLOW_TRACKING_URI={without_passwords(uri)} mlflow models serve -m models:/{name}@{ALIAS} --env-manager local -p 5001
    curl localhost:5001/invocations -H 'Content-Type: application/json' \\
      -d '{{"dataframe_records": [{{"text": "Paris is the [MASK] of France."}}]}}'
"""
