"""The model card of an exported model, README.md: written from the manifests of its lineage, never typed.

The same lineage gives the same bytes, so that an audit of the folder can tell whether anybody changed them.

Source: the form is Hugging Face's, github.com/huggingface/hub-docs/blob/main/modelcard.md; the metadata of emissions is
huggingface.co/docs/hub/model-cards-co2; what a card tells is Mitchell et al. 2019, Model Cards for Model Reporting.
"""

from typing import Any

import yaml

from flows.chapters import CHAPTERS, UNKNOWN, hardware_of, method_of, scores_of, use_of
from flows.origins import Origins
from pipeline.starts import TUNED

CARD = "README.md"


def model_card(origins: Origins, license_id: str | None) -> str:
    """Write the model card; without a licence it says that nobody named one."""
    metadata = yaml.safe_dump(_metadata(origins, license_id), sort_keys=False, allow_unicode=True, width=1000)
    lines = [line for chapter in CHAPTERS for line in chapter(origins, license_id)]
    return f"---\n{metadata}---\n\n" + "\n".join(lines).rstrip("\n") + "\n"


def _metadata(origins: Origins, license_id: str | None) -> dict[str, Any]:
    """Give the metadata that the hub reads; what nobody knows is left out."""
    languages = list(dict.fromkeys(corpus.manifest["config"]["language"] for corpus in origins.corpora))
    architecture = "bert" if origins.shape.architecture == "bert" else "modernbert"
    results = _results(origins)
    return {
        **({"language": languages[0] if len(languages) == 1 else languages} if languages else {}),
        **({"license": license_id} if license_id else {}),
        "library_name": "transformers",
        "pipeline_tag": use_of(origins).hub,
        "tags": ["pretrace", architecture, origins.model.label],
        "co2_eq_emissions": _emissions(origins),
        **({"model-index": [{"name": origins.name, "results": results}]} if results else {}),
    }


def _emissions(origins: Origins) -> dict[str, Any]:
    trained = {"pre-training": origins.pretrained, "fine-tuning": origins.tuned}
    said = {
        "emissions": _rounded(origins.total("emissions_kg") * 1000),
        "source": f"codecarbon, {method_of(origins)}",
        "training_type": " and ".join(name for name, done in trained.items() if done),
        "geographical_location": ", ".join(map(str, origins.told("country"))),
        "hardware_used": hardware_of(origins),
    }
    return {name: value for name, value in said.items() if value not in ("", UNKNOWN)}


def _results(origins: Origins) -> list[dict[str, Any]]:
    """Give each score as the hub's index of results has it."""
    task = {"type": use_of(origins).hub}
    if origins.model.label in TUNED:
        about = origins.model.manifest["config"]["task"]
        dataset = {"type": about, "name": about, "split": "dev"}
    else:
        corpora = "-".join(corpus.key for corpus in origins.corpora)
        dataset = {"type": f"corpus-{corpora}", "name": "held-out documents of the corpus"}
    metrics = [{"type": kind, "name": name, "value": _rounded(value)} for kind, name, value in scores_of(origins)]
    return [{"task": task, "dataset": dataset, "metrics": metrics}] if metrics else []


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
