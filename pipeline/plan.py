"""The whole pipeline on one screen. Building a plan runs nothing: it only says what depends on what."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipeline.config import (
    SCRATCH,
    ExamplesSlice,
    FinetuneConfig,
    FinetuneSlice,
    PretrainSlice,
    Recipe,
    SweepSlice,
)
from pipeline.core.stage import Stage, Step
from pipeline.outside import Describe, corpus_files, task_files, tokenizer_files
from pipeline.stages.corpus import corpus
from pipeline.stages.examples import examples
from pipeline.stages.finetune import finetune
from pipeline.stages.pretrain import pretrain
from pipeline.stages.sweep import sweep
from pipeline.stages.tokenizer import tokenizer
from pipeline.starts import Find, Starts, last_part, no_store
from pipeline.trials import SweepConfig

Steps = Mapping[str, Step]
"""By role."""
TRIED = ("batch", "learning_rate", "epochs")
"""Settings of a task of which a sweep tries several values."""


def plan(recipe: Recipe, describe: Describe, find: Find = no_store) -> list[Step]:
    """List the steps that make what a recipe asks for, each after those it needs.

        text files -> corpus -> tokenizer
                         |          |
                         +-> examples (one for each sequence length) -> pretrain -> finetune (one for each task)

    A task with more than one trial has a sweep in place of its finetune.
    Pretraining and tasks may go on from a model that is there (`init`): `find` gives it by key, a folder is adopted. What
    nothing needs is left out: where every task starts elsewhere, there is no pretraining.

    Raises: ConfigError if a source or task names no files, or `init` no model.
    """
    starts, begins = Starts(describe, find), {task.init for task in recipe.finetune} or {""}
    data = _data(recipe, describe, starts) if begins & {"", SCRATCH} else {}
    own = {"pretrain": _model(recipe, data, starts)} if "" in begins else {}
    tasks = []
    for at, task in enumerate(recipe.finetune):
        start = {"": {**own, **_vocabulary(data)}, SCRATCH: _vocabulary(data)}
        inputs = start[task.init] if task.init in start else starts.at(f"recipe.finetune.{at}.init", task.init)
        stage, config = _tuning(recipe, task)
        tasks.append(Step(stage, config, inputs, task_files(at, task, describe), variant=_name(task)))
    return _told_apart(_with_needed([*own.values(), *tasks]).values())


def _data(recipe: Recipe, describe: Describe, starts: Starts) -> Steps:
    documents = Step(corpus, recipe.corpus, sources=corpus_files(recipe, describe))
    if recipe.pretrain.init:
        return {"corpus": documents, **_vocabulary(starts.at("recipe.pretrain.init", recipe.pretrain.init))}
    vocabulary = Step(tokenizer, recipe.tokenizer, {"corpus": documents}, tokenizer_files(recipe, describe))
    return {"corpus": documents, "tokenizer": vocabulary}


def _model(recipe: Recipe, data: Steps, starts: Starts) -> Step:
    lengths = sorted({phase.sequence_length for phase in recipe.phases})
    made = {length: Step(examples, _examples(recipe, length), data, variant=str(length)) for length in lengths}
    fed = {f"examples-{length}": step for length, step in made.items()}
    base = recipe.pretrain.init
    begin = {"init": starts.at("recipe.pretrain.init", base)["pretrain"]} if base else {}
    return Step(pretrain, _pretrain(recipe), {**fed, **_vocabulary(data), **begin})


def _vocabulary(steps: Steps) -> Steps:
    return {role: step for role, step in steps.items() if role == "tokenizer"}


def _with_needed(steps: Iterable[Step]) -> dict[str, Step]:
    """Give steps by key, each after those it needs."""
    found: dict[str, Step] = {}
    for step in steps:
        found |= _with_needed(step.inputs.values()) | {step.key: step}
    return found


def _told_apart(steps: Iterable[Step]) -> list[Step]:
    """Name by their keys those that would be called the same: one task over two files, or with two learning rates."""
    found = list(steps)
    counts = Counter(step.name for step in found)
    return [
        replace(step, variant=f"{step.variant}-{step.key[:6]}") if counts[step.name] > 1 else step for step in found
    ]


def _name(task: FinetuneConfig) -> str:
    """Tell tasks from others that start elsewhere."""
    return f"{task.task}-{last_part(task.init)}" if task.init else task.task


def _examples(recipe: Recipe, length: int) -> ExamplesSlice:
    static = recipe.masking if recipe.masking.mode == "static" else None
    return ExamplesSlice(**dict(recipe.examples), seed=recipe.seed, sequence_length=length, static=static)


def _pretrain(recipe: Recipe) -> PretrainSlice:
    return PretrainSlice(
        **dict(recipe.pretrain),
        seed=recipe.seed,
        objectives=recipe.examples.objectives,
        masking=recipe.masking,
        model=None if recipe.pretrain.init else recipe.model,
        phases=recipe.phases,
    )


def _tuning(recipe: Recipe, task: FinetuneConfig) -> tuple[Stage, FinetuneSlice]:
    """Choose the stage of a task, and give its slice: where there are lists, their first values are the task's own."""
    tried = {name: getattr(task.sweep, name) or (getattr(task, name),) for name in TRIED}
    settings = {name: value for name, value in task if name != "sweep"} | {name: tried[name][0] for name in TRIED}
    settings |= {"seed": recipe.seed, "model": recipe.model if task.init == SCRATCH else None}
    if task.sweep.trials == 1:
        return finetune, FinetuneSlice(**settings)
    return sweep, SweepSlice(**settings, sweep=SweepConfig(**tried, seeds=task.sweep.seeds))
