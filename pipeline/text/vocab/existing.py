"""Tokenizers made elsewhere, brought into a folder of ours with the ids they have."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.vocab.algorithm import SPECIALS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

JSON, LINES, SETTINGS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"


def tokenizer_files(path: Path) -> list[Path]:
    """Find the files of an existing tokenizer: a Hugging Face folder, a tokenizer.json or a vocab.txt.

    Raises: ConfigError if there is none.
    """
    if path.is_file() and path.suffix in (".json", ".txt"):
        return [path]
    if (path / JSON).is_file():  # says more than the other files of the folder
        return [path / JSON]
    if (path / LINES).is_file():
        return [path / name for name in (LINES, SETTINGS) if (path / name).is_file()]
    raise ConfigError(f"no tokenizer there; name a {JSON}, a {LINES}, or a folder that holds one of them")


def read(files: Sequence[Path], *, lowercase: bool) -> "Tokenizer":
    """Read the files that `tokenizer_files` found; every piece keeps its id.

    A vocab.txt gets BERT's normaliser and splitter, as a tokenizer_config.json beside it says; `lowercase` is for one without.

    Raises: DataError if they are no tokenizer of ours, lack a special token, or leave ids out.
    """
    path = files[0]
    found = _from_json(path) if path.suffix == ".json" else _from_lines(path, _told(files[1:]), lowercase=lowercase)
    _require_ids(path, found.get_vocab())
    return found


def _from_json(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    from pipeline.text.vocab import algorithm_of
    from pipeline.text.vocab.folder import finished

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise DataError(f"{path}: not a tokenizer of the tokenizers library ({error}); name another file") from error
    try:
        algorithm_of(tokenizer)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    _require_specials(path, tokenizer.get_vocab())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return finished(tokenizer)


def _from_lines(path: Path, told: Mapping[str, Any], *, lowercase: bool) -> "Tokenizer":
    from pipeline.text.vocab import wordpiece
    from pipeline.text.vocab.wordpiece import normalise_as

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; expected a piece a line in UTF-8") from error
    pieces = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]  # U+2028 and others are pieces
    _require_specials(path, pieces)
    if len(set(pieces)) < len(pieces):
        twice = next(piece for at, piece in enumerate(pieces) if piece in pieces[:at])
        raise DataError(f"{path}: has the piece {twice!r} twice, so one of its ids has none; expected each piece once")
    tokenizer = wordpiece(pieces, lowercase=lowercase)
    normalise_as(tokenizer, told)
    return tokenizer


def _told(settings: Sequence[Path]) -> dict[str, Any]:
    """Read what a tokenizer_config.json says, if there is one."""
    if not settings:
        return {}
    try:
        known: dict[str, Any] = dict(json.loads(settings[0].read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{settings[0]}: not a JSON object ({error}); mend it or name the vocab.txt alone") from error
    return known


def _require_specials(path: Path, pieces: Collection[str]) -> None:
    missing = [token for token in SPECIALS if token not in pieces]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} not in the vocabulary; expected {', '.join(SPECIALS)}")


def _require_ids(path: Path, vocabulary: Mapping[str, int]) -> None:
    last = max(vocabulary.values())
    if last + 1 != len(vocabulary) or len(set(vocabulary.values())) < len(vocabulary):
        raise DataError(f"{path}: has {len(vocabulary)} pieces with ids up to {last}; expected every id from 0 once")
