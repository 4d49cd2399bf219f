"""Steps for artifacts that are in the store already: a plan can begin with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.core.compute import Facts
from pipeline.core.errors import StoreError
from pipeline.core.section import Section
from pipeline.core.stage import Context, Stage, Step
from pipeline.core.store import Artifact


@dataclass(frozen=True)
class Kept(Step):
    """A step that is named by the manifest of its artifact, and never made."""

    manifest: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The plain data that its bytes depend on."""
        return {name: self.manifest[name] for name in ("stage", "version", "config", "inputs", "sources")}


def kept(artifact: Artifact) -> Kept:
    """Give the step of an artifact."""
    stage = Stage(artifact.manifest["stage"], artifact.manifest["version"], _gone)
    return Kept(stage, Section(), variant=artifact.key, manifest=artifact.manifest)


def _gone(config: Any, context: Context) -> Facts:
    raise StoreError(f"{context.out}: was in the store when the run was planned and is gone; name another artifact")
