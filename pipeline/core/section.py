"""Sections of the config tree: frozen, typed, closed to unknown keys.

A field is *what* (it names the artifact) unless marked as a `Place`: where outside data lie on this machine. A place is left
out of the recipe; the digests of the files found there are put in instead, so a moved file changes nothing.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema


class _PlaceMark:
    """Marks a field as *where*, not *what*."""


PLACE: Final = _PlaceMark()
Place = Annotated[str, PLACE]


class Section(BaseModel):
    """A part of the config tree; immutable, so that what was hashed is what is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)

    def recipe(self) -> dict[str, Any]:
        """Give the plain data that name an artifact: every field but the places."""
        fields = type(self).model_fields
        return {name: _plain(getattr(self, name)) for name, field in fields.items() if PLACE not in field.metadata}


def one_of(registry: Mapping[str, object]) -> Any:
    """Type a field as one name of a registry; the names are its choices in the form and in the error message."""
    names = list(registry)

    def known(name: str) -> str:
        if name not in registry:
            raise ValueError(f"is not one of {', '.join(names)}")
        return name

    return Annotated[str, AfterValidator(known), WithJsonSchema({"type": "string", "enum": names})]


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.recipe()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
