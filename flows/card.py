"""The model card of an exported model, README.md: written from the manifests of its lineage, never typed.

The same lineage gives the same bytes, so that an audit of the folder can tell whether anybody changed them.

Source: the form is Hugging Face's, github.com/huggingface/hub-docs/blob/main/modelcard.md; the metadata of emissions is
huggingface.co/docs/hub/model-cards-co2; what a card tells is Mitchell et al. 2019, Model Cards for Model Reporting.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from flows.composition import shares_of
from flows.graph import name_of
from flows.markdown import fenced, plain, table
from flows.origins import Origins
from flows.outcome import duration
from flows.showing import size
from flows.units import counted, energy, mass, number
from pipeline.core.energy import certainty
from pipeline.objectives import OBJECTIVES
from pipeline.tasks import TASKS

CARD = "README.md"
UNKNOWN = "not recorded"
TASK_OF = {"pretrain": "fill-mask", "finetune": "text-classification"}
"""By label: what Hugging Face calls that which the model does."""
FINE_TUNED = ("task", "epochs", "batch", "learning_rate", "warmup_fraction", "sequence_length", "dev_fraction", "seed")
EVALUATED = "held_out_"


def model_card(origins: Origins, license_id: str | None) -> str:
    """Write the model card; without a licence it says that nobody named one."""
    parts: list[Iterable[str]] = [
        _summary(origins),
        _details(origins, license_id),
        _uses(origins),
        _limits(origins),
        _start(origins),
        _data(origins),
        _procedure(origins),
        _evaluation(origins),
        _costs(origins),
        _lineage(origins),
    ]
    metadata = yaml.safe_dump(_metadata(origins, license_id), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{metadata}---\n\n" + "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def _metadata(origins: Origins, license_id: str | None) -> dict[str, Any]:
    """Give the metadata that the hub reads; what nobody knows is left out."""
    architecture = origins.pretrained.manifest["config"]["model"]["architecture"]
    results = _results(origins)
    return {
        "language": origins.corpus.manifest["config"]["language"],
        **({"license": license_id} if license_id else {}),
        "library_name": "transformers",
        "pipeline_tag": TASK_OF[origins.model.label],
        "tags": ["pretrace", "bert" if architecture == "bert" else "modernbert", origins.model.label],
        "co2_eq_emissions": _emissions(origins),
        **({"model-index": [{"name": origins.name, "results": results}]} if results else {}),
    }


def _emissions(origins: Origins) -> dict[str, Any]:
    said = {
        "emissions": _rounded(origins.total("emissions_kg") * 1000),
        "source": f"codecarbon, {_method(origins)}",
        "training_type": "pre-training and fine-tuning" if origins.fine_tuned else "pre-training",
        "geographical_location": ", ".join(map(str, origins.told("country"))),
        "hardware_used": _hardware(origins),
    }
    return {name: value for name, value in said.items() if value not in ("", UNKNOWN)}


def _results(origins: Origins) -> list[dict[str, Any]]:
    """Give each score as the hub's index of results has it."""
    task = {"type": TASK_OF[origins.model.label]}
    if origins.fine_tuned:
        about = origins.model.manifest["config"]["task"]
        dataset = {"type": about, "name": about, "split": "dev"}
    else:
        dataset = {"type": f"corpus-{origins.corpus.key}", "name": "held-out documents of the corpus"}
    metrics = [{"type": kind, "name": name, "value": _rounded(value)} for kind, name, value in _scores(origins)]
    return [{"task": task, "dataset": dataset, "metrics": metrics}] if metrics else []


def _scores(origins: Origins) -> list[tuple[str, str, float]]:
    """List what was measured on rows that the model was not trained on: the hub's name of the metric, ours, the value."""
    facts = origins.model.manifest["facts"]
    dev = [(name, f"{name} on the development rows", value) for name, value in facts.get("dev", {}).items()]
    held_out = [
        (name.rpartition("_")[2], name.removeprefix(EVALUATED).replace("_", " "), value)
        for name, value in facts.items()
        if name.startswith(EVALUATED) and isinstance(value, int | float)
    ]
    return dev or held_out


def _summary(origins: Origins) -> Iterator[str]:
    shape = origins.pretrained.manifest["config"]["model"]
    kind = "BERT" if shape["architecture"] == "bert" else "ModernBERT-like"
    words = sum(share.words for share in shares_of(origins.corpus))
    yield f"# {plain(origins.name)}"
    yield ""
    how = ", ".join(_objective(name) for name in origins.pretrained.manifest["config"]["objectives"])
    parameters = number(origins.model.manifest["facts"].get("parameters", 0))
    first = f"A {kind} encoder of size {plain(str(shape['size']))} with {parameters} parameters"
    then = (
        f", then fine-tuned on the task {plain(origins.model.manifest['config']['task'])}" if origins.fine_tuned else ""
    )
    yield f"{first}, pretrained from random weights on {words:,} words ({how}){then}."
    yield ""
    yield "This card was written by pretrace from the manifests of the model's lineage; nothing in it was typed."
    yield ""


