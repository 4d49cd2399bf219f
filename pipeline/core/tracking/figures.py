"""What of a recipe and a manifest becomes params and metrics: names that are few, legal and the same in every run."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.core.tracking.uris import without_passwords

PARAM_CHARACTERS = 6000
"""MLflow's limit for the value of a param."""
NAME = re.compile(r"[A-Za-z0-9_.]+")
TALLY = "_by_"
"""A fact called `read_by_source` is keyed by data: its names would be other ones in every run."""


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested data to dotted names: {"a": {"b": [1]}} to {"a.b.0": 1}."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(at), item) for at, item in enumerate(value)]
    else:
        return {path: value}
    parts = [flat(item, f"{path}.{name}" if path else name) for name, item in items]
    return {name: item for part in parts for name, item in part.items()}


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Give the params of a recipe's slice: one a setting, with lists of plain values as one."""
    return {
        name: without_passwords(str(value))[:PARAM_CHARACTERS]
        for name, value in flat(_with_short_lists(config)).items()
    }


def metrics_of(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Give the figures of an artifact: its costs and those of its facts whose names are ours, not the data's.

    Lists, tallies and facts keyed by sentences are left to the manifest: they would make a new column in every run.
    """
    figures = {**flat(_without_lists(manifest["facts"])), **manifest["made"]}
    return {name: float(value) for name, value in figures.items() if _is_number(value) and NAME.fullmatch(name)}


def _with_short_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_short_lists(item) for name, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    if any(isinstance(item, Mapping | list | tuple) for item in value):
        return [_with_short_lists(item) for item in value]
    return json.dumps(value, ensure_ascii=False)


def _without_lists(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_lists(value) if isinstance(value, Mapping) else value
        for name, value in facts.items()
        if not isinstance(value, list | tuple) and TALLY not in name
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
