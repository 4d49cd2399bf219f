"""What the README says is true: its commands exist and take those arguments, its files are there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from flows.cli import pretrace

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMANDS = (ROOT / "docs" / "demands.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^pretrace (?!run  CONFIG|plan CONFIG|show \[|gc  |up  |why  LABEL)(.*)$", README, re.MULTILINE)
SYNOPSES = re.findall(r"^pretrace (\w+) +(.*?)  +\S", README, re.MULTILINE)


@pytest.mark.parametrize("command", [command for command in COMMANDS if "KEY" not in command])
def test_every_command_of_the_readme_parses(command: str) -> None:
    name, *arguments = shlex.split(command, comments=True)
    found = pretrace.commands[name]
    context = found.make_context(name, arguments)
    for part in context.params.get("config", ()):
        assert "=" in part or (ROOT / part).is_file()


def test_the_readme_lists_the_commands_that_there_are() -> None:
    assert {name for name, _ in SYNOPSES} == set(pretrace.commands)


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[\w/.]+)`", README + DEMANDS))))
def test_every_test_that_the_docs_name_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("folder", re.findall(r"^  ?(\w+)/ ", README, re.MULTILINE))
def test_every_folder_of_the_tree_is_there(folder: str) -> None:
    assert any((parent / folder).is_dir() for parent in (ROOT, ROOT / "pipeline"))


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_every_make_target_of_the_readme_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(pretrace.commands))
def test_every_command_explains_itself(name: str) -> None:
    command = pretrace.commands[name]
    assert len(command.get_help(click.Context(command)).splitlines()) > 5
