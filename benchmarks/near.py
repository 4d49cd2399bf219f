"""How fast and how exact are signatures, and what does removing near-duplicates cost, against rensa and datasketch?

Real text (`../shared/data/books`, or PRETRACE_TEST_DATA) cut into pages, of which some get a copy with a share of the words
replaced; the exact Jaccard of each pair is the measure. All signatures go through the same bands and the same threshold.
`python benchmarks/near.py [--json]`; a peer that is not installed is left out. CPU seconds of one process.
"""

import json
import os
import platform
import re
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pyarrow as pa

from pipeline.text.near.clusters import Standing, near_duplicates
from pipeline.text.near.loops import Signatures
from pipeline.text.near.signatures import signatures, similarities

DATA = Path(os.environ.get("PRETRACE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
WORDS, NUMBERS, BANDS, THRESHOLD = 5, 128, 16, 0.8  # the recipe's defaults
RATES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1)
PAGES = {"pages of 10 kB": 10_000, "paragraphs of 600 B": 600}
TEXT_BYTES = 4_000_000
PLANTED = 400
RUNS = 3
WORD = re.compile(r"[^\W_]+")


class Signer(NamedTuple):
    """Signs texts in two steps, so that a library can be timed without the Python that prepares its input."""

    prepare: Callable[[list[str]], Any]
    sign: Callable[[Any], Signatures]


def ours(texts: Any) -> Signatures:
    return signatures(texts, shingle_words=WORDS, permutations=NUMBERS)


def by_rensa(shingled: list[set[str]]) -> Signatures:
    """Sign with rensa's fastest call for text."""
    import rensa

    return np.array(rensa.RMinHash.digest_matrix_from_token_sets(shingled, NUMBERS, 42).to_rows(), np.uint32)


def by_datasketch(shingled: list[list[bytes]]) -> Signatures:
    """Sign with datasketch, a document at a time."""
    from datasketch import MinHash

    rows = []
    for shingles_of_one in shingled:
        sketch = MinHash(NUMBERS)
        sketch.update_batch(shingles_of_one)
        rows.append(sketch.hashvalues)
    return np.array(rows).astype(np.uint32)


def shingles(text: str) -> set[str]:
    """Give a text's shingles by plain Python: what a user of the libraries writes."""
    words = WORD.findall(text.lower())
    return {" ".join(words[at : at + WORDS]) for at in range(max(len(words) - WORDS + 1, 1))}


SIGNERS = {
    "ours": Signer(lambda texts: pa.array([[text] for text in texts]), ours),
    "rensa": Signer(lambda texts: list(map(shingles, texts)), by_rensa),
    "datasketch": Signer(lambda texts: [[s.encode() for s in shingles(text)] for text in texts], by_datasketch),
}


def main(arguments: list[str]) -> None:
    """Measure every signer on the same pages, then the whole removal on all books."""
    texts = list(books())
    figures: dict[str, Any] = {}
    for kind, size in PAGES.items():
        pages, exact = planted(texts, size)
        for name, signer in SIGNERS.items():
            if installed(name):
                figures[f"{name}, {kind}"] = measured(pages, exact, signer)
    figures["whole removal, books"] = removal(texts)
    print(f"python {platform.python_version()}, {os.cpu_count()} cores, median of {RUNS};", *map(named, SIGNERS))
    for what, row in figures.items():
        print(f"{what:34}", *(f"{key} {value}" for key, value in row.items()), sep="  ")
    if "--json" in arguments:
        print(json.dumps(figures))


def books() -> Iterator[str]:
    """Read the 80 books."""
    for archive in sorted((DATA / "books").glob("*/*.tar.zst")):
        with (
            pa.input_stream(str(archive), compression="zstd") as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for member in tar:
                inner = tar.extractfile(member) if member.name.endswith(".txt") else None
                if inner is not None:
                    yield inner.read().decode("utf-8-sig", "replace")


def planted(texts: list[str], size: int) -> tuple[list[str], dict[tuple[int, int], float]]:
    """Cut books into pages and add copies of some; gives the exact Jaccard of each page and its copy."""
    rng = np.random.default_rng(0)
    whole = " ".join(text[20_000 : 20_000 + TEXT_BYTES // len(texts)] for text in texts)
    pages = [whole[at : at + size] for at in range(0, len(whole) - size, size)]
    chosen = rng.choice(len(pages), min(PLANTED, len(pages)), replace=False)
    exact = {}
    for at, page in enumerate(chosen):
        words = pages[page].split()
        changed = rng.random(len(words)) < RATES[at % len(RATES)]
        copy = " ".join(
            f"x{place}" if change else word for place, (word, change) in enumerate(zip(words, changed, strict=True))
        )
        exact[int(page), len(pages)] = jaccard(pages[page], copy)
        pages.append(copy)
    return pages, exact


def jaccard(first: str, second: str) -> float:
    one, two = shingles(first), shingles(second)
    return len(one & two) / len(one | two)


def measured(pages: list[str], exact: dict[tuple[int, int], float], signer: Signer) -> dict[str, float | int]:
    """Time a signer, and hold its estimates and what is found with them against the exact shares."""
    prepared = signer.prepare(pages)
    rows, pairs = signer.sign(prepared), np.array(list(exact))
    alone = median(cpu_seconds(lambda: signer.sign(prepared)) for _ in range(RUNS))
    whole = median(cpu_seconds(lambda: signer.sign(signer.prepare(pages))) for _ in range(RUNS))
    megabytes = sum(len(page.encode()) for page in pages) / 1e6
    shares = np.array(list(exact.values()))
    errors = similarities(rows[pairs[:, 0]], rows[pairs[:, 1]]) - shares
    found = removed(rows)
    others = [pair for pair in found if jaccard(pages[pair[0]], pages[pair[1]]) < THRESHOLD]
    alike = [pair for pair, share in exact.items() if share >= THRESHOLD]
    return {
        "mb_per_cpu_s": round(megabytes / whole, 1),
        "docs_per_cpu_s": round(len(pages) / whole),
        "mb_per_cpu_s_input_ready": round(megabytes / alone, 1),
        "error_rms": round(float(np.sqrt((errors**2).mean())), 4),
        "error_expected": round(float(np.sqrt((shares * (1 - shares) / NUMBERS).mean())), 4),
        "error_mean": round(float(errors.mean()), 4),
        "planted_at_least_0.8": len(alike),
        "found": sum(pair in found for pair in alike),
        "removed_below_0.8": len(others),
        "removed_below_0.7": sum(jaccard(pages[one], pages[two]) < 0.7 for one, two in others),
    }


def removed(rows: Signatures) -> set[tuple[int, int]]:
    """Give the pairs of kept and removed pages."""
    ids = pa.array([str(at).zfill(9) for at in range(len(rows))])
    table = near_duplicates(
        rows, Standing(ids, np.zeros(len(rows)), np.zeros(len(rows))), bands=BANDS, threshold=THRESHOLD
    )
    return {(int(row["kept"]), int(row["removed"])) for row in table.to_pylist()}


def removal(texts: list[str]) -> dict[str, float | int]:
    """Time signatures, bands, comparisons and clusters of all books, as whole books and as pages."""
    figures: dict[str, float | int] = {"mb": round(sum(len(text.encode()) for text in texts) / 1e6, 1)}
    sizes = {"as_books": 1 << 30, "as_pages_of_10_kB": 10_000, "as_paragraphs_of_600_B": 600}
    for name, size in sizes.items():
        pages = [text[at : at + size].split("\n") for text in texts for at in range(0, len(text), size)]
        array = pa.array(pages, pa.list_(pa.string()))
        ids = pa.array([f"{at:09}" for at in range(len(pages))])
        standing = Standing(ids, np.zeros(len(pages)), np.zeros(len(pages)))
        table = None
        begin = time.process_time()
        rows = signatures(array, shingle_words=WORDS, permutations=NUMBERS)
        signed = time.process_time()
        table = near_duplicates(rows, standing, bands=BANDS, threshold=THRESHOLD)
        end = time.process_time()
        figures |= {
            f"documents_{name}": len(pages),
            f"signatures_ms_per_mb_{name}": round((signed - begin) * 1000 / figures["mb"], 1),
            f"rest_ms_per_mb_{name}": round((end - signed) * 1000 / figures["mb"], 1),
            f"removed_{name}": table.num_rows,
        }
    return figures


def installed(name: str) -> bool:
    """Say whether a signer can be measured here."""
    return named(name) is not None


def named(name: str) -> str | None:
    """Give a peer's name and version; None if it is not installed."""
    try:
        return name if name == "ours" else f"{name} {version(name)}"
    except PackageNotFoundError:
        return None


def cpu_seconds(work: Callable[[], object]) -> float:
    """Give the CPU seconds that a piece of work takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    main(sys.argv[1:])
