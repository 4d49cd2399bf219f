"""Data sets of the Hugging Face hub: a local folder in the hub's layout, or the name of one on the hub.

Which files belong to which split is told as `datasets` tells it: by the configs of README.md, by `data/train-00000-of-00001.parquet`,
by the names of folders, by the names of files; if none of these speaks, everything is `train`.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import columns, files, ipc, jsonl, parquet
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span

FORMATS: Mapping[str, Source] = {
    r"\.parquet$": parquet.SOURCE,
    r"\.arrow$": ipc.SOURCE,
    r"\.(jsonl|ndjson|json)(\.gz)?(@\d+(\.gz|\.cut))?$": jsonl.SOURCE,  # also as `unpack` names its parts
    r"\.[ct]sv(\.gz|\.bz2)?$": columns.SOURCE,
}
READABLE = "|".join(FORMATS)
ABOUT = frozenset({"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""Files beside the data that tell of it."""
SHARDED = re.compile(r"data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
KEYWORDS = {"train": "train|training", "validation": "validation|valid|dev|val", "test": "test|testing|eval|evaluation"}
BORDER = "[-._ 0-9]"
NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
NOTHING = "(?!)"
"""A regular expression that nothing matches."""
CLASS = r"\[!?\]?[^\]]*\]"
GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def find(path: Path, split: str) -> list[Path]:
    """List the files of a split; a data set that is no file or folder here is downloaded from the hub.

    Raises: ConfigError if there is no such data set or split, or the hub cannot be reached.
    """
    if path.is_file():
        return [path]
    root = path if path.is_dir() else None
    names = _local(path) if root else _remote(str(path))
    card = "README.md" if "README.md" in names else ""
    readme = (root or _download(str(path), [card])[0].parent) / card if card else None
    by_split = split_files(_data(names), _configs(readme) if readme else {})
    if split not in by_split:
        there = ", ".join(sorted(by_split)) or "none"
        raise ConfigError(
            f"{path}: no files of a split {split!r} (.parquet, .arrow, .jsonl, .csv, .tsv); its splits: {there}"
        )
    if root is None:
        return _download(str(path), by_split[split])
    found = [root / name for name in by_split[split]]
    for file in found:
        files.require_name(file)
    return found


def split_files(names: Iterable[str], configured: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Sort the files of a data set, given by their paths in it, into splits; `configured` are the patterns of each, if any.

    Source: `datasets.data_files.get_data_patterns`, datasets 5.2.
    """
    names = sorted(names)
    if configured:
        return _matching(names, {split: "|".join(map(_pattern, globs)) for split, globs in configured.items()})
    sharded = {match["split"] for name in names if (match := SHARDED.fullmatch(name))}
    if sharded:
        return _matching(
            names, {split: rf"data/{re.escape(split)}-\d{{5}}-of-\d{{5}}[^/]*\.[^/]*" for split in sharded}
        )
    begun = rf"(?:[^/]*{BORDER})?"
    folders = {split: rf"(?:.*/)?{begun}(?:{words})(?:{BORDER}[^/]*)?/.*" for split, words in KEYWORDS.items()}
    in_names = {split: rf"(?:.*/)?{begun}(?:{words}){BORDER}[^/]*" for split, words in KEYWORDS.items()}
    return _matching(names, folders) or _matching(names, in_names) or _matching(names, {"train": ".*"})


def cut(path: Path) -> list[Span]:
    """Cut a file as others of its format are cut.

    Raises: DataError if it is not what its name says.
    """
    return _format(path).cut(path)


def unpack(path: Path, out: Path) -> None:
    """Rewrite a long compressed file as others of its format are rewritten.

    Raises: DataError if it is damaged.
    """
    source = _format(path)
    if source.unpack is None:
        raise DataError(f"{path}: cannot be rewritten in parts; decompress it first")
    source.unpack(path, out)


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the rows in a span of a file.

    Raises: DataError as the format of the file does, or if that is unknown.
    """
    return _format(path).read(path, span, reading)


def _format(path: Path) -> Source:
    for pattern, source in FORMATS.items():
        if re.search(pattern, path.name, re.IGNORECASE):
            return source
    raise DataError(f"{path}: not a .parquet, .arrow, .jsonl, .csv or .tsv file; name a data set that has such files")


def _local(root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()]


def _data(names: Iterable[str]) -> list[str]:
    """Leave out what is hidden or tells of the data, as `datasets` does, and what is in no format that can be read."""
    return [
        name
        for name in names
        if re.search(READABLE, name)
        and name.rpartition("/")[2] not in ABOUT
        and not any(part.startswith((".", "__")) for part in name.split("/"))
    ]


def _matching(names: Iterable[str], patterns: Mapping[str, str]) -> dict[str, list[str]]:
    found = {split: [name for name in names if re.fullmatch(pattern, name)] for split, pattern in patterns.items()}
    return {split: listed for split, listed in found.items() if listed}


def _pattern(glob: str) -> str:
    parts = re.split(rf"(\*\*/|\*\*|\*|\?|{CLASS})", glob.removeprefix("./"))
    return "".join(
        GLOBS.get(part) or (_class(part, glob) if re.fullmatch(CLASS, part) else re.escape(part)) for part in parts
    )


def _class(part: str, glob: str) -> str:
    """Translate a class of characters, "[!a-z]", as Python and the hub's libraries do; it never means a slash.

    Raises: ConfigError if no character is of it.
    """
    chosen = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
    if chosen == NOTHING:
        raise ConfigError(
            f"{glob}: no character can be one of {part} in this pattern of a data set's card; write its ranges from low to high"
        )
    return f"(?!/){chosen}"


def _configs(readme: Path) -> dict[str, list[str]]:
    """Read the patterns of the splits out of a data set's card.

    Raises: ConfigError if the card cannot be read, or has several configs and no default one.
    """
    import yaml

    try:
        front = FRONT_MATTER.match(readme.read_text(encoding="utf-8-sig"))
        card = yaml.safe_load(front[1]) if front else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{readme}: its front matter cannot be read ({str(error).splitlines()[0]}); mend or remove it"
        ) from error
    listed = card.get("configs") if isinstance(card, dict) else None
    configs = [config for config in listed or [] if isinstance(config, dict) and "data_files" in config]
    if len(configs) > 1:
        configs = [config for config in configs if config.get("default") or config.get("config_name") == "default"]
        if not configs:
            named = ", ".join(
                str(config.get("config_name")) for config in cast("list[Any]", listed) if isinstance(config, dict)
            )
            raise ConfigError(
                f"{readme}: has several configs ({named}) and no default one; name the folder of one of them"
            )
    return _patterns(configs[0]["data_files"]) if configs else {}


def _patterns(data_files: Any) -> dict[str, list[str]]:
    """Bring the forms that `data_files` may have to one: patterns by split."""
    if isinstance(data_files, dict):
        return {str(split): _strings(globs) for split, globs in data_files.items()}
    if isinstance(data_files, list) and any(isinstance(entry, dict) for entry in data_files):
        return {str(entry.get("split")): _strings(entry.get("path")) for entry in data_files if isinstance(entry, dict)}
    return {"train": _strings(data_files)}


def _strings(globs: Any) -> list[str]:
    return [str(glob) for glob in (globs if isinstance(globs, list) else [globs])]


def _remote(name: str) -> list[str]:
    """List the files of a data set on the hub."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name}: no such file or folder, and no name of a data set on the Hugging Face hub (owner/name)"
        )
    return cast("list[str]", _ask(name, lambda hub: hub.HfApi().list_repo_files(name, repo_type="dataset")))


def _download(name: str, wanted: list[str]) -> list[Path]:
    """Fetch files of a data set into the cache of the hub's library, unless they are there."""
    return cast(
        "list[Path]",
        _ask(name, lambda hub: [Path(hub.hf_hub_download(name, file, repo_type="dataset")) for file in wanted]),
    )


def _ask(name: str, question: Any) -> Any:
    try:
        import huggingface_hub
        from httpx import HTTPError
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise ConfigError(
            f"{name}: no such file or folder; to fetch it from the Hugging Face hub, install the library: pip install 'pretrace[hub]'"
        ) from error
    try:
        return question(huggingface_hub)
    except (OSError, HTTPError, HfHubHTTPError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{name}: no such file or folder, and the Hugging Face hub did not give it ({reason}); check the name, or download it elsewhere"
        ) from error


SOURCE = Source(
    "A data set of the Hugging Face hub: its name, or a folder in its layout; a record a row, the text in a named column.",
    find,
    read,
    cut,
    unpack,
)
