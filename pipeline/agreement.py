"""Settings of training that must agree with each other; each function lists what does not, as sentences to a user."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.objectives import OBJECTIVES
from pipeline.tasks import TASKS
from pipeline.text.cleaning.language import LANGUAGES
from pipeline.training.combinations import SETTINGS, Choice, refusals

if TYPE_CHECKING:
    from pipeline.config import PhaseConfig, Recipe
    from pipeline.running import Run


def odd_heads(recipe: "Recipe") -> list[str]:
    """Check that the width is dealt to heads evenly."""
    shape = recipe.model.shape(recipe.tokenizer.vocab_size)
    sizes = f"recipe.model.width={shape.width}", f"recipe.model.heads={shape.heads}"
    if shape.width % shape.heads:
        return [f"{sizes[0]} is not a multiple of {sizes[1]}; change one of them"]
    if shape.architecture == "modern" and shape.head_width % 2:
        return [f"{sizes[0]} with {sizes[1]} makes odd heads, which rotary positions cannot turn; change one of them"]
    return []


def odd_objectives(recipe: "Recipe") -> list[str]:
    """Check that the objectives can be learned together, by this model."""
    chosen = recipe.examples.objectives
    pairing = [name for name in chosen if OBJECTIVES[name].pairs]
    if len(pairing) > 1:
        return [f"recipe.examples.objectives: {' and '.join(pairing)} both make pairs of segments; keep one of them"]
    if pairing and recipe.model.architecture != "bert":
        return [
            f"recipe.examples.objectives: {pairing[0]} tells pairs by their segments, which "
            f"recipe.model.architecture={recipe.model.architecture} has not; leave it out or take bert"
        ]
    if len(set(chosen)) < len(chosen):
        return [f"recipe.examples.objectives={list(chosen)} names one twice; keep it once"]
    if recipe.masking.mode == "dynamic" and recipe.masking.duplicates > 1:
        return ["recipe.masking.duplicates is for static masks; set recipe.masking.mode=static or leave it out"]
    return []


def odd_schedule(recipe: "Recipe") -> Iterator[str]:
    """Check the learning rate's schedule against the steps that there are."""
    pretrain, steps = recipe.pretrain, sum(phase.steps for phase in recipe.phases)
    if pretrain.decay_steps is None:
        return
    given = f"recipe.pretrain.decay_steps={pretrain.decay_steps}"
    if pretrain.schedule != "wsd":
        yield f"{given} is for recipe.pretrain.schedule=wsd, not {pretrain.schedule}; leave it out or choose that"
    elif pretrain.warmup(steps) + pretrain.decay_steps > steps:
        yield (
            f"{given} and recipe.pretrain.warmup_steps={pretrain.warmup(steps)} exceed the {steps} steps of "
            "recipe.phases; lower one of them"
        )


def odd_batches(recipe: "Recipe") -> Iterator[str]:
    """Check how the batches of each phase grow."""
    for at, phase in enumerate(recipe.phases):
        if (problem := _odd_growth(phase)) is not None:
            yield f"recipe.phases.{at}.{problem}"


def _odd_growth(phase: "PhaseConfig") -> str | None:
    first, warmup = phase.first_batch, phase.batch_warmup_steps
    if first is None:
        return f"batch_warmup_steps={warmup} needs first_batch: the sequences of the first step" if warmup else None
    if not warmup:
        return f"first_batch={first} needs batch_warmup_steps: in how many steps it grows to global_batch"
    if first > phase.global_batch:
        return f"first_batch={first} exceeds global_batch={phase.global_batch}; a batch can only grow"
    if warmup > phase.steps:
        return f"batch_warmup_steps={warmup} exceeds steps={phase.steps}; lower the former"
    return None


def odd_running(recipe: "Recipe", run: "Run") -> Iterator[str]:
    """Check how to run against what is run."""
    for at, phase in enumerate(recipe.phases):
        for name in ("global_batch", "first_batch"):
            size = getattr(phase, name)
            if size is not None and size < run.ranks:
                yield (
                    f"recipe.phases.{at}.{name}={size} is below run.ranks={run.ranks}; "
                    "every rank needs a sequence: raise the former or lower the latter"
                )
    chosen = recipe.pretrain
    yield from refusals(
        Choice(chosen.optimizer, chosen.precision, run.zero_stage, run.offload, run.device), called=SETTINGS
    )
    if run.min_ranks is not None and run.min_ranks > run.ranks:
        yield f"run.min_ranks={run.min_ranks} exceeds run.ranks={run.ranks}; raise the latter or lower the former"
    if run.compile and run.zero_stage == 3:
        yield "run.compile=true with run.zero_stage=3: weights come and go there, and torch compiles without end; use 0, 1 or 2"
    if run.attention == "varlen" and run.device == "cpu":
        yield "run.attention=varlen with run.device=cpu: torch has no kernel of it there; take auto or padded"
    if run.attention == "varlen" and run.device != "cpu" and chosen.precision == "float32":
        yield (
            "run.attention=varlen with recipe.pretrain.precision=float32: its kernels take 16 bits; "
            "take bf16 or fp16, or run.attention=auto"
        )


def odd_columns(recipe: "Recipe") -> Iterator[str]:
    """Check that columns are named where a task asks for them."""
    for at, task in enumerate(recipe.finetune):
        for name in ("text_column", "second_column", "label_column"):
            default = type(task).model_fields[name].default
            if TASKS[task.task].named is None and getattr(task, name) != default:
                yield (
                    f"recipe.finetune.{at}.{name}={getattr(task, name)}: the task {task.task} knows its columns; leave it "
                    f"out, or take the task table"
                )


def odd_sweeps(recipe: "Recipe") -> Iterator[str]:
    """Check that a sweep tries nothing twice."""
    for at, task in enumerate(recipe.finetune):
        for name in ("batch", "learning_rate", "epochs"):
            tried = getattr(task.sweep, name)
            if len(set(tried)) < len(tried):
                yield f"recipe.finetune.{at}.sweep.{name}={list(tried)} names one twice; keep it once"


def odd_unfreezing(recipe: "Recipe") -> Iterator[str]:
    """Check that there is an epoch for the head alone and one for the layers."""
    for at, task in enumerate(recipe.finetune):
        if task.trained == "gradual" and 1 in (task.sweep.epochs or (task.epochs,)):
            setting = "sweep.epochs" if task.sweep.epochs else "epochs"
            yield (
                f"recipe.finetune.{at}.trained=gradual with 1 epoch in {setting}: the head learns alone in the first, so "
                "no layer would learn; give two or more, or take all or head"
            )


def odd_language(recipe: "Recipe") -> Iterator[str]:
    """Check that the step that tells languages knows the corpus's."""
    language = recipe.corpus.language
    if "language" in recipe.corpus.cleaning.steps and language not in LANGUAGES:
        yield (
            f"recipe.corpus.language={language}: the cleaning step `language` cannot tell it from others; it knows "
            f"{', '.join(sorted(LANGUAGES))}. Name one of these, or leave the step out"
        )


def odd_bands(recipe: "Recipe") -> Iterator[str]:
    """Check that signatures can be cut into bands."""
    near = recipe.corpus.near_duplicates
    if near.permutations % near.bands:
        yield (
            f"recipe.corpus.near_duplicates.permutations={near.permutations} is not a multiple of "
            f"recipe.corpus.near_duplicates.bands={near.bands}; change one of them"
        )
