"""What a model was made of, stage by stage: what its page, its card and the summary of its training data tell of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.lineage import ancestors
from pipeline.core.store import Artifact, Store


@dataclass(frozen=True)
class Origins:
    """A model and all that it was made from."""

    model: Artifact
    pretrained: Artifact
    """The model itself unless it is fine-tuned."""
    tokenizer: Artifact
    corpus: Artifact
    examples: tuple[Artifact, ...]
    everything: tuple[Artifact, ...]
    """Each once, after what it was made from, the model last."""

    @property
    def fine_tuned(self) -> bool:
        """Whether the model was trained on a labelled task after pretraining."""
        return self.model.label == "finetune"

    @property
    def name(self) -> str:
        """What people call it: the stage, the task if there is one, and the key."""
        task = f"-{self.model.manifest['config']['task']}" if self.fine_tuned else ""
        return f"{self.model.label}{task}-{self.model.key}"

    def total(self, figure: str) -> float:
        """Sum a cost over everything: `energy_kwh`, `emissions_kg` or `duration_s`."""
        return sum(float(artifact.manifest["made"].get(figure, 0.0)) for artifact in self.everything)

    def told(self, name: str) -> list[Any]:
        """List what the manifests tell of how things were made, under one name, each answer once."""
        made = [artifact.manifest["made"].get(name) for artifact in self.everything]
        return list({repr(value): value for value in made if value}.values())


def origins_of(store: Store, model: Artifact) -> Origins:
    """Gather all that a model was made from.

    Raises: ConfigError if some of it is not in the store.
    """
    everything = whole(store, [model])
    found = {f"{one.label}/{one.key}": one for one in everything}
    pretrained = found[_inputs(model)["pretrain"]] if model.label == "finetune" else model
    tokenizer = found[_inputs(model)["tokenizer"]]
    lengths = [name for role, name in _inputs(pretrained).items() if role.startswith("examples")]
    return Origins(
        model=model,
        pretrained=pretrained,
        tokenizer=tokenizer,
        corpus=found[_inputs(tokenizer)["corpus"]],
        examples=tuple(found[name] for name in dict.fromkeys(lengths)),
        everything=tuple(everything),
    )


def whole(store: Store, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """List artifacts and all that they were made from, each once and after what it was made from."""
    found = {old.key: old for artifact in artifacts for old in ancestors(artifact, store)}
    ordered: dict[str, Artifact] = {}

    def add(artifact: Artifact) -> None:
        for used in _inputs(artifact).values():
            add(found[used.rpartition("/")[2]])
        ordered.setdefault(artifact.key, artifact)

    for artifact in sorted(found.values(), key=lambda one: (one.manifest["made"]["at"], one.key)):
        add(artifact)
    return list(ordered.values())


def _inputs(artifact: Artifact) -> Mapping[str, str]:
    inputs: Mapping[str, str] = artifact.manifest["inputs"]
    return inputs
