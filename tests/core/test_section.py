from typing import Annotated

import pytest
from pydantic import ValidationError

from pipeline.core.section import OneOf, Place, Section


class Inner(Section):
    path: Place = "/here"
    """Where it lies."""
    rate: float = 0.1


class Outer(Section):
    inner: Inner = Inner()
    more: tuple[Inner, ...] = (Inner(path="/there"),)
    named: dict[str, Inner] = {"a": Inner()}  # noqa: RUF012 - pydantic copies defaults
    maybe: Inner | None = None
    sizes: tuple[int, ...] = (1, 2)
    kind: Annotated[str, OneOf({"x": 1, "y": 2})] = "x"


def test_what_leaves_out_places_at_every_depth() -> None:
    plain = {"rate": 0.1}
    assert Outer().what() == {
        "inner": plain,
        "more": [plain],
        "named": {"a": plain},
        "maybe": None,
        "sizes": [1, 2],
        "kind": "x",
    }


def test_a_place_is_read_like_any_text() -> None:
    assert Inner(path="/data").path == "/data"
    assert Inner(path="/data").what() == Inner().what()


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner().rate = 0.2  # type: ignore[misc]


def test_a_section_knows_its_keys() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Inner.model_validate({"speed": 1})


def test_docstrings_of_fields_are_their_descriptions() -> None:
    assert Inner.model_json_schema()["properties"]["path"]["description"] == "Where it lies."


def test_one_of_offers_the_names_of_its_registry_and_refuses_others() -> None:
    assert Outer.model_json_schema()["properties"]["kind"]["enum"] == ["x", "y"]
    with pytest.raises(ValidationError, match="is not one of x, y"):
        Outer(kind="z")


def test_defaults_are_checked_as_well() -> None:
    class Wrong(Section):
        kind: Annotated[str, OneOf({"x": 1})] = "nope"

    with pytest.raises(ValidationError, match="is not one of x"):
        Wrong()
