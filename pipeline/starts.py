"""Models that a recipe starts from and does not make: out of the store by key, or out of a Hugging Face folder."""

import re
from collections.abc import Callable, Mapping

from pipeline.config import AdoptSlice
from pipeline.core.errors import ConfigError
from pipeline.core.kept import kept
from pipeline.core.stage import Step
from pipeline.core.store import Artifact
from pipeline.outside import Describe, model_files
from pipeline.stages.adopt import adopt

KEY = re.compile(r"(?:(?:pretrain|finetune|sweep|adopt)/)?[0-9a-f]{6,12}")
"""What is taken for a key, whatever folders there are."""
TUNED = ("finetune", "sweep")
"""Stages that train on a labelled task."""
MODELS = ("pretrain", *TUNED, "adopt")
BEGINS = ("init", "pretrain")
"""Roles of the model that another goes on from."""

Find = Callable[[str], Artifact]
"""Gives an artifact by its key; see `Store.get`."""


def no_store(reference: str) -> Artifact:
    """Find nothing, where a plan is made without a store.

    Raises: ConfigError always.
    """
    raise ConfigError(f"{reference}: there is no store to find it in; name a folder")


def last_part(init: str) -> str:
    """Name a start shortly."""
    return init.rstrip("/").rsplit("/", 1)[-1]


class Starts:
    """The steps of models to start from; asked twice for the same, it gives the same."""

    def __init__(self, describe: Describe, find: Find) -> None:
        self._describe, self._find = describe, find
        self._known: dict[str, dict[str, Step]] = {}

    def at(self, setting: str, init: str) -> Mapping[str, Step]:
        """Give the steps of a model, `pretrain`, and of its `tokenizer`.

        Raises: ConfigError if the key names no model, or the folder holds none.
        """
        if init not in self._known:
            self._known[init] = self._stored(setting, init) if KEY.fullmatch(init) else self._adopted(setting, init)
        return self._known[init]

    def _stored(self, setting: str, reference: str) -> dict[str, Step]:
        artifact = self._find(reference)
        if artifact.label not in MODELS:
            raise ConfigError(
                f"{setting}={reference}: is {artifact.label}/{artifact.key}; expected a model: {', '.join(MODELS)}"
            )
        model = kept(artifact)
        if artifact.label == "adopt":
            return {"pretrain": model, "tokenizer": model}
        return {"pretrain": model, "tokenizer": kept(self._find(artifact.manifest["inputs"]["tokenizer"]))}

    def _adopted(self, setting: str, path: str) -> dict[str, Step]:
        files = model_files(setting, path, self._describe)
        model = Step(adopt, AdoptSlice(), sources=files, variant=last_part(path))
        return {"pretrain": model, "tokenizer": model}