def _objective(name: str) -> str:
    return OBJECTIVES[name].summary.partition(":")[0] if name in OBJECTIVES else plain(name)


def _details(origins: Origins, license_id: str | None) -> Iterator[str]:
    shape, vocabulary = origins.pretrained.manifest["config"]["model"], origins.tokenizer.manifest
    made = origins.model.manifest["made"]
    licence = (
        f"`{license_id}`"
        if license_id
        else "not named; whoever publishes it decides, with the sources' licences in view"
    )
    parts = [f"{shape[name]} {name}" for name in ("layers", "width", "heads") if shape.get(name)]
    yield from ("## Model details", "")
    yield f"- Architecture: {plain(shape['architecture'])}, size {plain(str(shape['size']))}{''.join(f', {part}' for part in parts)}"
    yield f"- Longest sequence: {shape['max_positions']:,} tokens"
    folded = "lower-cased" if vocabulary["config"].get("lowercase") else "as written"
    algorithm = plain(str(vocabulary["config"].get("algorithm", UNKNOWN)))
    yield f"- Vocabulary: {number(vocabulary['facts'].get('vocab_size', 0))} pieces, {algorithm}, text {folded}"
    yield f"- Language: {plain(origins.corpus.manifest['config']['language'])}"
    yield f"- Licence: {licence}"
    yield f"- Made by: {plain(str(made.get('operator', UNKNOWN)))}"
    yield f"- Made at: {plain(str(made['at']))}"
    yield ""


def _uses(origins: Origins) -> Iterator[str]:
    yield from ("## Uses", "", "### Direct use", "")
    if origins.fine_tuned:
        task = TASKS.get(origins.model.manifest["config"]["task"])
        yield f"To answer the question it was fine-tuned on: {task.question if task else UNKNOWN}"
    else:
        yield "To fill in hidden words, and to turn text into vectors for search or comparison after an evaluation of one's own."
    yield from ("", "### Downstream use", "")
    yield "To be fine-tuned on labelled texts in its language."
    yield from ("", "### Out-of-scope use", "")
    yield (
        "It does not write text and knows no facts: a likely word is no true one. It is not made for other languages, for "
        "longer texts than its longest sequence, nor for decisions about people."
    )
    yield ""


def _limits(origins: Origins) -> Iterator[str]:
    facts, cleaning = origins.pretrained.manifest["facts"], origins.corpus.manifest["config"]["cleaning"]
    yield from ("## Bias, risks and limitations", "")
    yield "The model repeats what its sources say and how they say it, with their gaps and their prejudices."
    if "held_out_mlm_loss" in facts and facts["held_out_mlm_loss"] >= facts.get("unigram_entropy_nats", float("inf")):
        yield "Its held-out loss is not below the unigram entropy of its corpus: it has learned nothing from context."
    if "language" not in cleaning["steps"]:
        yield "No step checked in which language documents are."
    yield "No step looked for personal data, for hate, or for bias, and none was measured. TRAINING_DATA.md tells what was done."
    yield ""


def _start(origins: Origins) -> Iterator[str]:
    heads = {"pretrain": "AutoModelForMaskedLM", "finetune": "AutoModelForSequenceClassification"}
    head = heads[origins.model.label]
    code = (
        f"from transformers import {head}, AutoTokenizer\n\n"
        'folder = "."  # where this file lies\n'
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        f"model = {head}.from_pretrained(folder)"
    )
    yield from ("## How to get started", "", *fenced(code, "python"))


def _data(origins: Origins) -> Iterator[str]:
    yield from ("## Training data", "")
    rows = [
        (plain(one.source), f"{one.documents:,}", f"{one.sentences:,}", f"{one.words:,}", size(one.utf8_bytes))
        for one in shares_of(origins.corpus)
    ]
    yield from table(("source", "documents", "sentences", "words", "text"), rows)
    for examples in origins.examples:
        train, held = (examples.manifest["facts"].get(part, {}) for part in ("train", "held_out"))
        yield (
            f"- {name_of(examples)}: {number(train.get('examples', 0))} examples of {number(train.get('tokens', 0))} tokens to "
            f"train on, {number(held.get('examples', 0))} of {number(held.get('tokens', 0))} held out"
        )
    if origins.fine_tuned:
        said = [
            f"{number(count)} {plain(split)}"
            for split, count in origins.model.manifest["facts"].get("rows", {}).items()
        ]
        yield f"- labelled rows of {plain(origins.model.manifest['config']['task'])}: {', '.join(said)}"
    yield from ("", "TRAINING_DATA.md lists every source with its digests, and how it was processed.", "")


