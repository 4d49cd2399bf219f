"""The config tree: one frozen tree with two roots.

`recipe` is *what* is made: it names every artifact. `run` is *how and where*: it never changes a byte of the data and is
never hashed. A YAML file holds either root or both; files are laid over the defaults left to right, `a.b=c` comes last.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.agreement import (
    odd_bands,
    odd_batches,
    odd_columns,
    odd_heads,
    odd_language,
    odd_objectives,
    odd_running,
    odd_schedule,
    odd_sweeps,
    odd_unfreezing,
)
from pipeline.core.layers import read_tree, validated
from pipeline.core.section import OneOf, Place, Section
from pipeline.model.shape import SIZES, Shape
from pipeline.objectives import OBJECTIVES
from pipeline.running import Run
from pipeline.tasks import TASKS
from pipeline.text.cleaning import STEPS
from pipeline.text.sources import SOURCES
from pipeline.text.vocab import ALGORITHMS
from pipeline.trials import SweepConfig

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
WARMUP_STEPS = 10_000
SCRATCH = "scratch"
"""The start that is none: random weights."""


class SourceConfig(Section):
    """Where text comes from."""

    kind: Annotated[str, OneOf(SOURCES)] = "text"
    """The reader: what the files are."""
    path: Place = ""
    """A file, folder or glob; `package:NAME/inner/path` finds a file inside an installed Python package."""
    name: str = ""
    """What documents of this source are called in the lineage; the kind unless given."""
    text_column: str = "text"
    """For jsonl, csv, parquet and huggingface: the column that holds the text."""
    split: str = "train"
    """For huggingface: the split to read."""
    list_items: Literal["sentences", "all", "none"] = "sentences"
    """For wikipedia: which items of lists are kept; `sentences` keeps those that are whole sentences."""
    truncated: Literal["error", "keep"] = "error"
    """What to do with a file that is cut short: stop, or keep the documents before the cut and say so."""


class CleaningConfig(Section):
    """What is mended in documents and which are left out, step by step."""

    steps: tuple[Annotated[str, OneOf(STEPS)], ...] = ("repair", "length")
    """The steps, in order; text is brought to NFC and plain spaces after the last of them in any case."""
    minimum_words: Count = 10
    """For `length`: shorter documents are left out."""
    language_confidence: Fraction = 0.5
    """For `language`: the least probability that a document is in recipe.corpus.language."""


class NearDuplicatesConfig(Section):
    """Documents that are almost the same: of each cluster one is kept.

    Source: Broder 1997, On the resemblance and containment of documents; Lee et al. 2022 for the defaults.
    """

    mode: Literal["keep", "remove"] = "remove"
    """Whether near-duplicates are looked for at all."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The least share of common shingles (Jaccard) that makes two documents near-duplicates."""
    shingle_words: Count = 5
    """Words in a shingle."""
    permutations: Annotated[int, Field(ge=8, le=1024)] = 128
    """Numbers in a signature; more estimate the share better and take longer."""
    bands: Count = 16
    """Into how many bands a signature is cut; documents that agree in one whole band are compared."""


