from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, model_validator

from pipeline.core.errors import ConfigError
from pipeline.core.layers import read_tree, validated
from pipeline.core.section import OneOf, Section

COLOURS = {"red": 1, "green": 2}


class Part(Section):
    colour: Annotated[str, OneOf(COLOURS)] = "red"
    size: Annotated[int, Field(ge=1)] = 1


class Whole(Section):
    part: Part = Part()
    parts: tuple[Part, ...] = (Part(), Part(size=2))
    rate: float = 0.5
    name: str | None = None

    @model_validator(mode="after")
    def _agree(self) -> "Whole":
        if self.part.size > 10:
            raise ValueError(f"part.size={self.part.size} exceeds 10; lower it")
        return self


def load(*overrides: str, files: tuple[Path, ...] = ()) -> Whole:
    return validated(Whole, read_tree(Whole().model_dump(mode="json"), files, overrides))


def written(folder: Path, *texts: str) -> tuple[Path, ...]:
    files = [folder / f"{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    return tuple(files)


def test_later_files_lie_over_earlier_ones_and_leave_what_they_do_not_name(tmp_path: Path) -> None:
    files = written(tmp_path, "part: {colour: green, size: 2}\nrate: 0.1", "part: {size: 3}")
    assert load(files=files) == Whole(part=Part(colour="green", size=3), rate=0.1)
    assert load(files=files[::-1]).part.size == 2


def test_a_file_replaces_a_list_whole(tmp_path: Path) -> None:
    files = written(tmp_path, "parts: [{size: 5}, {size: 6}, {size: 7}]", "parts: [{size: 8}]")
    assert load(files=files).parts == (Part(size=8),)


def test_overrides_come_last_in_their_order(tmp_path: Path) -> None:
    files = written(tmp_path, "part: {size: 2}")
    assert load("part.size=3", "part.size=4", files=files).part.size == 4


def test_an_override_reaches_into_a_list_of_a_file_or_of_the_defaults(tmp_path: Path) -> None:
    assert load("parts.1.colour=green").parts == (Part(), Part(size=2, colour="green"))
    files = written(tmp_path, "parts: [{size: 5}, {size: 6}]")
    assert load("parts.0.colour=green", files=files).parts == (Part(size=5, colour="green"), Part(size=6))
    assert load("parts.1={size: 9}", files=files).parts == (Part(size=5), Part(size=9))


def test_an_override_is_read_as_yaml_and_keeps_what_is_none() -> None:
    assert load("rate=1e-4").rate == 0.0001
    assert load("part={colour: green}").part == Part(colour="green")
    assert load("name=null").name is load("name=").name is None
    assert load("name=a=b").name == "a=b"
    assert load("name=C: [drive").name == "C: [drive"
    assert load("name=Über").name == "Über"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("part", r"^part: is not an override; write a\.b=c"),
        ("=1", r"^=1: is not an override"),
        ("parts.2.size=1", r"^parts\.2\.size: there is no item 2 in a list of 2; items count from 0"),
        ("parts.last=1", r"^parts\.last: there is no item last in a list of 2"),
        ("rate.x=1", r"^rate\.x: rate is 0\.5 and holds no x; set rate itself$"),
        ("rate.x.y=1", r"^rate\.x\.y: rate is 0\.5 and holds no x"),
        ("part.siez=1", r"^part\.siez: is not a setting; did you mean part\.size\?$"),
        ("parts.0.color=red", r"^parts\.0\.color: is not a setting; did you mean parts\.0\.colour\?$"),
        ("part.q=1", r"^part\.q: is not a setting; known are colour, size$"),
        ("patr.size=1", r"^patr: is not a setting; did you mean part\?$"),
        ("part.size=0", r"^part\.size=0: input should be greater than or equal to 1$"),
        ("part.size=few", r"^part\.size='few': input should be a valid integer"),
        ("part.colour=blue", r"^part\.colour='blue': is not one of red, green$"),
        ("parts.1.colour=blue", r"^parts\.1\.colour='blue': is not one of red, green$"),
        ("part.size=11", r"^part\.size=11 exceeds 10; lower it$"),
        ("part=5", r"^part=5: input should be a valid dictionary"),
    ],
)
def test_a_mistake_is_one_sentence_that_opens_with_the_setting(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load(override)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a: [1", r"is not YAML \(.*expected ',' or '\]'"),
        (b"a: \xff", r"is not YAML \(.*can't decode byte 0xff"),
        (b"", r"holds no settings; expected the roots recipe: and run:"),
        (b"- 1\n- 2", r"holds no settings"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, text: bytes, sentence: str) -> None:
    (tmp_path / "a.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/a\.yaml: {sentence}") as caught:
        load(files=(tmp_path / "a.yaml",))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"nope\.yaml: cannot be read \(No such file or directory\); name a YAML file"
    ):
        load(files=(tmp_path / "nope.yaml",))


def test_reading_a_tree_leaves_the_defaults_as_they_are() -> None:
    defaults: dict[str, Any] = {"part": {"size": 1}}
    read_tree(defaults, [], ["part.size=2", "rate=1"])
    assert defaults == {"part": {"size": 1}}
