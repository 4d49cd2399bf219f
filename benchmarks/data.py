"""How fast is data prepared, where does the time go, and how much memory does it take?

`python benchmarks/data.py [--data FOLDER] [--json] [--quick] [--part NAME]...` takes real text from the folder of test data (80 novels,
abstracts, Wikipedia dumps). Every figure is CPU seconds of one core (wall seconds only where two workers are compared),
taken in a process of its own: *steady* is the median of later runs in a process, *whole* a fresh process with its imports.
The peer, `tokenizers.encode_batch_fast` alone on the same sentences and vocabulary, is measured in the same run.
"""

import argparse
import json
import lzma
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from data_making import forget, make, write_multistream
from data_phases import phases_child

os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["ARROW_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_THREAD_LIMIT"] = "1"

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / "shared" / "data"
ARCHIVES = ("books/english-novels-A/english-novels-A.tar.zst", "books/gitenberg-A/gitenberg-A.tar.zst")
ABSTRACTS = ("cs.IR", "cs.SE", "q-bio.QM")
VOCABULARY = "oracle/bert-base-uncased-vocab/vocab.txt"
DUMPS = (
    "wikipedia/enwiki-gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    "wikipedia/enwiki-gensim/enwiki-table-markup.xml.bz2",
    "wikipedia/japanese-architects-2009/japanese_architects.xml.bz2",
)
MEGA = 1e6
RUNS = 3
NEAR_SHARDS = 2
"""Of eight, encoded by the peer before and after each figure of raw text."""
COPIES = 10
"""How often the text is repeated to show that memory is flat."""
DUMP_COPIES = 8


