"""What a model was made of, stage by stage: what its page, its card and the summary of its training data tell of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import ModelConfig
from pipeline.core.lineage import ancestors, paid_for
from pipeline.core.store import Artifact, Store
from pipeline.model.shape import Shape
from pipeline.starts import BEGINS, TUNED

SIZES = ("architecture", "layers", "width", "heads", "max_positions", "vocab_size")
"""What the facts of a model made elsewhere tell of its shape."""


@dataclass(frozen=True)
class Origins:
    """A model and all that it was made from."""

    model: Artifact
    line: tuple[Artifact, ...]
    """The models that it was, one going on from the other, itself last; the first began with random weights or elsewhere."""
    tokenizer: Artifact
    everything: tuple[Artifact, ...]
    """Each once, after what it was made from, the model last."""

    @property
    def pretrained(self) -> tuple[Artifact, ...]:
        """List the pretrainings that it went through; none where it began elsewhere or was never pretrained."""
        return tuple(one for one in self.line if one.label == "pretrain")

    @property
    def tuned(self) -> tuple[Artifact, ...]:
        """List the labelled tasks that it was trained on."""
        return tuple(one for one in self.line if one.label in TUNED)

    @property
    def adopted(self) -> Artifact | None:
        """Give the model made elsewhere that it began as: of what that one was made, nothing is known."""
        return self.line[0] if self.line[0].label == "adopt" else None

    @property
    def examples(self) -> tuple[Artifact, ...]:
        """List what pretraining was fed."""
        fed = [name for one in self.pretrained for role, name in _inputs(one).items() if role.startswith("examples")]
        return tuple(self._named(name) for name in dict.fromkeys(fed))

    @property
    def corpora(self) -> tuple[Artifact, ...]:
        """List the corpora that it was pretrained on."""
        names = [_inputs(one)["corpus"] for one in self.examples]
        return tuple(self._named(name) for name in dict.fromkeys(names))

    @property
    def words_from(self) -> Artifact | None:
        """Give the corpus that its vocabulary was learned from, where that is known."""
        name = _inputs(self.tokenizer).get("corpus")
        return self._named(name) if name else None

    @property
    def shape(self) -> Shape:
        """Give the shape of the encoder."""
        first = self.line[0].manifest
        if first["config"].get("model"):
            size = self.tokenizer.manifest["facts"].get("vocab_size", 0)
            return ModelConfig.model_validate(first["config"]["model"]).shape(size)
        return Shape(**{name: first["facts"][name] for name in SIZES})

    @property
    def name(self) -> str:
        """What people call it: the stage, the task if there is one, and the key."""
        task = f"-{self.model.manifest['config']['task']}" if self.model.label in TUNED else ""
        return f"{self.model.label}{task}-{self.model.key}"

    def total(self, figure: str) -> float:
        """Sum a cost over everything: `energy_kwh`, `emissions_kg` or `duration_s`."""
        return sum(paid_for(artifact.manifest["made"], figure) for artifact in self.everything)

    def told(self, name: str) -> list[Any]:
        """List what the manifests tell of how things were made, under one name, each answer once."""
        made = [artifact.manifest["made"].get(name) for artifact in self.everything]
        return list({repr(value): value for value in made if value}.values())

    def _named(self, name: str) -> Artifact:
        return next(one for one in self.everything if f"{one.label}/{one.key}" == name)


def origins_of(store: Store, model: Artifact) -> Origins:
    """Gather all that a model was made from.

    Raises: ConfigError if some of it is not in the store.
    """
    everything = whole(store, [model])
    found = {f"{one.label}/{one.key}": one for one in everything}
    line = [found[f"{model.label}/{model.key}"]]
    while begin := next((_inputs(line[0])[role] for role in BEGINS if role in _inputs(line[0])), None):
        line.insert(0, found[begin])
    vocabulary = _inputs(model).get("tokenizer")  # one made elsewhere has its own
    return Origins(line[-1], tuple(line), found[vocabulary] if vocabulary else line[-1], tuple(everything))


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