class CorpusConfig(Section):
    """Raw text to clean, deduplicated documents."""

    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)] = (SourceConfig(),)
    """Where the text comes from, in order: of equal documents the first source's is kept."""
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")] = "en"
    """The language whose rules split sentences, as an ISO 639 code of two or three letters, such as en."""
    shards: Annotated[int, Field(ge=1, le=4096)] = 8
    """Into how many files documents are dealt, by a hash of their text."""
    cleaning: CleaningConfig = CleaningConfig()
    near_duplicates: NearDuplicatesConfig = NearDuplicatesConfig()
    exclude: Place = ""
    """A file that lists documents to leave out: an id, a title or a url a line."""
    max_bad_fraction: Fraction = 0.01
    """The stage fails if more than this share of the documents cannot be parsed."""
    document_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A document that takes longer than this to read and clean is skipped, counted and listed."""


class TokenizerConfig(Section):
    """Documents to a vocabulary."""

    algorithm: Annotated[str, OneOf(ALGORITHMS)] = "wordpiece"
    """How the vocabulary is made and used."""
    vocab_size: Annotated[int, Field(ge=300, le=1 << 20)] = 30_522
    """How many pieces, the five special ones included."""
    lowercase: bool = True
    """Fold case and strip accents before splitting, as BERT uncased."""
    path: Place = ""
    """An existing tokenizer to use instead: a Hugging Face folder, a tokenizer.json or a vocab.txt."""


class ExamplesConfig(Section):
    """Documents to training examples."""

    objectives: Annotated[tuple[Annotated[str, OneOf(OBJECTIVES)], ...], Field(min_length=1)] = ("mlm", "nsp")
    """What the model is trained to predict; at most one of them makes pairs of segments."""
    short_probability: Fraction = 0.1
    """How often an example is made shorter than it could be (Devlin et al. 2019, A.2)."""
    held_out_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """The share of documents that are kept for evaluation and never trained on."""
    shards: Annotated[int, Field(ge=1, le=4096)] = 8
    """Into how many files examples are dealt, shuffled and of equal size."""


class MaskingConfig(Section):
    """Which tokens the masked language model has to predict."""

    mode: Literal["dynamic", "static"] = "dynamic"
    """Drawn anew each epoch while training, or once while the examples are made."""
    duplicates: Count = 1
    """With static masks: how many differently masked copies of the corpus are made."""
    unit: Literal["token", "word", "span"] = "token"
    """Mask single tokens, whole words, or runs of words (SpanBERT)."""
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """The share of positions to predict."""


class ModelConfig(Section):
    """The encoder's shape: a named size, any part of which can be overridden."""

    architecture: Literal["bert", "modern"] = "bert"
    """bert: Devlin et al. 2019; modern: pre-norm, rotary positions, GeGLU, no biases (ModernBERT, Warner et al. 2024)."""
    size: Annotated[str, OneOf(SIZES)] = "base"
    """tiny 2x128, mini 4x256, small 4x512, medium 8x512, base 12x768, large 24x1024."""
    layers: Count | None = None
    """Layers, if other than the size's."""
    width: Count | None = None
    """Width, if other than the size's."""
    heads: Count | None = None
    """Attention heads, if other than the size's."""
    max_positions: Count = 512
    """The longest sequence, in tokens."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The share of activations dropped while training."""
    initializer_range: Positive = 0.02
    """The standard deviation of fresh weights; narrow models learn sooner from a larger one."""

    def shape(self, vocab_size: int) -> Shape:
        """Give the encoder's shape for a vocabulary."""
        layers, width, heads = SIZES[self.size]
        return Shape(
            layers=self.layers or layers,
            width=self.width or width,
            heads=self.heads or heads,
            vocab_size=vocab_size,
            max_positions=self.max_positions,
            dropout=self.dropout,
            initializer_range=self.initializer_range,
            architecture=self.architecture,
        )


