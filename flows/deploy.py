"""What Prefect's page offers: a deployment for the whole pipeline, one for each part of it, and the audit.

The form is drawn from the config tree. What comes from it is laid over a file of `configs/` and checked as the command
line does, so a mistake ends the run before anything is done, with the same sentence.
"""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.deployments.runner import RunnerDeployment
from prefect.runtime import flow_run
from prefect.types.entrypoint import EntrypointType
from pydantic import Field

from cluster.services import LIBC, PR_SET_PDEATHSIG
from flows.evidence import audit_shown
from flows.pretraining import Ended, carry_out
from flows.sentences import told_in_sentences
from flows.serve import STORE
from flows.sweeping import sign
from pipeline.config import PipelineConfig, Recipe
from pipeline.core.errors import ConfigError
from pipeline.core.layers import read_tree, validated
from pipeline.running import Run

P = ParamSpec("P")
R = TypeVar("R")

WORKER = "PRETRACE_WORKER"
"""In the environment of what the worker starts: its process."""
RECIPE, RUN = Recipe(), Run()


def configs_folder() -> Path:
    """Find the folder whose files can be a base: `configs` where `pretrace up` was started, else that of the checkout."""
    here = Path("configs")
    return here if here.is_dir() else Path(__file__).resolve().parents[1] / "configs"


def bases() -> list[str]:
    """List what the form offers as a base; the first one, nothing, stands for the defaults that the form shows."""
    return ["", *sorted(path.name for path in configs_folder().glob("*.yaml"))]


Base = Annotated[str, Field(json_schema_extra={"enum": [*bases()]})]
"""A field of the form: its choices are the files there were when the worker started."""


class Form(Flow[P, R]):
    """A flow whose parameters are what a person filled in."""

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Give the checked settings.

        Raises: ConfigError saying the first mistake.
        """
        config = filled_in(parameters)
        return {"recipe": config.recipe, "run": config.run}


def filled_in(form: Mapping[str, Any]) -> PipelineConfig:
    """Lay what was filled in over its base.

    Prefect's page sends some of the fields that nobody touched, with their defaults, and leaves out others. So a value
    that is the default counts as untouched, and the base's is taken.

    Raises: ConfigError saying the first mistake.
    """
    tree = {name: value for name, value in form.items() if name != "base"}
    defaults = PipelineConfig().model_dump(mode="json")
    below = read_tree(defaults, _files_of(form.get("base") or ""), [])
    plain = {
        name: value.model_dump(mode="json") if isinstance(value, Recipe | Run) else value
        for name, value in tree.items()
    }
    config = validated(PipelineConfig, _laid_over(below, plain, defaults))
    store = os.environ.get(STORE)
    if store and config.run.store == defaults["run"]["store"]:
        config = config.model_copy(update={"run": config.run.model_copy(update={"store": store})})
    return config


def _files_of(base: Any) -> list[Path]:
    if base not in bases():
        raise ConfigError(f"base={base}: is no file of {configs_folder()}; there are {', '.join(bases()[1:])}")
    return [configs_folder() / base] if base else []


def _laid_over(below: Mapping[str, Any], form: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in form.items():
        under = below.get(name)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            merged[name] = _laid_over(under, value, defaults.get(name) or {})
        elif name not in defaults or value != defaults[name]:
            merged[name] = value
    return merged


def name_of_run() -> str:
    """Put the recipe's name before the one that Prefect or a person gave."""
    name, recipe = str(flow_run.name), str(flow_run.parameters["recipe"].name)
    return name if name.startswith(recipe) else f"{recipe} {name}"


FIELDS = """
Args:
    base: A file of settings in configs/. What is left at its default in the form is taken from it.
    recipe: What is made. Everything here names the artifacts.
    run: How and where; nothing here changes what is made.
"""


def _offered(make: Callable[P, R]) -> Form[P, R]:
    """Make a flow for the page of a function that takes a recipe, a run and a base."""
    make.__doc__ = f"{make.__doc__}\n{FIELDS}"
    return Form(make, name=make.__name__, flow_run_name=name_of_run, persist_result=False, on_running=[sign])


@_offered
def pretraining(base: Base = "", recipe: Recipe = RECIPE, run: Run = RUN) -> Ended:
    """Make everything that is missing: corpus, tokenizer, examples, the pretrained model, its fine-tuned tasks."""
    return _make(recipe, run)


@_offered
def data(base: Base = "", recipe: Recipe = RECIPE, run: Run = RUN) -> Ended:
    """Make what the model is trained on: the corpus, the tokenizer and the examples."""
    return _make(recipe, run, until="examples")


@_offered
def pretrain(base: Base = "", recipe: Recipe = RECIPE, run: Run = RUN) -> Ended:
    """Make the pretrained model, and first what it is trained on if that is missing."""
    return _make(recipe, run, until="pretrain")


@_offered
def finetune(base: Base = "", recipe: Recipe = RECIPE, run: Run = RUN) -> Ended:
    """Fine-tune the pretrained model on every task of the recipe, and make first what is missing."""
    return _make(recipe, run, until="finetune")


@flow(name="audit", flow_run_name="audit {what}", persist_result=False, on_running=[sign])
def audit(what: str) -> State[None]:
    """Prove what a model or any other artifact was made of: every file of its lineage is hashed again.

    Args:
        what: The artifact's key or the beginning of it, a folder that was exported, or a registered model, as
            models:/NAME@candidate.
    """
    leave_with_worker()
    told_in_sentences()
    root = Path(os.environ.get(STORE, RUN.store)).absolute()
    return audit_shown(root, what, os.environ.get("MLFLOW_TRACKING_URI"))


OFFERED: tuple[Flow[Any, Any], ...] = (pretraining, data, pretrain, finetune, audit)


def mistake_in(name: str | None, parameters: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the parameters of a run of a deployment, in one sentence."""
    try:
        if name == audit.name:
            _require_known(parameters)
        elif name is not None:
            filled_in(parameters)
    except ConfigError as error:
        return str(error)
    return None


def _require_known(parameters: Mapping[str, Any]) -> None:
    unknown = sorted(parameters.keys() - {"what"})
    if unknown:
        raise ConfigError(f"{unknown[0]}: is not a setting of an audit; known is what")
    if not parameters.get("what"):
        raise ConfigError("what: names no artifact; give a key, an exported folder or a registered model")


def deployments() -> list[RunnerDeployment]:
    """Describe what the worker serves, each named as its flow."""
    return [
        RunnerDeployment.from_flow(
            offered,
            name=offered.name,
            description=str(offered.description).partition("\n")[0],
            enforce_parameter_schema=False,  # a mistake is told by our sentence, in the run's state
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for offered in OFFERED
    ]


def _make(recipe: Recipe, run: Run, until: str | None = None) -> Ended:
    leave_with_worker()
    told_in_sentences()
    return carry_out(PipelineConfig(recipe=recipe, run=run), until)


def leave_with_worker() -> None:
    """Have this process asked to end, with a checkpoint, as soon as the worker that started it is gone."""
    worker = os.environ.get(WORKER)
    if worker is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != int(worker):  # it went before it could be watched
        os.kill(os.getpid(), signal.SIGTERM)
