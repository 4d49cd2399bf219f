"""The chapters of a model card, in their order. What is not known of a model is said to be so."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.composition import shares_of
from flows.graph import name_of
from flows.markdown import fenced, plain, table
from flows.origins import Origins
from flows.outcome import duration
from flows.showing import size
from flows.units import counted, energy, mass, number
from pipeline.core.energy import certainty
from pipeline.core.store import Artifact
from pipeline.model.shape import parameter_count
from pipeline.objectives import OBJECTIVES
from pipeline.starts import TUNED
from pipeline.tasks import TASKS

UNKNOWN = "not recorded"
ELSEWHERE = "what that one was trained on is not known"
RATES = ("layer_decay", "epochs", "batch", "learning_rate", "warmup_fraction")
CHOSEN = ("task", "trained", *RATES, "sequence_length", "dev_fraction", "seed")
"""Settings of fine-tuning that a card tells."""
EVALUATED = "held_out_"


@dataclass(frozen=True)
class Use:
    """What a model is for."""

    hub: str
    """What Hugging Face calls that."""
    head: str
    """The class of transformers that loads it."""


FILLING = Use("fill-mask", "AutoModelForMaskedLM")
BARE = Use("feature-extraction", "AutoModel")
USES = {
    "classify": Use("text-classification", "AutoModelForSequenceClassification"),
    "regress": Use("text-classification", "AutoModelForSequenceClassification"),
    "choose": Use("multiple-choice", "AutoModelForMultipleChoice"),
    "span": Use("question-answering", "AutoModelForQuestionAnswering"),
    "tag": Use("token-classification", "AutoModelForTokenClassification"),
}
"""By the kind of the task."""


def use_of(origins: Origins) -> Use:
    """Say what a model is for: what it was trained for last."""
    if origins.model.label in TUNED:
        task = TASKS.get(origins.model.manifest["config"]["task"])
        return USES[task.kind] if task else BARE
    return FILLING if origins.pretrained else BARE


def scores_of(origins: Origins) -> list[tuple[str, str, float]]:
    """List what was measured on rows that the model was not trained on: the hub's name of the metric, ours, the value."""
    facts = origins.model.manifest["facts"]
    dev = [(name, f"{name} on the development rows", value) for name, value in facts.get("dev", {}).items()]
    held_out = [
        (name.rpartition("_")[2], name.removeprefix(EVALUATED).replace("_", " "), value)
        for name, value in facts.items()
        if name.startswith(EVALUATED) and isinstance(value, int | float)
    ]
    return dev or held_out


def method_of(origins: Origins) -> str:
    """Say how the energy was measured: the least certain of its stages decides."""
    order = ("measured", "partly estimated", "estimated")
    known = [one.manifest["made"] for one in origins.everything if one.manifest["made"].get("energy_method")]
    if not known:
        return "method not recorded"
    worst = max((certainty(made) for made in known), key=order.index)
    told = "; ".join(dict.fromkeys(str(made["energy_method"]) for made in known))
    return told if told.startswith(worst) else f"{worst} ({told})"


def hardware_of(origins: Origins) -> str:
    """Name what the model was trained on: GPUs where there were some, else the processor."""
    made = origins.model.manifest["made"]
    parts = made.get("accelerator") or {}
    gpus: list[str] = parts.get("gpus", [])
    if gpus:
        return ", ".join(f"{gpus.count(gpu)} x {gpu}" for gpu in dict.fromkeys(gpus))
    if not parts.get("processor"):
        return UNKNOWN
    return f"{parts['processor']}, {counted(int(parts.get('threads', 1)), 'thread')}"


def _summary(origins: Origins, license_id: str | None) -> Iterator[str]:
    shape = origins.shape
    kind = "BERT" if shape.architecture == "bert" else "ModernBERT-like"
    parameters = origins.model.manifest["facts"].get("parameters") or parameter_count(shape)
    sized = f"{counted(shape.layers, 'layer')} of width {shape.width}"
    story = ", then ".join(_story(origins))
    yield from (f"# {plain(origins.name)}", "")
    yield from (f"A {kind} encoder of {sized} with {number(parameters)} parameters, {story}.", "")
    yield "This card was written by pretrace from the manifests of the model's lineage; nothing in it was typed."
    yield ""


