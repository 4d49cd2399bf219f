"""The whole pipeline on one screen. Building a plan runs nothing: it only says what depends on what."""

from pipeline.config import ExamplesSlice, FinetuneConfig, FinetuneSlice, PretrainSlice, Recipe
from pipeline.core.stage import Step
from pipeline.outside import Describe, corpus_files, task_files, tokenizer_files
from pipeline.stages.corpus import corpus
from pipeline.stages.examples import examples
from pipeline.stages.finetune import finetune
from pipeline.stages.pretrain import pretrain
from pipeline.stages.tokenizer import tokenizer


def plan(recipe: Recipe, describe: Describe) -> list[Step]:
    """List the steps that make what a recipe asks for, each after those it needs.

        text files -> corpus -> tokenizer
                         |          |
                         +-> examples (one for each sequence length) -> pretrain -> finetune (one for each task)

    Raises: ConfigError if a source or task names no files.
    """
    documents = Step(corpus, recipe.corpus, sources=corpus_files(recipe, describe))
    vocabulary = Step(tokenizer, recipe.tokenizer, {"corpus": documents}, tokenizer_files(recipe, describe))
    data = {"corpus": documents, "tokenizer": vocabulary}

    lengths = sorted({phase.sequence_length for phase in recipe.phases})
    made = {length: Step(examples, _examples(recipe, length), data, variant=str(length)) for length in lengths}

    fed = {f"examples-{length}": step for length, step in made.items()}
    model = Step(pretrain, _pretrain(recipe), {**fed, "tokenizer": vocabulary})

    start = {"pretrain": model, "tokenizer": vocabulary}
    tasks = [
        Step(finetune, _finetune(recipe, task), start, task_files(at, task, describe), variant=task.task)
        for at, task in enumerate(recipe.finetune)
    ]
    return [documents, vocabulary, *made.values(), model, *tasks]


def _examples(recipe: Recipe, length: int) -> ExamplesSlice:
    static = recipe.masking if recipe.masking.mode == "static" else None
    return ExamplesSlice(**dict(recipe.examples), seed=recipe.seed, sequence_length=length, static=static)


def _pretrain(recipe: Recipe) -> PretrainSlice:
    return PretrainSlice(
        **dict(recipe.pretrain),
        seed=recipe.seed,
        objectives=recipe.examples.objectives,
        masking=recipe.masking,
        model=recipe.model,
        phases=recipe.phases,
    )


def _finetune(recipe: Recipe, task: FinetuneConfig) -> FinetuneSlice:
    return FinetuneSlice(**dict(task), seed=recipe.seed)
