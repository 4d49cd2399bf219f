"""How fast is text encoded, by which encoder, and how fast are vocabularies learned, against Hugging Face's `tokenizers`?

`python benchmarks/tokenizer.py [--data FOLDER] [--json] [--part NAME]...` takes novels and abstracts from the folder of test
data. CPU seconds of one core, each figure in a process of its own: *whole* with its imports, *steady* without them and
without loading what was compiled; *cold* is the first pass over the text, *warm* the next one in the same process. Part
`equal` compares ids, part `unigram` runs Hugging Face's trainer and ours twice each and compares what they find.
"""

import argparse
import bz2
import gzip
import hashlib
import json
import lzma
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["ARROW_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / "shared" / "data"
ARCHIVES = ("books/english-novels-A/english-novels-A.tar.zst", "books/gitenberg-A/gitenberg-A.tar.zst")
ABSTRACTS = "domain/arxiv-*/*.tsv.xz"
OTHERS = (
    "wikipedia/*/*",
    "wikitext/*/*",
    "glue/*/*",
    "ner/*/*",
    "oracle/bert-uncased-tokens-A/*",
    "domain/ncbi-disease/*",
)
VOCABULARY = "oracle/bert-base-uncased-vocab/vocab.txt"
SIZE = 30_000
LENGTHS = {"10": 10_000_000, "60": 60_000_000}
WARMING = ["the hare and the tortoise ran", "hares run"] * 9
"""Learned from first, so that what was compiled is loaded."""
WARM_SIZE = {"wordpiece": 40, "bpe": 270, "unigram": 18}
ENCODERS = ("nanotoken", "distinct chunks", "tokenizers")


def main() -> None:
    """Measure each part in processes of its own and print the figures."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("PRETRACE_TEST_DATA", BESIDE)))
    asked.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked.add_argument("--part", action="append", choices=PARTS, help="measure only this part (may be repeated)")
    asked.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.child:
        what, folder, *arguments = chosen.child
        print(json.dumps(CHILDREN[what](Path(folder), *arguments) | {"whole": cpu(), "rss_mb": resident()}))
        return
    with tempfile.TemporaryDirectory(prefix="pretrace-bench-") as name:
        folder = Path(name)
        prepare(chosen.data, folder)
        figures: dict[str, Any] = {}
        for part in chosen.part or PARTS:
            figures |= PARTS[part](folder)
            print(f"{part} measured", file=sys.stderr)
    print(f"python {platform.python_version()}, tokenizers {version('tokenizers')}, nanotoken {version('nanotoken')}")
    for what, figure in figures.items():
        print(f"{what:58} {round(figure, 3) if isinstance(figure, float) else figure!s:>12}")
    if chosen.json:
        print(json.dumps(figures))


def prepare(data: Path, folder: Path) -> None:
    """Lay out sentences, one a line, and the lines of everything else."""
    sys.path.insert(0, str(ROOT))
    from pipeline.text.sentences import split

    with (folder / "text.txt").open("w", encoding="utf-8") as out:
        for text in texts(data):
            for paragraph in text.split("\n\n"):
                out.writelines(f"{one}\n" for one in split(" ".join(paragraph.split())) if one)
    with (folder / "others.txt").open("w", encoding="utf-8") as out:
        for pattern in OTHERS:
            for path in sorted(data.glob(pattern)):
                opened = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}.get(
                    path.suffix, bytes
                )
                out.write(opened(path.read_bytes()).decode("utf-8", "replace") + "\n")
    (folder / "vocab.txt").write_bytes((data / VOCABULARY).read_bytes())


def texts(data: Path) -> Iterator[str]:
    """Yield the books, then the abstracts."""
    for archive in ARCHIVES:
        with tempfile.TemporaryDirectory() as unpacked:
            command = ["tar", "--use-compress-program=zstd -d --long=27", "-xf", data / archive, "-C", unpacked]
            subprocess.run(command, check=True)
            for path in sorted(path for path in Path(unpacked).rglob("*") if path.is_file()):
                yield path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\ufeff", "")
    for path in sorted(data.glob(ABSTRACTS)):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            yield file.read().replace("\t", "\n\n")


def encoding(folder: Path) -> dict[str, Any]:
    """Give MB a CPU second of each encoder of WordPiece, cold and warm, and of the others for the other algorithms."""
    figures = {}
    for algorithm in ("wordpiece", "bpe", "unigram"):
        if algorithm != "wordpiece":
            child(folder, "learn", algorithm, "10")
        for name in ENCODERS if algorithm == "wordpiece" else ENCODERS[1:]:
            found = child(folder, "encode", algorithm, name)
            for when in ("cold", "warm", "whole"):
                if when in found:
                    figures[f"{algorithm}: {name}, {when}, MB a CPU s"] = found["mb"] / found[when]
            figures[f"{algorithm}: {name}, memory MB"] = found["rss_mb"]
    return figures


def learning(folder: Path) -> dict[str, Any]:
    """Give CPU seconds of training, ours and theirs, their ratio, and how many pieces both have."""
    figures: dict[str, Any] = {}
    for algorithm, length in (("wordpiece", "10"), ("wordpiece", "60"), ("bpe", "10"), ("bpe", "60")):
        child(folder, "learn", algorithm, length)  # compiles, if this was never run on this machine
        ours, theirs = child(folder, "learn", algorithm, length), child(folder, "learn_library", algorithm, length)
        about = f"{algorithm}, {length} MB"
        for when in ("steady", "whole"):
            figures |= {f"{about}: ours {when} s": ours[when], f"{about}: library {when} s": theirs[when]}
            figures[f"{about}: times the library's speed, {when}"] = theirs[when] / ours[when]
        figures |= {f"{about}: ours memory MB": ours["rss_mb"], f"{about}: library memory MB": theirs["rss_mb"]}
        figures[f"{about}: pieces in common of {SIZE}"] = len(
            set(pieces(folder, algorithm, length, "ours")) & set(pieces(folder, algorithm, length, "library"))
        )
        figures |= {f"{about}: {name}": ours[name] for name in ("count s", "learn s", "distinct words")}
    return figures


def unigram(folder: Path) -> dict[str, Any]:
    """Say whether two runs give the same bytes, and how likely text is that neither was trained on."""
    figures: dict[str, Any] = {}
    for who, what in (("ours", "learn"), ("library", "learn_library")):
        runs = [child(folder, what, "unigram", "10") for _ in range(2)]
        figures[f"unigram: {who} whole s"] = runs[1]["whole"]
        figures[f"unigram: {who} same bytes twice"] = runs[0]["digest"] == runs[1]["digest"]
        figures |= {
            f"unigram: {who} {name}": value for name, value in child(folder, "weigh", who).items() if name in WEIGHED
        }
    return figures


def equality(folder: Path) -> dict[str, Any]:
    """Count lines of all text that an encoder gives other ids for than the library: none is expected."""
    found = child(folder, "compare", "wordpiece")
    for algorithm in ("bpe", "unigram"):
        child(folder, "learn", algorithm, "10")
        found |= child(folder, "compare", algorithm)
    return {name: value for name, value in found.items() if name.startswith("equal")}


def child(folder: Path, what: str, *arguments: str) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--child", what, str(folder), *arguments]
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def learn(folder: Path, algorithm: str, length: str) -> dict[str, Any]:
    """Count and learn as the stage does, from text in memory."""
    import numpy as np

    from pipeline.text.counting import Counter
    from pipeline.text.vocab import count_words, save, splitter, train

    blocks = list(blocks_of(folder / "text.txt", LENGTHS[length]))
    train(
        algorithm,
        count_words(WARMING, splitter(algorithm, lowercase=True)),
        vocab_size=WARM_SIZE[algorithm],
        lowercase=True,
    )
    begin = cpu()
    counter = Counter()
    for block in blocks:
        counter.add(block, np.zeros(len(block), dtype=np.bool_))
    words = counter.words(splitter(algorithm, lowercase=True))
    counted = cpu()
    tokenizer = train(algorithm, words, vocab_size=SIZE, lowercase=True)
    end = cpu()
    out = folder / f"{algorithm}-{length}-ours"
    out.mkdir(exist_ok=True)
    save(tokenizer, out)
    parts = {"count s": counted - begin, "learn s": end - counted, "distinct words": words.num_rows}
    return {"steady": end - begin, "digest": digest(out / "tokenizer.json")} | parts


def learn_library(folder: Path, algorithm: str, length: str) -> dict[str, Any]:
    """Train with the library's trainer on the same text, normaliser and splitter."""
    from tokenizers import pre_tokenizers, trainers

    from pipeline.text.vocab import ALGORITHMS, SPECIALS, UNK

    batches = [block.to_pylist() for block in blocks_of(folder / "text.txt", LENGTHS[length])]
    tokenizer = ALGORITHMS[algorithm].components(True)
    shared: dict[str, Any] = {"vocab_size": SIZE, "special_tokens": list(SPECIALS), "show_progress": False}
    trainer = {
        "wordpiece": lambda: trainers.WordPieceTrainer(min_frequency=2, **shared),
        "bpe": lambda: trainers.BpeTrainer(
            min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **shared
        ),
        "unigram": lambda: trainers.UnigramTrainer(unk_token=UNK, **shared),
    }[algorithm]()
    begin = cpu()
    tokenizer.train_from_iterator(batches, trainer)
    steady = cpu() - begin
    out = folder / f"{algorithm}-{length}-library"
    out.mkdir(exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    return {"steady": steady, "digest": digest(out / "tokenizer.json")}


def encode(folder: Path, algorithm: str, name: str) -> dict[str, Any]:
    """Encode 60 MB of sentences as an Arrow column; twice, but for the library."""
    from pipeline.text.encoders import DistinctChunks, Library, Nanotoken

    make = {"nanotoken": Nanotoken, "distinct chunks": DistinctChunks, "tokenizers": Library}[name]
    encoder: Any = make(tokenizer_of(folder, algorithm))
    encoder.encode(["x"])  # loads what was compiled
    blocks = list(blocks_of(folder / "text.txt", LENGTHS["10" if name == "tokenizers" else "60"]))
    found: dict[str, Any] = {"mb": sum(block.nbytes for block in blocks) / 1e6}
    for when in ("cold",) if name == "tokenizers" else ("cold", "warm"):
        begin = cpu()
        for block in blocks:
            encoder.encode(block)
        found[when] = cpu() - begin
    return found


def compare(folder: Path, algorithm: str) -> dict[str, Any]:
    """Encode all text with all encoders, WordPiece; a tenth of the sentences with the others."""
    import numpy as np

    from pipeline.text.encoders import DistinctChunks, Library, Nanotoken

    tokenizer = tokenizer_of(folder, algorithm)
    fast: dict[str, Any] = {"distinct chunks": DistinctChunks(tokenizer)}
    if algorithm == "wordpiece":
        fast["nanotoken"] = Nanotoken(tokenizer)
    library, found = Library(tokenizer), {f"equal, {algorithm}: {name}, other ids": 0 for name in fast}
    tokens = 0
    limit = LENGTHS["60"] if algorithm == "wordpiece" else LENGTHS["10"]
    for path in ("text.txt", "others.txt"):
        for block in blocks_of(folder / path, limit):
            expected = library.encode(block)
            tokens += len(expected[0])
            for name, encoder in fast.items():
                same = all(np.array_equal(*pair) for pair in zip(encoder.encode(block), expected, strict=True))
                found[f"equal, {algorithm}: {name}, other ids"] += not same
    return found | {f"equal, {algorithm}: ids compared": tokens}


WEIGHED = ("nats a word", "pieces a word")


def weigh(folder: Path, who: str) -> dict[str, Any]:
    """Give the log-probability of text after the first 20 MB, each word cut in its likeliest way."""
    import numpy as np

    from pipeline.text.counting import Counter
    from pipeline.text.vocab import SPECIALS, lattice, likelihood, spelling, splitter

    counter = Counter()
    for at, block in enumerate(blocks_of(folder / "text.txt", LENGTHS["60"])):
        if at % 10 == 9 and at > 20:
            counter.add(block, np.zeros(len(block), dtype=np.bool_))
    spelled = likelihood.known(spelling.spell(counter.words(splitter("unigram", lowercase=True)), 100))
    model = json.loads((folder / f"unigram-10-{who}" / "tokenizer.json").read_text())["model"]["vocab"]
    scores = {piece: score for piece, score in model if piece not in SPECIALS}
    unseen = {chr(one) for one in np.unique(spelled.characters_C)} - scores.keys()
    scores |= dict.fromkeys(sorted(unseen), min(scores.values()) - 10)
    counts = lattice.counted(spelled, list(scores), np.array(list(scores.values())))
    words = spelled.counts_W.sum()
    return {
        "nats a word": float(-(counts @ np.array(list(scores.values()))) / words),
        "pieces a word": float(counts.sum() / words),
    }


def blocks_of(path: Path, limit: int) -> "Iterator[pa.LargeStringArray]":
    """Yield about `limit` bytes of lines, 8,192 at a time, as Arrow columns."""
    from pipeline.text.columns import strings

    lines = path.read_bytes()[:limit].decode("utf-8", "ignore").split("\n")
    for at in range(0, len(lines), 8192):
        yield strings(lines[at : at + 8192])


def tokenizer_of(folder: Path, algorithm: str) -> "Tokenizer":
    """Load the published vocabulary, or what `learn` has made."""
    from pipeline.text.encode import load
    from pipeline.text.vocab.existing import read

    return (
        read([folder / "vocab.txt"], lowercase=True)
        if algorithm == "wordpiece"
        else load(folder / f"{algorithm}-10-ours")
    )


def pieces(folder: Path, algorithm: str, length: str, who: str) -> list[str]:
    """List the pieces of a trained tokenizer."""
    vocab: dict[str, int] = json.loads((folder / f"{algorithm}-{length}-{who}" / "tokenizer.json").read_text())[
        "model"
    ]["vocab"]
    return list(vocab)


def digest(path: Path) -> str:
    """Name the bytes of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cpu() -> float:
    """Give the CPU seconds of this process so far."""
    return time.process_time()


def resident() -> float:
    """Give the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


PARTS = {"encoding": encoding, "learning": learning, "unigram": unigram, "equal": equality}
CHILDREN = {"encode": encode, "learn": learn, "learn_library": learn_library, "compare": compare, "weigh": weigh}

if __name__ == "__main__":
    main()
