"""Settings in layers: defaults, YAML files left to right, then `a.b=c` overrides, then one check of the whole tree.

A mistake becomes one sentence that opens with the dotted setting.
"""

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.core.errors import ConfigError

Root = TypeVar("Root", bound=BaseModel)


def read_tree(defaults: Mapping[str, Any], paths: Sequence[Path], overrides: Sequence[str]) -> dict[str, Any]:
    """Lay YAML files over the defaults, later ones over earlier ones, and apply overrides.

    A file replaces a list whole; an override reaches into one, also into a list of the defaults.

    Raises: ConfigError for a file that is missing or no YAML, or an override that is none or leads nowhere.
    """
    tree = dict(deepcopy(defaults))
    for path in paths:
        tree = _laid_over(tree, _read(path))
    for override in overrides:
        _override(tree, override)
    return tree


def validated(root: type[Root], tree: Mapping[str, Any]) -> Root:
    """Check a tree of plain data against its sections.

    Raises: ConfigError saying the first mistake.
    """
    try:
        return root.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_sentence(error, root)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name a YAML file such as configs/tiny.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no settings; expected the roots recipe: and run:")
    return tree


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _laid_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _override(tree: dict[str, Any], override: str) -> None:
    path, sign, text = override.partition("=")
    if not sign or not path:
        raise ConfigError(f"{override}: is not an override; write a.b=c, e.g. recipe.seed=7")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, leaf = path.split(".")
    here: Any = tree
    for name in parents:
        here = _step_down(here, name, path)
    _assign(here, leaf, value, path)


def _step_down(here: Any, name: str, path: str) -> Any:
    if isinstance(here, dict):
        return here.setdefault(name, {})
    if isinstance(here, list) and name.isdigit() and int(name) < len(here):
        return here[int(name)]
    raise ConfigError(_no_such_place(here, name, path))


def _assign(here: Any, leaf: str, value: Any, path: str) -> None:
    if isinstance(here, dict):
        here[leaf] = value
    elif isinstance(here, list) and leaf.isdigit() and int(leaf) < len(here):
        here[int(leaf)] = value
    else:
        raise ConfigError(_no_such_place(here, leaf, path))


def _no_such_place(here: Any, name: str, path: str) -> str:
    if isinstance(here, list):
        return (
            f"{path}: there is no item {name} in a list of {len(here)}; items count from 0, a YAML file can give more"
        )
    parent = path.partition(f".{name}")[0]
    return f"{path}: {parent} is {here!r} and holds no {name}; set {parent} itself"


def _sentence(error: ValidationError, root: type[BaseModel]) -> str:
    """Say the first mistake in one sentence that opens with the dotted setting."""
    first = error.errors(include_url=False)[0]
    roots = tuple(f"{name}." for name in root.model_fields)
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown_key(first["loc"], path, root)
    message = str(first.get("ctx", {}).get("error", "")) or first["msg"]
    if first["type"] == "value_error" and message.startswith(roots):
        return message
    return f"{path}={first['input']!r}: {message[0].lower()}{message[1:]}"


def _unknown_key(loc: tuple[int | str, ...], path: str, root: type[BaseModel]) -> str:
    section = _section_at(root, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1]), section.model_fields, n=1, cutoff=0.5)
    known = (
        f"did you mean {'.'.join(map(str, (*loc[:-1], near[0])))}?"
        if near
        else f"known are {', '.join(section.model_fields)}"
    )
    return f"{path}: is not a setting; {known}"


def _section_at(root: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel]:
    """Find the section class at a path of the tree; list positions are passed over."""
    section = root
    for name in (part for part in loc if isinstance(part, str)):
        section = _section_in(section.model_fields[name].annotation)
    return section


def _section_in(annotation: Any) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_section_in(part) for part in annotation.__args__ if part is not Ellipsis)