def _story(origins: Origins) -> Iterator[str]:
    """Say what was done to the model, one thing after the other."""
    for at, one in enumerate(origins.line):
        config = one.manifest["config"]
        if one.label == "adopt":
            yield f"made elsewhere ({ELSEWHERE})"
        elif one.label == "pretrain":
            words = sum(share.words for corpus in _read_by(origins, one) for share in shares_of(corpus))
            how = ", ".join(_objective(name) for name in config["objectives"])
            begin = "further on" if at else "from random weights on"
            tokens = one.manifest["facts"].get("tokens")
            read = f"{tokens:,} tokens of a corpus" if tokens else "a corpus"
            yield f"pretrained {begin} {read} of {words:,} words ({how})"
        else:
            begin = "" if at else "never pretrained, "
            yield f"{begin}fine-tuned {'' if at else 'from random weights '}on the task {plain(config['task'])}"


def _read_by(origins: Origins, pretrained: Artifact) -> list[Artifact]:
    """List the corpora that a pretraining read."""
    fed = set(pretrained.manifest["inputs"].values())
    names = {one.manifest["inputs"]["corpus"] for one in origins.examples if f"{one.label}/{one.key}" in fed}
    return [corpus for corpus in origins.corpora if f"{corpus.label}/{corpus.key}" in names]


def _objective(name: str) -> str:
    return OBJECTIVES[name].summary.partition(":")[0] if name in OBJECTIVES else plain(name)


def _details(origins: Origins, license_id: str | None) -> Iterator[str]:
    shape, vocabulary, made = origins.shape, origins.tokenizer.manifest, origins.model.manifest["made"]
    yield from ("## Model details", "")
    sizes = f"{counted(shape.layers, 'layer')} of width {shape.width}, {counted(shape.heads, 'head')}"
    yield f"- Architecture: {plain(shape.architecture)}, {sizes}"
    yield f"- Longest sequence: {shape.max_positions:,} tokens"
    pieces = number(vocabulary["facts"].get("vocab_size", 0))
    if origins.tokenizer.label == "adopt":
        yield f"- Vocabulary: {pieces} pieces, those of the model made elsewhere; what they were learned from is not known"
    else:
        folded = "lower-cased" if vocabulary["config"].get("lowercase") else "as written"
        yield f"- Vocabulary: {pieces} pieces, {plain(str(vocabulary['config'].get('algorithm', UNKNOWN)))}, text {folded}"
    yield f"- Language: {_languages(origins)}"
    yield f"- Licence: {_licence(origins, license_id)}"
    yield f"- Made by: {plain(str(made.get('operator', UNKNOWN)))}"
    yield f"- Made at: {plain(str(made['at']))}"
    yield ""


def _languages(origins: Origins) -> str:
    known = [plain(corpus.manifest["config"]["language"]) for corpus in origins.corpora]
    said = ", ".join(dict.fromkeys(known))
    if origins.adopted:
        return f"{said}; that of the model made elsewhere is not recorded" if said else UNKNOWN
    return said or f"that of the labelled rows, {UNKNOWN}"


def _licence(origins: Origins, license_id: str | None) -> str:
    if license_id:
        return f"`{license_id}`"
    others = "the sources' licences" + (" and that of the model made elsewhere" if origins.adopted else "")
    return f"not named; whoever publishes it decides, with {others} in view"