def _procedure(origins: Origins) -> Iterator[str]:
    config, facts = origins.pretrained.manifest["config"], origins.pretrained.manifest["facts"]
    yield from ("## Training procedure", "", "### Phases", "")
    heads = ("sequence length", "steps", "global batch")
    yield from table(heads, [[f"{phase[name.replace(' ', '_')]:,}" for name in heads] for phase in config["phases"]])
    seen = [(name, facts[name]) for name in ("steps", "sequences", "tokens", "rewinds") if name in facts]
    yield f"Seen: {', '.join(f'{number(value)} {name}' for name, value in seen)}."
    yield from ("", "### Hyperparameters", "")
    settings = {
        name: value for name, value in config.items() if name not in ("phases", "model", "masking", "objectives")
    }
    settings |= {f"masking {name}": value for name, value in config["masking"].items()}
    settings |= {name: config["model"][name] for name in ("dropout", "initializer_range")}
    yield from table(("setting", "value"), _rows(settings))
    if origins.fine_tuned:
        yield from ("### Fine-tuning", "")
        chosen = origins.model.manifest["config"]
        yield from table(("setting", "value"), _rows({name: chosen[name] for name in FINE_TUNED if name in chosen}))
    yield from ("### Machine", "", f"- Hardware: {plain(_hardware(origins))}")
    packages = origins.pretrained.manifest["made"].get("packages", {})
    yield f"- Software: {plain(', '.join(f'{name} {found}' for name, found in packages.items()) or UNKNOWN)}"
    if rate := facts.get("measured", {}).get("tokens_per_second"):
        yield f"- Speed: {number(round(rate))} tokens a second"
    yield ""


def _rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(plain(name.replace("_", " ")), plain(str(value))) for name, value in settings.items() if value is not None]


def _evaluation(origins: Origins) -> Iterator[str]:
    yield from ("## Evaluation", "")
    scores = _scores(origins)
    if not scores:
        yield from ("Nothing was held out, so nothing was measured.", "")
        return
    about = "development rows of the task" if origins.fine_tuned else "documents that no step was trained on"
    yield from (f"Measured once, with one seed, on {about}.", "")
    yield from table(("metric", "value"), [(plain(name), f"{value:.4g}") for _, name, value in scores])
    if entropy := origins.pretrained.manifest["facts"].get("unigram_entropy_nats"):
        yield from (
            f"Without any context a loss of {entropy:.3f} nats can be reached (unigram entropy of the corpus).",
            "",
        )


def _costs(origins: Origins) -> Iterator[str]:
    yield from ("## Environmental impact", "")
    yield from (
        f"{energy(origins.total('energy_kwh'))} and {mass(origins.total('emissions_kg'))} CO2e, {_method(origins)}, over "
        f"{duration(origins.total('duration_s'))} of machine time. Failed and killed attempts count, each artifact once.",
        "",
    )
    rows = []
    for artifact in origins.everything:
        made = artifact.manifest["made"]
        spent, emitted = energy(made.get("energy_kwh", 0.0)), mass(made.get("emissions_kg", 0.0))
        attempts = str(made.get("attempts", 1))
        rows.append((plain(name_of(artifact)), spent, emitted, duration(made.get("duration_s", 0.0)), attempts))
    yield from table(("stage", "energy", "CO2e", "time", "attempts"), rows)
    where = ", ".join(map(str, origins.told("country")))
    grid = "; ".join(f"{value:g} g CO2e a kWh" for value in origins.told("grid_g_per_kwh"))
    said_by = "; ".join(map(str, origins.told("grid_source")))
    known = (
        f"Electricity of {plain(where)}: {grid} ({plain(said_by)})."
        if where and grid
        else "The electricity was not recorded."
    )
    yield from (known, "")


def _lineage(origins: Origins) -> Iterator[str]:
    key = origins.model.key
    yield from ("## Lineage and audit", "")
    rows = [
        (plain(name_of(one)), f"`{one.label}/{one.key}`", f"`{one.manifest['digest']}`") for one in origins.everything
    ]
    yield from table(("stage", "artifact", "digest of its manifest"), rows)
    commits = [f"`{code['commit']}`{' with changes' if code['changed'] else ''}" for code in origins.told("code")]
    yield from (
        f"Made by the code of commit {', '.join(commits)}." if commits else "The code's commit was not recorded.",
        "",
    )
    yield "With the store that it was made in, every byte from these weights back to the files from outside is proved by"
    commands = (
        f"pretrace audit {key}    # the lineage\npretrace audit FOLDER          # this folder too, every file of it"
    )
    yield from ("", *fenced(commands, "bash"))


def _method(origins: Origins) -> str:
    """Say how the energy was measured: the least certain of its stages decides."""
    order = ("measured", "partly estimated", "estimated")
    known = [one.manifest["made"] for one in origins.everything if one.manifest["made"].get("energy_method")]
    if not known:
        return "method not recorded"
    worst = max((certainty(made) for made in known), key=order.index)
    methods = dict.fromkeys(str(made["energy_method"]) for made in known)
    told = "; ".join(methods)
    return told if told.startswith(worst) else f"{worst} ({told})"


def _hardware(origins: Origins) -> str:
    """Name what the model was trained on: GPUs where there were some, else the processor."""
    made = origins.model.manifest["made"]
    parts = made.get("accelerator") or {}
    gpus: list[str] = parts.get("gpus", [])
    if gpus:
        return ", ".join(f"{gpus.count(gpu)} x {gpu}" for gpu in dict.fromkeys(gpus))
    if not parts.get("processor"):
        return UNKNOWN
    return f"{parts['processor']}, {counted(int(parts.get('threads', 1)), 'thread')}"


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
