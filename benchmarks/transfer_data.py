"""What benchmarks/transfer.py reads: books and wiki text unpacked, and samples of tasks, under `data` of its folder."""

import gzip
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHIVES = ("books/english-novels-A/english-novels-A.tar.zst", "books/gitenberg-A/gitenberg-A.tar.zst")
DUMPS = (
    "wikipedia/enwiki-gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    "wikipedia/enwiki-gensim/enwiki-table-markup.xml.bz2",
    "wikipedia/japanese-architects-2009/japanese_architects.xml.bz2",
)
WIKITEXT = "wikitext/wikitext-2-valid/valid.txt.gz"
SEED = 0
QUICK_BOOKS = 3
QUICK_SHARE = 10


@dataclass(frozen=True)
class Tuned:
    """A task of the benchmark: where its sample is, and how long it is trained on."""

    title: str
    task: str
    path: str
    metric: str
    length: int
    epochs: int
    real_epochs: int
    """Of the third start, which costs six times as much a token and needs fewer."""
    settings: dict[str, Any] = field(default_factory=dict)


TASKS = {
    "rte": Tuned("RTE, a fifth held back", "rte", "rte", "accuracy", 96, 2, 1, {"dev_fraction": 0.2}),
    "sst2": Tuned("SST-2, 5,000 sentences", "sst2", "sst2", "accuracy", 64, 2, 1),
    "codah": Tuned("CODAH, 1,000 questions", "codah", "codah", "accuracy", 64, 2, 1),
    "conll": Tuned("wikigold NER", "conll", "wikigold/wikigold.conll.txt", "f1", 96, 4, 2, {"dev_fraction": 0.2}),
    "squad": Tuned(
        "SQuAD, 750 questions", "squad", "squad/train.json", "f1", 192, 2, 1, {"dev_fraction": 0.2, "window_stride": 96}
    ),
}
"""Name, which is the task's in the product, -> task; samples as their titles say, the rest whole."""


def lay_out(data: Path, work: Path, *, quick: bool) -> None:
    """Write texts and samples where they are not there yet."""
    into = work / "data"
    if (into / "done").exists():
        return
    shutil.rmtree(into, ignore_errors=True)
    _texts(data, into, quick=quick)
    share = QUICK_SHARE if quick else 1
    _lines(data / "glue/SST-2/train.tsv.gz", into / "sst2/train.tsv", 5000 // share, header=True)
    _lines(data / "glue/SST-2/dev.tsv", into / "sst2/dev.tsv", 872, header=True)
    _lines(data / "glue/RTE/train.tsv.gz", into / "rte/train.tsv", 2490, header=True)
    _lines(data / "multiple-choice/codah-fold0/train.tsv", into / "codah/train.tsv", 1000 // share, header=False)
    _lines(data / "multiple-choice/codah-fold0/dev.tsv", into / "codah/dev.tsv", 556, header=False)
    _sentences(data / "ner/wikigold/wikigold.conll.txt", into / "wikigold/wikigold.conll.txt", every=share)
    _questions(data / "squad/squad-v1.1-subset20/dev.json.gz", into / "squad/train.json", 750 // share)
    (into / "done").touch()


def _texts(data: Path, into: Path, *, quick: bool) -> None:
    for name in ("books", "wiki", "wikitext"):
        (into / name).mkdir(parents=True)
    for archive in ARCHIVES:
        unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", data / archive], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", into / "books"], input=unpacked.stdout, check=True)
    for book in sorted((into / "books").rglob("*.txt"))[QUICK_BOOKS:] if quick else ():
        book.unlink()
    for dump in DUMPS[1:] if quick else DUMPS:
        shutil.copy(data / dump, into / "wiki" / Path(dump).name)
    shutil.copy(data / WIKITEXT, into / "wikitext")


def _lines(path: Path, into: Path, most: int, *, header: bool) -> None:
    """Draw lines of a file, in its own order."""
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        lines = file.read().splitlines(keepends=True)
    head, body = (lines[:1], lines[1:]) if header else ([], lines)
    drawn = sorted(random.Random(SEED).sample(range(len(body)), min(most, len(body))))
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text("".join([*head, *(body[at] for at in drawn)]), encoding="utf-8")


def _sentences(path: Path, into: Path, *, every: int) -> None:
    """Take every so-manieth sentence."""
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text("\n\n".join(path.read_text(encoding="utf-8").split("\n\n")[::every]), encoding="utf-8")


def _questions(path: Path, into: Path, most: int) -> None:
    """Draw paragraphs with their questions until there are enough of these."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    paragraphs = [(article["title"], one) for article in articles for one in article["paragraphs"]]
    random.Random(SEED).shuffle(paragraphs)
    kept, count = [], 0
    for title, paragraph in paragraphs:
        if count >= most:
            break
        kept.append({"title": title, "paragraphs": [paragraph]})
        count += len(paragraph["qas"])
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(json.dumps({"version": "1.1", "data": kept}), encoding="utf-8")
