"""How fast do documents become examples, against Hugging Face's tokenizer alone on the same text?

One core, CPU seconds, whole steps: reading the shard, encoding, pairs, Arrow files; the peer only encodes.
`python benchmarks/examples.py [--json]` takes its text from the sample that comes with gensim.
"""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pipeline.config import ExamplesSlice
from pipeline.core.arrow import read_rows, write_rows
from pipeline.outside import locate
from pipeline.stages.examples import MakeShard, make_shard
from pipeline.tables import DOCUMENTS
from pipeline.text.dedup import identity
from pipeline.text.encode import load
from pipeline.text.sentences import split
from pipeline.text.sources import SOURCES, Document, Reading
from pipeline.text.vocab import count_words, save, splitter, train

DUMP = "package:gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
RUNS = 3
VOCAB_SIZE = 8192


def main(arguments: list[str]) -> None:
    """Measure both in the same process, in turn, and print the medians."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = prepare(folder)
        ours = [cpu_seconds(lambda: examples(folder)) for _ in range(RUNS)]
        theirs = [cpu_seconds(lambda: encode_only(folder)) for _ in range(RUNS)]
    figures = {
        "text_mb": round(megabytes, 2),
        "examples_mb_per_cpu_second": round(megabytes / median(ours), 2),
        "encode_batch_fast_mb_per_cpu_second": round(megabytes / median(theirs), 2),
        "examples_vs_encode_batch_fast": round(median(theirs) / median(ours), 2),
    }
    print(
        f"python {platform.python_version()}, tokenizers {version('tokenizers')}, {os.cpu_count()} cores, median of {RUNS}"
    )
    for what, figure in figures.items():
        print(f"{what:40} {figure:>8}")
    if "--json" in arguments:
        print(json.dumps(figures))


def prepare(folder: Path) -> float:
    """Write one shard of documents and a tokenizer trained on them; returns the text's size in MB."""
    found = SOURCES["wikipedia"].read(locate(DUMP), Reading("wikipedia"))
    rows = []
    for document in found:
        if isinstance(document, Document):
            sentences = [sentence for paragraph in document.paragraphs for sentence in split(paragraph)]
            about = {"source": document.source, "title": document.title, "url": document.url}
            rows.append({"id": identity(sentences), **about, "sentences": sentences})
    write_rows(folder / "documents.arrow", DOCUMENTS, rows, codec="zstd")
    text = [sentence for row in rows for sentence in row["sentences"]]
    counts = count_words(text, splitter("wordpiece", lowercase=True))
    (folder / "tokenizer").mkdir()
    save(train("wordpiece", counts, vocab_size=VOCAB_SIZE, lowercase=True), folder / "tokenizer")
    return sum(len(sentence.encode()) for sentence in text) / 1e6


def examples(folder: Path) -> None:
    """Make the examples of the shard."""
    settings = ExamplesSlice(seed=0, sequence_length=128, static=None)
    job = MakeShard(0, folder / "documents.arrow", "", folder / "tokenizer", "", settings)
    with tempfile.TemporaryDirectory() as out:
        make_shard(job, Path(out))


def encode_only(folder: Path) -> None:
    """Encode the shard's sentences with the library, and nothing else."""
    text = [sentence for row in read_rows(folder / "documents.arrow") for sentence in row["sentences"]]
    load(folder / "tokenizer").encode_batch_fast(text, add_special_tokens=False)


def cpu_seconds(work: Callable[[], None]) -> float:
    """Give the CPU seconds that a piece of work takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    main(sys.argv[1:])
