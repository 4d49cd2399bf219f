"""TRAINING_DATA.md of an exported model: a public summary of the content that it was trained on, from its manifests.

The sections and their numbers are those of the European Commission's template. What pretrace cannot know, such as who the
provider is or by what right a file was used, it says it does not know.

Source: European Commission, Template for the public summary of training content for general-purpose AI models, Article
53(1)(d) of Regulation (EU) 2024/1689.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flows.composition import Share, account_of, shares_of
from flows.markdown import plain, table
from flows.origins import Origins
from flows.showing import size
from flows.units import counted, number
from pipeline.core.fingerprint import key_of
from pipeline.core.store import Artifact
from pipeline.text.cleaning import STEPS
from pipeline.text.sources import SOURCES

SUMMARY = "TRAINING_DATA.md"
UNKNOWN = "not recorded"
FOR_THE_PROVIDER = "*For the provider to say: pretrace has no record of it.*"
PUBLIC = ("wikipedia", "wikiextractor")
CRAWLED = ("warc",)
"""Kinds of source whose origin follows from what they are; of any other file nobody can tell where it is from."""
DATED = re.compile(r"(?<!\d)(20\d\d)(\d\d)(\d\d)(?!\d)")
SIZES = ((1e9, "less than 1 billion tokens"), (1e13, "1 billion to 10 trillion tokens"))
FILES_LISTED = 50
DAY = len("2026-01-01")
WEIGHTS = "model.safetensors"


class Listed(NamedTuple):
    """Files that were read together, and what is known of them."""

    name: str
    kind: str
    about: str
    files: tuple[dict[str, Any], ...]
    share: Share | None
    shared: bool = False
    """Whether `share` is of other files too, that are called the same."""


def training_data(origins: Origins) -> str:
    """Write the summary."""
    parts: list[Iterable[str]] = [_opening(origins), _general(origins), _sources(origins), _processing(origins)]
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def listed(origins: Origins) -> list[Listed]:
    """List what was read from outside: sources of corpora, a tokenizer or a model made elsewhere, labelled files."""
    found = [one for corpus in origins.corpora for one in _of_corpus(corpus)]
    if origins.words_from and origins.words_from not in origins.corpora:
        found += [
            one._replace(about=f"{one.about} Only the vocabulary was learned from it.")
            for one in _of_corpus(origins.words_from)
        ]
    if origins.adopted:
        about = "A model made elsewhere that this one began as: what it was trained on is not recorded."
        found.append(Listed("model", "model", about, _files(origins.adopted, "model"), None))
    if files := _files(origins.tokenizer, "tokenizer"):
        about = "A tokenizer made elsewhere: what its vocabulary was learned from is not recorded."
        found.append(Listed("tokenizer", "tokenizer", about, files, None))
    for tuned in origins.tuned:
        task = tuned.manifest["config"]["task"]
        files = tuple(entry for entries in tuned.manifest["sources"].values() for entry in entries)
        found.append(Listed(task, "labelled files", f"Labelled rows of the task {task}, for fine-tuning.", files, None))
    return found


def _of_corpus(corpus: Artifact) -> Iterator[Listed]:
    """List the sources of a corpus."""
    config = corpus.manifest["config"]
    shares = {share.source: share for share in shares_of(corpus)}
    names = [str(source.get("name") or source["kind"]) for source in config["sources"]]
    for at, (name, source) in enumerate(zip(names, config["sources"], strict=True)):
        kind = str(source["kind"])
        about = SOURCES[kind].summary if kind in SOURCES else kind
        yield Listed(name, kind, about, _files(corpus, f"sources.{at}"), shares.get(name), names.count(name) > 1)


def _files(artifact: Artifact, role: str) -> tuple[dict[str, Any], ...]:
    return tuple(artifact.manifest["sources"].get(role, ()))


def _opening(origins: Origins) -> Iterator[str]:
    yield f"# Summary of the training content of {plain(origins.name)}"
    yield ""
    yield (
        "Written by pretrace from the manifests of the model's lineage; nothing in it was typed. It follows the template of "
        "the European Commission for Article 53(1)(d) of Regulation (EU) 2024/1689. It is no legal advice, and whether the "
        "model falls under that article is not for pretrace to say."
    )
    yield ""


def _general(origins: Origins) -> Iterator[str]:
    made = origins.model.manifest["made"]
    yield from ("## 1. General information", "", "### 1.1 Provider", "", f"- Name and contact: {FOR_THE_PROVIDER}")
    yield f"- Trained by: {plain(str(made.get('operator', UNKNOWN)))}"
    yield from ("", "### 1.2 Model", "", f"- Name: {plain(origins.name)}")
    yield f"- Version: `{origins.model.label}/{origins.model.key}`, manifest `{origins.model.manifest['digest']}`"
    yield f"- Models that it depends on: {_bases(origins)}"
    yield f"- Trained at: {plain(str(made['at']))}"
    yield f"- Placed on the market of the Union: {FOR_THE_PROVIDER}"
    yield from ("", "### 1.3 Modalities, size and other characteristics", "", *_characteristics(origins))


def _bases(origins: Origins) -> str:
    """Name the models that it went on from."""
    known = [f"`{one.label}/{one.key}`, of the same lineage" for one in origins.line[:-1] if one.label != "adopt"]
    if not origins.adopted:
        return "; ".join(known) or "none, trained from random weights"
    weights = next(entry for entry in origins.adopted.manifest["files"] if entry["name"] == WEIGHTS)
    return "; ".join([f"one made elsewhere, whose {WEIGHTS} has the sha256 `{weights['sha256']}`", *known])


def _characteristics(origins: Origins) -> Iterator[str]:
    shares = [share for corpus in origins.corpora for share in shares_of(corpus)]
    tokens = sum(one.manifest["facts"].get("train", {}).get("tokens", 0) for one in _longest(origins))
    words, letters = sum(share.words for share in shares), sum(share.utf8_bytes for share in shares)
    besides = "; what the model made elsewhere was trained on is not known" if origins.adopted else ""
    yield "- Modality: text. Images, audio, video, other: none"
    if shares:
        counts = f"{number(tokens)} tokens, {words:,} words, {size(letters)} after processing"
        yield f"- Size: {_range(tokens)} ({counts}){besides}"
    else:
        yield f"- Size: nothing beside the labelled files of section 2.6 was trained on here{besides}"
    yield f"- Types of content: as the sources in section 2; {FOR_THE_PROVIDER}"
    read = max(str(one.manifest["made"]["at"])[:DAY] for one in origins.everything if one.manifest["sources"])
    yield f"- Latest date of acquisition: not after {plain(read)}, when the files were read"
    yield f"- Languages: {_languages(origins)}{besides}"
    yield ""


def _longest(origins: Origins) -> list[Artifact]:
    """Take of each corpus the examples with the most tokens: phases of other lengths are made of the same text."""
    found: dict[str, Artifact] = {}
    for one in sorted(origins.examples, key=lambda one: int(one.manifest["facts"].get("train", {}).get("tokens", 0))):
        found[one.manifest["inputs"]["corpus"]] = one
    return list(found.values())


def _languages(origins: Origins) -> str:
    said = []
    for corpus in origins.corpora:
        config = corpus.manifest["config"]
        checked = "language" in config["cleaning"]["steps"]
        how = "every document was checked" if checked else "as set for splitting sentences; documents were not checked"
        said.append(f"{plain(config['language'])} ({how})")
    return "; ".join(dict.fromkeys(said)) or f"that of the labelled files, {UNKNOWN}"


def _range(tokens: int) -> str:
    return next((said for limit, said in SIZES if tokens < limit), "more than 10 trillion tokens")


def _sources(origins: Origins) -> Iterator[str]:
    found = listed(origins)
    public, crawled = ([one for one in found if one.kind in kinds] for kinds in (PUBLIC, CRAWLED))
    others = [one for one in found if one.kind not in (*PUBLIC, *CRAWLED)]
    none = "None recorded; files whose origin is not known are listed in 2.6." if others else "None."
    yield from ("## 2. List of data sources", "", "### 2.1 Publicly available datasets", "", *_group(public, none))
    yield from ("### 2.2 Private datasets obtained from third parties", "", none, "")
    yield from ("### 2.3 Data crawled and scraped from online sources", "", *_group(crawled, none))
    if crawled:
        yield from (
            f"Pretrace read archives and crawled nothing itself. Crawler, period and domains: {FOR_THE_PROVIDER}",
            "",
        )
    yield from ("### 2.4 User data", "", none, "", "### 2.5 Synthetic data", "", none, "")
    yield from ("### 2.6 Other sources of data", "")
    if others:
        yield from (
            f"Files from the machine that trained. Where they are from and by what right: {FOR_THE_PROVIDER}",
            "",
        )
    yield from _group(others, "None.")


def _group(group: Iterable[Listed], none: str) -> Iterator[str]:
    """Describe sources one after the other, each with its files."""
    lines = [line for one in group for line in _described(one)]
    yield from lines or (none, "")


def _described(one: Listed) -> Iterator[str]:
    total = sum(entry["bytes"] for entry in one.files)
    yield f"**{plain(one.name)}**: {plain(one.about)} {counted(len(one.files), 'file')}, {size(total)}."
    if one.share:
        share = one.share
        yield (
            f"Kept of {'all that is called so' if one.shared else 'it'}: {share.documents:,} documents, {share.sentences:,} sentences, {share.words:,} words, "
            f"{size(share.utf8_bytes)} of text."
        )
    yield f"Period of collection: {_period(one.files)}."
    yield ""
    rows = [(plain(entry["name"]), f"{entry['bytes']:,}", f"`{entry['sha256']}`") for entry in one.files[:FILES_LISTED]]
    yield from table(("file", "bytes", "sha256"), rows)
    if len(one.files) > FILES_LISTED:
        yield f"And {len(one.files) - FILES_LISTED:,} more, which the manifest names; the digest of the list is `{key_of(one.files)}`."
        yield ""


def _period(files: Iterable[dict[str, Any]]) -> str:
    """Say from when files are, by the dates in their names."""
    found = sorted({"-".join(date.groups()) for entry in files if (date := DATED.search(str(entry["name"])))})
    dates = [date for date in found if "01" <= date[5:7] <= "12" and "01" <= date[8:] <= "31"]
    if not dates:
        return UNKNOWN
    return f"{dates[0]} (by the file's name)" if len(dates) == 1 else f"{dates[0]} to {dates[-1]} (by the files' names)"


def _processing(origins: Origins) -> Iterator[str]:
    yield from ("## 3. Data processing", "", "### 3.1 Reservations of rights from text and data mining", "")
    yield (
        "Pretrace reads files and fetches nothing, so it met no robots.txt and no other machine-readable reservation. "
        "Documents whose rightsholders object can be named in the list `recipe.corpus.exclude`"
        f"{''.join(f'; {_excluded(corpus)}' for corpus in _read(origins))}."
    )
    yield f"Whether rights were reserved at the places where the files are from: {FOR_THE_PROVIDER}"
    yield from ("", "### 3.2 Removal of illegal content", "")
    yield (
        "None of the steps below looks for illegal content; nothing was searched for it and nothing removed on its account, "
        f"except what the exclusion list may name. Measures taken before the files were read: {FOR_THE_PROVIDER}"
    )
    yield from ("", "### 3.3 Other information", "")
    for corpus in _read(origins):
        yield from _cleaning(corpus)
    if not _read(origins):
        yield from ("No corpus was read, so there was nothing to clean; labelled files are taken as they are.", "")
    yield from _held_out(origins)


def _read(origins: Origins) -> list[Artifact]:
    """List the corpora, the one that the vocabulary was learned from too."""
    every = [*origins.corpora, *([origins.words_from] if origins.words_from else [])]
    return list({corpus.key: corpus for corpus in every}.values())


def _excluded(corpus: Artifact) -> str:
    if not _files(corpus, "exclude"):
        return f"corpus {corpus.key} had none"
    dropped = corpus.manifest["facts"].get("dropped", {}).items()
    count = sum(count for reason, count in dropped if reason.partition(":")[0] == "exclude")
    return f"{counted(count, 'document')} of corpus {corpus.key} were left out by it"


def _cleaning(corpus: Artifact) -> Iterator[str]:
    config, facts = corpus.manifest["config"], corpus.manifest["facts"]
    yield from (f"Cleaning of corpus {corpus.key}, in this order:", "")
    yield from (
        f"- `{plain(step)}`: {plain(STEPS[step].summary) if step in STEPS else UNKNOWN}"
        for step in config["cleaning"]["steps"]
    )
    yield from ("", "Documents of equal text are kept once. " + _near(config["near_duplicates"]), "")
    rows = [(f"{line.documents:,}", plain(line.step), plain(line.why)) for line in account_of(facts)]
    yield from table(("documents", "step", "why"), rows)


def _near(config: dict[str, Any]) -> str:
    if config["mode"] == "keep":
        return "Near-duplicates were not looked for."
    return f"Of near-duplicates (at least {config['threshold']:g} of their runs of {config['shingle_words']} words in common) one is kept."


def _held_out(origins: Origins) -> Iterator[str]:
    shares = {examples.manifest["config"]["held_out_fraction"] for examples in origins.examples}
    for share in sorted(shares):
        yield f"Of the documents a share of {share:g}, drawn by a hash of their text, was kept for evaluation and not trained on."
        yield ""