def _uses(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Uses", "", "### Direct use", "")
    if origins.model.label in TUNED:
        task = TASKS.get(origins.model.manifest["config"]["task"])
        yield f"To answer the question it was fine-tuned on: {task.question if task else UNKNOWN}"
    elif origins.pretrained:
        yield "To fill in hidden words, and to turn text into vectors for search or comparison after an evaluation of one's own."
    else:
        yield "To turn text into vectors, for what its makers say it is good for; nothing was trained here."
    yield from ("", "### Downstream use", "")
    yield "To be fine-tuned on labelled texts in its language."
    yield from ("", "### Out-of-scope use", "")
    yield (
        "It does not write text and knows no facts: a likely word is no true one. It is not made for other languages, for "
        "longer texts than its longest sequence, nor for decisions about people."
    )
    yield ""


def _limits(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Bias, risks and limitations", "")
    yield "The model repeats what its sources say and how they say it, with their gaps and their prejudices."
    if origins.adopted:
        yield f"It began as a model made elsewhere: {ELSEWHERE}, so nothing can be said of what it repeats of that."
    facts = origins.pretrained[-1].manifest["facts"] if origins.pretrained else {}
    if "held_out_mlm_loss" in facts and facts["held_out_mlm_loss"] >= facts.get("unigram_entropy_nats", float("inf")):
        yield "Its held-out loss is not below the unigram entropy of its corpus: it has learned nothing from context."
    if any("language" not in corpus.manifest["config"]["cleaning"]["steps"] for corpus in origins.corpora):
        yield "No step checked in which language documents are."
    yield "No step looked for personal data, for hate, or for bias, and none was measured. TRAINING_DATA.md tells what was done."
    yield ""


def _start(origins: Origins, license_id: str | None) -> Iterator[str]:
    head = use_of(origins).head
    code = (
        f"from transformers import {head}, AutoTokenizer\n\n"
        'folder = "."  # where this file lies\n'
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        f"model = {head}.from_pretrained(folder)"
    )
    yield from ("## How to get started", "", *fenced(code, "python"))


def _data(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Training data", "")
    if origins.adopted:
        yield from (f"It began as a model made elsewhere; {ELSEWHERE}.", "")
    elif not origins.pretrained:
        yield from ("It was not pretrained: the labelled rows are all that it was trained on.", "")
    rows = [
        (plain(one.source), f"{one.documents:,}", f"{one.sentences:,}", f"{one.words:,}", size(one.utf8_bytes))
        for corpus in origins.corpora
        for one in shares_of(corpus)
    ]
    if rows:
        yield from table(("source", "documents", "sentences", "words", "text"), rows)
    for examples in origins.examples:
        train, held = (examples.manifest["facts"].get(part, {}) for part in ("train", "held_out"))
        yield (
            f"- {name_of(examples)}: {number(train.get('examples', 0))} examples of {number(train.get('tokens', 0))} tokens to "
            f"train on, {number(held.get('examples', 0))} of {number(held.get('tokens', 0))} held out"
        )
    for tuned in origins.tuned:
        said = [f"{number(count)} {plain(split)}" for split, count in tuned.manifest["facts"].get("rows", {}).items()]
        yield f"- labelled rows of {plain(tuned.manifest['config']['task'])}: {', '.join(said)}"
    yield from ("", "TRAINING_DATA.md lists every source with its digests, and how it was processed.", "")


def _procedure(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Training procedure", "")
    for one in origins.line:
        if one.label == "pretrain":
            yield from _pretraining(one)
        elif one.label in TUNED:
            chosen = one.manifest["facts"].get("chosen", {})
            settings = {name: value for name, value in (one.manifest["config"] | chosen).items() if name in CHOSEN}
            yield from (f"### Fine-tuning ({name_of(one)})", "", *table(("setting", "value"), _rows(settings)))
    yield from ("### Machine", "", f"- Hardware: {plain(hardware_of(origins))}")
    packages = origins.model.manifest["made"].get("packages", {})
    yield f"- Software: {plain(', '.join(f'{name} {found}' for name, found in packages.items()) or UNKNOWN)}"
    rates = [one.manifest["facts"].get("measured", {}).get("tokens_per_second") for one in origins.line]
    if rate := next(filter(None, rates), None):
        yield f"- Speed: {number(round(rate))} tokens a second"
    yield ""


def _pretraining(pretrained: Artifact) -> Iterator[str]:
    config, facts = pretrained.manifest["config"], pretrained.manifest["facts"]
    heads = ("sequence length", "steps", "global batch")
    rows = [[f"{phase[name.replace(' ', '_')]:,}" for name in heads] for phase in config["phases"]]
    seen = [(name, facts[name]) for name in ("steps", "sequences", "tokens", "rewinds") if name in facts]
    yield from (f"### Pretraining ({pretrained.label}/{pretrained.key})", "", *table(heads, rows))
    yield from (f"Seen: {', '.join(f'{number(value)} {name}' for name, value in seen)}.", "")
    apart = ("phases", "model", "masking", "objectives")
    settings = {name: value for name, value in config.items() if name not in apart}
    settings |= {f"masking {name}": value for name, value in config["masking"].items()}
    settings |= {name: config["model"][name] for name in ("dropout", "initializer_range") if config["model"]}
    yield from table(("setting", "value"), _rows(settings))


def _rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = {name.replace("_", " "): value for name, value in settings.items() if value not in (None, "")}
    return [(plain(name), plain(str(value))) for name, value in told.items()]


def _evaluation(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Evaluation", "")
    scores = scores_of(origins)
    if not scores:
        yield from ("Nothing was held out, so nothing was measured.", "")
        return
    facts = origins.model.manifest["facts"]
    tuned = origins.model.label in TUNED
    about = "development rows of the task" if tuned else "documents that no step was trained on"
    if facts.get("trials"):
        yield from (f"The best of {number(facts['trials'])} trials by the {about}: elsewhere it may do worse.", "")
    else:
        yield from (f"Measured once, with one seed, on {about}.", "")
    yield from table(("metric", "value"), [(plain(name), f"{value:.4g}") for _, name, value in scores])
    for name, over in facts.get("seeds", {}).items():
        yield f"- {plain(name)} over {over['n']} seeds: {over['mean']:.4g}, standard deviation {over['deviation']:.2g}"
    if facts.get("seeds"):
        yield ""
    entropy = None if tuned else facts.get("unigram_entropy_nats")
    if entropy:
        yield from (
            f"Without any context a loss of {entropy:.3f} nats can be reached (unigram entropy of the corpus).",
            "",
        )


def _costs(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Environmental impact", "")
    yield (
        f"{energy(origins.total('energy_kwh'))} and {mass(origins.total('emissions_kg'))} CO2e, {method_of(origins)}, over "
        f"{duration(origins.total('duration_s'))} of machine time. Failed and killed attempts count, each artifact once."
    )
    if origins.adopted:
        yield "What the model made elsewhere had cost its makers is not known and not counted."
    yield ""
    yield from table(("stage", "energy", "CO2e", "time", "attempts"), [_cost(one) for one in origins.everything])
    where = ", ".join(map(str, origins.told("country")))
    grid = "; ".join(f"{value:g} g CO2e a kWh" for value in origins.told("grid_g_per_kwh"))
    said_by = "; ".join(map(str, origins.told("grid_source")))
    known = f"Electricity of {plain(where)}: {grid} ({plain(said_by)})." if where and grid else ""
    yield from (known or "The electricity was not recorded.", "")


def _cost(artifact: Artifact) -> Sequence[str]:
    made = artifact.manifest["made"]
    spent, emitted = energy(made.get("energy_kwh", 0.0)), mass(made.get("emissions_kg", 0.0))
    took, attempts = duration(made.get("duration_s", 0.0)), str(made.get("attempts", 1))
    return plain(name_of(artifact)), spent, emitted, took, attempts


def _lineage(origins: Origins, license_id: str | None) -> Iterator[str]:
    yield from ("## Lineage and audit", "")
    rows = [
        (plain(name_of(one)), f"`{one.label}/{one.key}`", f"`{one.manifest['digest']}`") for one in origins.everything
    ]
    yield from table(("stage", "artifact", "digest of its manifest"), rows)
    commits = [f"`{code['commit']}`{' with changes' if code['changed'] else ''}" for code in origins.told("code")]
    made = f"Made by the code of commit {', '.join(commits)}." if commits else "The code's commit was not recorded."
    yield from (made, "")
    yield "With the store that it was made in, every byte from these weights back to the files from outside is proved by"
    commands = (
        f"pretrace audit {origins.model.key}    # the lineage\n"
        "pretrace audit FOLDER          # this folder too, every file of it"
    )
    yield from ("", *fenced(commands, "bash"))


CHAPTERS: tuple[Callable[[Origins, str | None], Iterator[str]], ...] = (
    _summary,
    _details,
    _uses,
    _limits,
    _start,
    _data,
    _procedure,
    _evaluation,
    _costs,
    _lineage,
)
