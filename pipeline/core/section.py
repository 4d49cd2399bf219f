"""Sections of the config tree: frozen, typed, closed to unknown keys.

A field is *what* (it names the artifact) unless marked as a `Place`: where outside data lie on this machine. A place is left
out of the recipe; the digests of the files found there are put in instead, so a moved file changes nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class _PlaceMark:
    """Marks a field as *where*, not *what*."""


PLACE: Final = _PlaceMark()
Place = Annotated[str, PLACE]


class Section(BaseModel):
    """A part of the config tree; immutable, so that what was hashed is what is used."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        model_title_generator=lambda model: _title(model.__name__),
    )

    def what(self) -> dict[str, Any]:
        """Give the plain data that name an artifact: every field but the places."""
        fields = type(self).model_fields
        return {name: _plain(getattr(self, name)) for name, field in fields.items() if PLACE not in field.metadata}


@dataclass(frozen=True)
class OneOf:
    """Types a text field as one name of a registry: its names are the choices in the form and in the error message."""

    registry: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.registry)}

    def _known(self, name: str) -> str:
        if name not in self.registry:
            raise ValueError(f"is not one of {', '.join(self.registry)}")
        return name


def _title(name: str) -> str:
    """Write a section's name as the form shows it: NearDuplicatesConfig is `Near duplicates`."""
    return re.sub(r"(?<=[a-z])([A-Z])", r" \1", name.removesuffix("Config")).capitalize()


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.what()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
