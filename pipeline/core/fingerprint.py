"""Names from recipes: equal recipes have equal keys on every machine, and what has no single canonical form is refused."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.errors import ConfigError

KEY_DIGITS = 12


def key_of(recipe: Any) -> str:
    """Name a recipe: the first 12 hex digits of the SHA-256 of its canonical JSON.

    Raises: ConfigError naming the path of a value without one canonical form (a NaN, a set, an object, ...).
    """
    return hashlib.sha256(canonical(recipe).encode()).hexdigest()[:KEY_DIGITS]


def canonical(value: Any) -> str:
    """Write plain data as JSON in the one form that is hashed: keys sorted, no spaces, ASCII."""
    _refuse_ambiguous(value, "recipe")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Compare two recipes: the dotted path of every leaf that differs, with its old and new value (None if absent)."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted({*old, *new})
        parts = [differences(old.get(name), new.get(name), f"{path}.{name}" if path else name) for name in names]
        return {at: pair for part in parts for at, pair in part.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        parts = [differences(a, b, f"{path}.{at}") for at, (a, b) in enumerate(zip(old, new, strict=True))]
        return {at: pair for part in parts for at, pair in part.items()}
    return {} if old == new and type(old) is type(new) else {path: (old, new)}


def _refuse_ambiguous(value: Any, path: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _refuse_surrogates(value, path)
    elif isinstance(value, float):
        _refuse_odd_float(value, path)
    elif isinstance(value, Mapping):
        _refuse_in_mapping(value, path)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for at, item in enumerate(value):
            _refuse_ambiguous(item, f"{path}.{at}")
    else:
        raise ConfigError(f"{path}: a {type(value).__name__} has no canonical form; use text, numbers, lists and maps")


def _refuse_in_mapping(value: Mapping[Any, Any], path: str) -> None:
    for name, item in value.items():
        if not isinstance(name, str):
            raise ConfigError(f"{path}: the key {name!r} is not text, and only text keys have a canonical form")
        _refuse_ambiguous(item, f"{path}.{name}")


def _refuse_odd_float(value: float, path: str) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"{path}={value} has no canonical form; give a finite number")
    if value == 0 and math.copysign(1, value) < 0:
        raise ConfigError(f"{path}=-0.0 has no canonical form; give 0.0")


def _refuse_surrogates(value: str, path: str) -> None:
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ConfigError(f"{path}: the text holds half a surrogate pair and has no UTF-8 form; mend it")
