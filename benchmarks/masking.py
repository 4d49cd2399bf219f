"""How fast are batches assembled and masked while training, against Hugging Face's collator on the same rows?

One core, CPU seconds: from examples in a memory-mapped file to padded tensors with tokens hidden and labels. The peer is
`DataCollatorForLanguageModeling`, which masks single tokens, or whole words (it knows no spans); it is given the rows as
Python lists of integers, as `datasets` gives them, made before its clock starts. Its whole words come with offsets, which
it does not pad: there it gets full rows only.
`python benchmarks/masking.py [--json]` needs no data: rows are made up, with the lengths of real ones.
"""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Literal

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import pyarrow as pa
import torch

from pipeline.core.arrow import write_table
from pipeline.model.shape import Shape
from pipeline.tables import Next, examples_schema
from pipeline.text.vocab import MASK, SPECIALS, save, wordpiece
from pipeline.training.batches import Loader, MicroBatch
from pipeline.training.jobs import job_of
from pipeline.training.order import Masking, Optimizer, Order, Phase, Schedule

ROWS, LENGTH, BATCH, VOCABULARY = 40_000, 128, 32, 30_522
THEIR_ROWS = 4_000
SHORT = 0.1
CONTINUED = 5
"""Every fifth piece continues a word."""
RUNS = 3
UNITS: tuple[Literal["token", "word", "span"], ...] = ("token", "word", "span")


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pieces = prepare(folder)
        rows = draw_rows(np.random.default_rng(0))
        figures: dict[str, float] = {}
        write(folder / "examples.arrow", rows)
        for unit in UNITS:
            measure(ours(folder, unit))  # compiles what was never compiled on this machine
            figures[f"{unit}_tokens_per_cpu_second"] = median(measure(ours(folder, unit)) for _ in range(RUNS))
        for unit in UNITS[:2]:
            some = [features(row, unit) for row in rows if unit == "token" or len(row) == LENGTH][:THEIR_ROWS]
            collate = theirs(folder, pieces, unit)
            figures[f"huggingface_{unit}_tokens_per_cpu_second"] = median(
                measure(peer(collate, some)) for _ in range(RUNS)
            )
    for unit in UNITS[:2]:
        ratio = figures[f"{unit}_tokens_per_cpu_second"] / figures[f"huggingface_{unit}_tokens_per_cpu_second"]
        figures[f"{unit}_ratio"] = ratio
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numba", "torch", "transformers"))
    print(f"python {platform.python_version()}, {libraries}, length {LENGTH}, micro-batch {BATCH}, median of {RUNS}")
    for what, figure in figures.items():
        print(f"{what:45} {figure:>14,.1f}")
    if "--json" in arguments:
        print(json.dumps({what: round(figure, 1) for what, figure in figures.items()}))


def prepare(folder: Path) -> list[str]:
    """Save a tokenizer in which every fifth piece continues a word; returns its pieces."""
    words = (f"##{at}" if at % CONTINUED == 0 else f"{at}" for at in range(len(SPECIALS), VOCABULARY))
    pieces = [*SPECIALS, *words]
    save(wordpiece(pieces, lowercase=True), folder)
    return pieces


def draw_rows(draw: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """Draw rows that are full, or now and then shorter."""
    cls_id, sep_id = SPECIALS.index("[CLS]"), SPECIALS.index("[SEP]")
    lengths = np.where(draw.random(ROWS) < SHORT, draw.integers(8, LENGTH + 1, ROWS), LENGTH)
    rows = [draw.integers(len(SPECIALS), VOCABULARY, length) for length in lengths]
    for row in rows:
        row[0], row[len(row) // 2], row[-1] = cls_id, sep_id, sep_id
    return rows


def write(path: Path, rows: list[np.ndarray[Any, Any]]) -> None:
    """Write the rows as EXAMPLES."""
    table = [
        {"ids": row, "second_at": len(row) // 2 + 1, "label": int(Next.NEXT), "shard": 0, "rows": [0]} for row in rows
    ]
    schema = examples_schema(VOCABULARY, static_masks=False)
    write_table(path, pa.Table.from_pylist(table, schema=schema), codec=None)


def ours(folder: Path, unit: Literal["token", "word", "span"]) -> Iterator[MicroBatch]:
    """Load all rows as a rank that trains does."""
    order = Order(
        job="pretrain",
        out="",
        work="",
        seed=0,
        shape=Shape(layers=1, width=2, heads=1, vocab_size=VOCABULARY, max_positions=LENGTH),
        optimizer=Optimizer(learning_rate=1.0),
        schedule=Schedule(warmup_steps=1),
        objectives=("mlm",),
        masking=Masking("dynamic", unit, 0.15, SPECIALS.index(MASK), tuple(range(len(SPECIALS))), str(folder)),
        phases=(Phase((str(folder / "examples.arrow"),), (), LENGTH, steps=1, global_batch=8 * BATCH),),
    )
    stretch = job_of(order).stretches[0]
    loader = Loader(stretch.rows, stretch.masks, 0, 1, BATCH, torch.device("cpu"))
    for step in range(ROWS // (8 * BATCH)):
        yield from loader.load(*stretch.sampler.take(step))


def theirs(folder: Path, pieces: list[str], unit: str) -> Callable[[list[dict[str, Any]]], Any]:
    """Make the collator."""
    from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

    tokenizer = BertTokenizerFast(vocab={piece: at for at, piece in enumerate(pieces)})
    by_words: dict[str, Any] = {"whole_word_mask": True, "mask_replace_prob": 1.0, "random_replace_prob": 0.0}
    settings = by_words if unit == "word" else {}
    return DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, **settings)


def features(row: np.ndarray[Any, Any], unit: str) -> dict[str, Any]:
    """Give a row as a tokenizer does: whole words are told by where each piece stood in the text."""
    if unit == "token":
        return {"input_ids": row.tolist()}
    begins = np.cumsum(np.where((row % CONTINUED == 0) & (row >= len(SPECIALS)), 1, 2))
    return {"input_ids": row.tolist(), "offset_mapping": np.stack([begins, begins + 1], 1).tolist()}


def peer(collate: Callable[[list[dict[str, Any]]], Any], rows: list[dict[str, Any]]) -> Iterator[Any]:
    """Collate rows sorted by length within eight batches, as ours are."""
    for begin in range(0, len(rows), 8 * BATCH):
        group = sorted(rows[begin : begin + 8 * BATCH], key=lambda row: len(row["input_ids"]), reverse=True)
        for at in range(0, len(group), BATCH):
            yield collate([dict(row) for row in group[at : at + BATCH]])


def measure(batches: Iterator[Any]) -> float:
    """Give the tokens a CPU second, padding not counted."""
    tokens, seconds = 0, 0.0
    next(batches)  # opens the files
    while True:
        begin = time.process_time()
        batch = next(batches, None)
        seconds += time.process_time() - begin
        if batch is None:
            return tokens / seconds
        tokens += batch.tokens if isinstance(batch, MicroBatch) else int(batch["attention_mask"].sum())


if __name__ == "__main__":
    main(sys.argv[1:])