class PhaseConfig(Section):
    """A stretch of pretraining at one sequence length."""

    sequence_length: Annotated[int, Field(ge=8)] = 128
    """The longest example, in tokens, [CLS] and [SEP] included."""
    steps: Count = 900_000
    """Optimizer steps."""
    global_batch: Count = 256
    """Sequences an optimizer step, over all ranks."""
    first_batch: Count | None = None
    """Sequences of the phase's first step, where the batch grows; it grows evenly over `batch_warmup_steps`."""
    batch_warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps until the batch has grown from `first_batch` to `global_batch`."""


class PretrainConfig(Section):
    """Examples to weights; the defaults are the paper's (Devlin et al. 2019, A.2)."""

    optimizer: Literal["adamw", "lamb", "stableadamw", "muon"] = "adamw"
    """How gradients become updates; README has a table of them."""
    learning_rate: Positive = 1e-4
    """Peak learning rate."""
    matrix_learning_rate: Positive = 0.02
    """For muon: peak learning rate of the weight matrices of the layers; all else takes `learning_rate` by AdamW."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """How slowly the mean of the gradients moves."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """How slowly the mean of their squares moves."""
    eps: Positive = 1e-6
    """Added to the root of the mean of squares."""
    schedule: Literal["linear", "cosine", "wsd"] = "linear"
    """The learning rate after warm-up: straight to zero, half a cosine to zero, or stable and then down (`decay_steps`)."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps of linear warm-up to the peak; unless given 10,000 (Devlin et al. 2019), or a tenth of all where these are fewer."""
    decay_steps: Count | None = None
    """For wsd: the last steps, in which the rate falls to zero; a tenth of all unless given."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay, not on biases and LayerNorm."""
    clip: Positive = 1.0
    """The largest global gradient norm."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Arithmetic of the forward and backward pass; weights and moments are float32 always."""
    init: Place = ""
    """What to go on from instead of random weights: the key of a model in the store, or a Hugging Face folder.
    Its shape and its tokenizer take the place of recipe.model and recipe.tokenizer."""
    evaluate_every: Count = 1000
    """Steps between evaluations on the held-out documents."""
    evaluate_rows: Count = 10_000
    """Held-out sequences that an evaluation reads at most, at equal distances: it costs the same however large the corpus."""

    def warmup(self, steps: int) -> int:
        """Count the steps of warm-up among so many."""
        return min(WARMUP_STEPS, steps // 10) if self.warmup_steps is None else self.warmup_steps


class TuningConfig(Section):
    """What one training on a labelled task is told."""

    task: Annotated[str, OneOf(TASKS)] = "sst2"
    """What is predicted, and in which layout its files are."""
    path: Place = ""
    """The task's folder or file; `package:NAME/inner/path` works as well."""
    init: Place = ""
    """What to start from: nothing for this recipe's own pretraining, `scratch` for random weights of recipe.model, the key
    of a model in the store, or a Hugging Face folder (`package:NAME/path` as well), which brings its tokenizer."""
    trained: Literal["all", "head", "gradual"] = "all"
    """Which weights learn: all, those of the head alone, or one part more each epoch from the head down, several where
    epochs are fewer than layers (ULMFiT)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The learning rate of each layer in relation to that of the layer above it (ULMFiT takes 1 / 2.6)."""
    epochs: Count = 3
    """Passes over the training rows."""
    batch: Count = 32
    """Rows an optimizer step, over all ranks."""
    learning_rate: Positive = 5e-5
    """Peak learning rate of AdamW."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The share of steps that warm up."""
    sequence_length: Annotated[int, Field(ge=8)] = 128
    """The longest row, in tokens; longer ones are cut."""
    dev_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share of training rows held back where the task's files have no development set."""
    text_column: str = "text"
    """For tasks over named columns: the column that holds the text."""
    second_column: str = ""
    """For tasks over named columns: the column of the second text, where texts come in pairs."""
    label_column: str = "label"
    """For tasks over named columns: the column of the class or the number."""
    window_stride: Count = 128
    """For questions about a context: how many tokens further the next window of a long one begins."""
    max_answer_tokens: Count = 30
    """For questions about a context: the longest answer that is looked for; windows overlap by as much at least."""


class FinetuneConfig(TuningConfig):
    """Pretrained weights to scores on one labelled task."""

    sweep: SweepConfig = SweepConfig()


class Recipe(Section):
    """What is made. Everything here names the artifacts; nothing else does."""

    name: str = "pretrace"
    """The experiment's name in MLflow and Prefect; it names no artifact."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every draw of every stage follows from it."""
    corpus: CorpusConfig = CorpusConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    examples: ExamplesConfig = ExamplesConfig()
    masking: MaskingConfig = MaskingConfig()
    model: ModelConfig = ModelConfig()
    phases: Annotated[tuple[PhaseConfig, ...], Field(min_length=1)] = (
        PhaseConfig(),
        PhaseConfig(sequence_length=512, steps=100_000),
    )
    """Short sequences first, long ones last (Devlin et al. 2019, A.2)."""
    pretrain: PretrainConfig = PretrainConfig()
    finetune: tuple[FinetuneConfig, ...] = ()
    """The tasks to fine-tune on, each from the pretrained weights."""

    @model_validator(mode="after")
    def _agree(self) -> "Recipe":
        for problem in (
            *_too_long(self),
            *odd_heads(self),
            *odd_objectives(self),
            *odd_bands(self),
            *odd_schedule(self),
            *odd_batches(self),
            *odd_language(self),
            *odd_columns(self),
            *odd_sweeps(self),
            *odd_unfreezing(self),
        ):
            raise ValueError(problem)
        return self


class PipelineConfig(Section):
    """The whole tree."""

    recipe: Recipe = Field(default_factory=Recipe)
    run: Run = Field(default_factory=Run)

    @model_validator(mode="after")
    def _agree(self) -> "PipelineConfig":
        for problem in odd_running(self.recipe, self.run):
            raise ValueError(problem)
        return self


class ExamplesSlice(ExamplesConfig):
    """What the examples stage sees: the masks only where they are static."""

    seed: int
    sequence_length: int
    static: MaskingConfig | None


class PretrainSlice(PretrainConfig):
    """What the pretrain stage sees."""

    seed: int
    objectives: tuple[str, ...]
    masking: MaskingConfig
    model: ModelConfig | None  # None: that of the model it goes on from
    phases: tuple[PhaseConfig, ...]


class FinetuneSlice(TuningConfig):
    """What the finetune stage sees."""

    seed: int
    model: ModelConfig | None = None  # where it starts from random weights


class SweepSlice(FinetuneSlice):
    """What the sweep stage sees: its lists are whole, and besides them there are the settings of the first trial."""

    sweep: SweepConfig


class AdoptSlice(Section):
    """What the adopt stage sees: files alone."""


def load(paths: Sequence[Path], overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read YAML files left to right over the defaults, then apply `a.b=c` overrides.

    Raises: ConfigError for a missing file, an unknown key (with the nearest known one), a wrong value.
    """
    return validated(PipelineConfig, read_tree(PipelineConfig().model_dump(mode="json"), paths, overrides))


def _too_long(recipe: Recipe) -> list[str]:
    most, own = recipe.model.max_positions, not recipe.pretrain.init
    longest = [(f"recipe.phases.{at}", phase.sequence_length) for at, phase in enumerate(recipe.phases) if own]
    longest += [
        (f"recipe.finetune.{at}", task.sequence_length)
        for at, task in enumerate(recipe.finetune)
        if task.init == SCRATCH or (own and not task.init)
    ]
    return [
        f"{path}.sequence_length={length} exceeds recipe.model.max_positions={most}; raise the latter or lower the former"
        for path, length in longest
        if length > most
    ]