def main() -> None:
    """Measure each part in processes of its own and print the figures."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("PRETRACE_TEST_DATA", BESIDE)))
    asked.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked.add_argument("--quick", action="store_true", help="a tenth of the books, and no memory part")
    asked.add_argument("--part", action="append", choices=PARTS, help="measure only this part (may be repeated)")
    asked.add_argument("--child", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.child:
        print(
            json.dumps(
                CHILDREN[chosen.child[0].partition(":")[0]](chosen.child[0].partition(":")[2], Path(chosen.child[1]))
            )
        )
        return
    wanted = chosen.part or [part for part in PARTS if not (chosen.quick and part == "memory")]
    with tempfile.TemporaryDirectory(prefix="pretrace-bench-") as name:
        folder = Path(name)
        prepare(chosen.data, folder, quick=chosen.quick)
        figures: dict[str, Any] = {"text_mb": megabytes(folder)}
        for part in wanted:
            figures |= PARTS[part](folder)
            print(f"{part} measured", file=sys.stderr)
    report(figures | ratios(figures), as_json=chosen.json)


def prepare(data: Path, folder: Path, *, quick: bool) -> None:
    """Lay out raw text: books, abstracts, a dump repeated to some tens of megabytes, and the vocabulary."""
    (folder / "raw" / "books").mkdir(parents=True)
    for archive in ARCHIVES:
        unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", data / archive], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", folder / "raw" / "books"], input=unpacked.stdout, check=True)
    books = sorted((folder / "raw" / "books").rglob("*.txt"))
    for at, book in enumerate(books):
        if quick and at % 10:
            book.unlink()
    for name in ABSTRACTS[: 1 if quick else None]:
        with lzma.open(data / "domain" / f"arxiv-{name}" / f"{name}.tsv.xz") as packed:
            (folder / "raw" / f"{name}.tsv").write_bytes(packed.read())
    shutil.copy(data / VOCABULARY, folder / "vocab.txt")
    for at, dump in enumerate(DUMPS):
        shutil.copy(data / dump, folder / f"dump{at}.xml.bz2")


def megabytes(folder: Path) -> float:
    """Give the size of the raw text in MB."""
    return round(sum(path.stat().st_size for path in (folder / "raw").rglob("*") if path.is_file()) / MEGA, 2)


def write_documents(folder: Path) -> float:
    """Write what the readers make of the raw files as records, a paragraph a line; returns the size of the text in MB."""
    from pipeline.text.sources import SOURCES, Document, Reading

    size = 0
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as out:
        for kind, place, column in (("books", "raw/books", "text"), ("csv", "raw/*.tsv", "abstract")):
            for path in SOURCES[kind].find(folder / place, ""):
                for span in SOURCES[kind].cut(path):
                    for found in SOURCES[kind].read(path, span, Reading(kind, column)):
                        if isinstance(found, Document):
                            text = "\n".join(paragraph.replace("\n", " ") for paragraph in found.paragraphs)
                            out.write(json.dumps({"title": found.title, "text": text}, ensure_ascii=False) + "\n")
                            size += len(text.encode())
    return size / MEGA


def child(what: str, folder: Path) -> dict[str, Any]:
    """Run a part of this script in a fresh process."""
    command = [sys.executable, __file__, "--child", what, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_again(folder: Path, store: str, names: Sequence[str], **corpus: Any) -> dict[str, float]:
    """Make stages; gives the CPU seconds of the process to the end of the first time, and the median of later times."""
    make(folder, store, ["corpus", "tokenizer", "examples"], **corpus)
    whole = time.process_time()
    steady = []
    for _ in range(RUNS):
        forget(folder, store, names)
        begin = time.process_time()
        make(folder, store, names, **corpus)
        steady.append(time.process_time() - begin)
    return {"whole": whole, "steady": median(steady)}


def examples_child(_: str, folder: Path) -> dict[str, float]:
    """Make examples of documents that are there."""
    return run_again(folder, "store", ["examples"])


def raw_child(what: str, folder: Path) -> dict[str, float]:
    """Make documents and examples from raw files, or from records; the given vocabulary is taken over the first time only."""
    mode, _, place = what.partition(",")
    records: dict[str, Any] = {"sources": [{"kind": "jsonl", "path": str(folder / "documents.jsonl")}]}
    given = records if place == "records" else {}
    return run_again(folder, f"raw-{mode}-{place}", ["corpus", "examples"], near_duplicates={"mode": mode}, **given)


def peer_child(most: str, folder: Path) -> dict[str, float]:
    """Encode the sentences of the documents, or of some shards of them, with the library, and nothing else."""
    from pipeline.core.arrow import read_rows
    from pipeline.text.encode import load

    tokenizer = load(next((folder / "store" / "tokenizer").glob("*/tokenizer.json")).parent)
    shards = sorted((folder / "store" / "corpus").glob("*/documents/*.arrow"))
    seconds = size = 0.0
    for shard in shards[: int(most) if most else None]:
        text = [sentence for row in read_rows(shard) for sentence in row["sentences"]]
        size += sum(len(sentence.encode()) for sentence in text) / MEGA
        for at in range(0, len(text), 10_000):
            begin = time.process_time()
            tokenizer.encode_batch_fast(text[at : at + 10_000], add_special_tokens=False)
            seconds += time.process_time() - begin
    return {"seconds": seconds, "sentences_mb": round(size, 2)}


def memory_child(what: str, folder: Path) -> dict[str, float]:
    """Make one stage of a store of a size, and give the largest memory of the process in MB.

    The copies of a book are near-duplicates: those are looked for in a store of their own, and kept for the later stages.
    """
    stage, mode, size = what.split(",")
    text = {
        "sources": [{"kind": "books", "path": str(folder / f"repeated-{size}")}],
        "near_duplicates": {"mode": mode},
    }
    make(folder, f"memory-{mode}-{size}", [stage], **text)
    return {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def part_examples(folder: Path) -> dict[str, Any]:
    """Documents to examples, and the peer."""
    make(folder, "store", ["corpus", "tokenizer"])
    ours, theirs = child("examples", folder), child("peer:", folder)
    size = theirs["sentences_mb"]
    return {
        "sentences_mb": size,
        "peer_mb_per_s": size / theirs["seconds"],
        "examples_mb_per_s": size / ours["steady"],
        "examples_whole_process_mb_per_s": size / ours["whole"],
    }


def part_raw(folder: Path) -> dict[str, Any]:
    """Raw documents (records) to examples, without and with the removal of near-duplicates; and raw files to examples.

    The speed of a shared machine changes within minutes: the peer is measured right before and right after each.
    """
    make(folder, "store", ["corpus", "tokenizer"])
    records = write_documents(folder)
    sizes = {"records": records, "files": megabytes(folder)}
    figures = {"records_mb": records}
    for name, mode, place in (
        ("raw", "keep", "records"),
        ("raw_deduplicated", "remove", "records"),
        ("files", "keep", "files"),
        ("files_deduplicated", "remove", "files"),
    ):
        before = child(f"peer:{NEAR_SHARDS}", folder)
        found = child(f"raw:{mode},{place}", folder)
        after = child(f"peer:{NEAR_SHARDS}", folder)
        peers = [one["sentences_mb"] / one["seconds"] for one in (before, after)]
        figures[f"{name}_peer_mb_per_s"] = sum(peers) / len(peers)
        figures[f"{name}_mb_per_s"] = sizes[place] / found["steady"]
        figures[f"{name}_whole_process_mb_per_s"] = sizes[place] / found["whole"]
    return figures


def part_phases(folder: Path) -> dict[str, Any]:
    """Where the time goes, from raw files to examples, near-duplicates removed."""
    size = megabytes(folder)
    return {f"ms_per_mb: {what}": 1000 * seconds / size for what, seconds in child("phases:", folder).items()}


def part_memory(folder: Path) -> dict[str, Any]:
    """The largest memory of one worker, for the books and for ten times the books."""
    figures = {}
    for size in (1, COPIES):
        repeat_books(folder, size)
        figures[f"memory_corpus_near_duplicates_{size}x_mb"] = child(f"memory:corpus,remove,{size}", folder)["mb"]
        for stage in ("corpus", "tokenizer", "examples"):
            figures[f"memory_{stage}_{size}x_mb"] = child(f"memory:{stage},keep,{size}", folder)["mb"]
        for name in ("repeated", "memory-keep", "memory-remove"):
            shutil.rmtree(folder / f"{name}-{size}")
    return figures


def repeat_books(folder: Path, copies: int) -> None:
    """Write the books some times over, each copy with a first paragraph of its own, so that none is a duplicate."""
    into = folder / f"repeated-{copies}"
    into.mkdir()
    for copy in range(copies):
        for at, book in enumerate(sorted((folder / "raw" / "books").rglob("*.txt"))):
            (into / f"{copy:03}-{at:03}.txt").write_bytes(book.read_bytes() + f"\n\nThis was copy {copy}.\n".encode())


def part_workers(folder: Path) -> dict[str, Any]:
    """One multistream dump to documents by one worker and by two, wall seconds with Ray running and warm."""
    from cluster.ray_compute import RayCompute

    dump = folder / "multistream.xml.bz2"
    write_multistream(folder / "dump0.xml.bz2", dump, DUMP_COPIES)
    figures: dict[str, Any] = {"dump_mb": dump.stat().st_size / 1e6}
    for workers in (1, 2):
        with RayCompute(address=None, workers=workers, ranks=1, state=folder / f"ray-{workers}") as place:
            source = {"sources": [{"kind": "wikipedia", "path": str(dump)}], "near_duplicates": {"mode": "keep"}}
            seconds = []
            for _ in range(RUNS):
                forget(folder, f"workers-{workers}", ["corpus"])
                begin = time.perf_counter()
                make(folder, f"workers-{workers}", ["corpus"], place=place, **source)
                seconds.append(time.perf_counter() - begin)
            figures[f"dump_{workers}_workers_s"] = min(seconds)
    return {**figures, "two_workers_speedup": figures["dump_1_workers_s"] / figures["dump_2_workers_s"]}


FROM_DOCUMENTS = ("split", "encode", "pair", "mask", "lay out", "shuffle and deal", "write")
"""The kinds of work between documents in hand and finished examples; reading and cleaning come before them."""


def ratios(figures: Mapping[str, Any]) -> dict[str, float]:
    """Give what has to be reached, as ratios to the peer."""
    peer = figures.get("peer_mb_per_s")
    kinds = ("examples", "raw", "raw_deduplicated", "files", "files_deduplicated")
    names = [name for kind in kinds for name in (kind, f"{kind}_whole_process")]
    peers = {name: figures.get(f"{name.removesuffix('_whole_process')}_peer_mb_per_s", peer) for name in names}
    found = {
        f"{name}_vs_encode_batch_fast": figures[f"{name}_mb_per_s"] / peers[name]
        for name in names
        if peers[name] and f"{name}_mb_per_s" in figures
    }
    asked = sum(figures.get(f"ms_per_mb: {what}", 0.0) for what in FROM_DOCUMENTS)
    if peer and asked:
        found["split_encode_pair_mask_write_vs_encode_batch_fast"] = 1000 / asked / peer
    return found


def report(figures: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the figures for people, and for programs."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("tokenizers", "nanotoken", "numba", "pyarrow", "sentencex")
    )
    print(f"python {platform.python_version()}, {packages}; {os.cpu_count()} cores, {platform.machine()}")
    for name, figure in figures.items():
        print(f"{name:50} {figure:>10.2f}")
    if as_json:
        print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}))


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "examples": part_examples,
    "raw": part_raw,
    "phases": part_phases,
    "workers": part_workers,
    "memory": part_memory,
}
CHILDREN: dict[str, Callable[[str, Path], dict[str, float]]] = {
    "examples": examples_child,
    "raw": raw_child,
    "peer": peer_child,
    "phases": phases_child,
    "memory": memory_child,
}

if __name__ == "__main__":
    main()
