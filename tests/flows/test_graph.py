import re
from itertools import pairwise

import pytest

from flows.graph import GAP, LINE_WIDTH, NODE_WIDTH, drawing, graph, mermaid, name_of
from flows.layers import Layout, Passing, lay_out
from pipeline.core.store import Artifact
from tests.flows.conftest import Shop
from tests.flows.test_cli import FACTS, WEIGHTS

HOSTILE = '"]; click n0 "javascript:alert(1)" <script>`end`'


def laid_out(edges: list[tuple[str, str]]) -> Layout:
    nodes = list(dict.fromkeys(name for pair in edges for name in pair))
    return lay_out(nodes, edges, node=NODE_WIDTH, line=LINE_WIDTH, gap=GAP)


PIPELINE = [
    ("dump", "corpus"),
    ("corpus", "tokenizer"),
    *((source, f"examples-{length}") for length in (64, 128, 512) for source in ("corpus", "tokenizer")),
    *((f"examples-{length}", "pretrain") for length in (64, 128, 512)),
    ("tokenizer", "pretrain"),
    *(
        (source, f"finetune-{task}")
        for task in ("rte", "sst2")
        for source in ("pretrain", "tokenizer", f"{task} train")
    ),
]


@pytest.mark.parametrize("edges", [PIPELINE, [("a", "b")], [("a", "d"), ("a", "b"), ("b", "c"), ("c", "d")]])
def test_what_is_made_lies_below_what_it_was_made_of_and_nothing_overlaps(edges: list[tuple[str, str]]) -> None:
    found = laid_out(edges)
    assert all(found.layer[start] < found.layer[end] for start, end in edges)
    for layer in range(found.layers):
        row = sorted((found.x[spot], spot) for spot in found.x if found.layer[spot] == layer)
        for (left, one), (right, other) in pairwise(row):
            room = sum((LINE_WIDTH if isinstance(spot, Passing) else NODE_WIDTH) / 2 for spot in (one, other))
            assert right - left >= room + GAP - 1e-6
    assert min(found.x.values()) >= 0
    assert max(found.x.values()) <= found.width


def test_a_line_that_passes_layers_has_a_place_in_each() -> None:
    found = laid_out([("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    assert found.routes["a", "d"] == ("a", Passing("a", 1), Passing("a", 2), "d")
    assert found.routes["a", "b"] == ("a", "b")


def test_what_is_made_of_nothing_lies_right_above_its_first_use() -> None:
    found = laid_out(PIPELINE)
    assert found.layer["dump"] == 0
    assert found.layer["rte train"] == found.layer["finetune-rte"] - 1


@pytest.fixture
def everything(shop: Shop) -> list[Artifact]:
    made = [shop.make(name) for name in ("corpus", "tokenizer", "examples-32")]
    return [*made, shop.pretend("pretrain", WEIGHTS, FACTS)]


def test_every_artifact_and_every_line_is_in_both_pictures(everything: list[Artifact]) -> None:
    nodes, edges = graph(everything)
    keys = [artifact.key for artifact in everything]
    assert [name_of(artifact) for artifact in everything] == ["corpus", "tokenizer", "examples-32", "pretrain"]
    assert len(nodes) == 5  # the text file as well
    corpus, tokenizer, examples, pretrain = (f"{artifact.label}/{artifact.key}" for artifact in everything)
    assert set(edges) == {
        (nodes[0].name, corpus),
        (corpus, tokenizer),
        (corpus, examples),
        (tokenizer, examples),
        (examples, pretrain),
        (tokenizer, pretrain),
    }
    written = mermaid(everything)
    assert written.startswith("flowchart TD\n")
    assert written.count(" --> ") == len(edges)
    svg = drawing(everything)
    assert svg.count('class="line"') == len(edges)
    for key in keys:
        assert key in written
        assert f'-{key}"' in svg


def test_a_label_cannot_end_itself(shop: Shop) -> None:
    corpus = shop.make("corpus")
    corpus.manifest["config"]["sources"][0]["name"] = HOSTILE
    written = mermaid([corpus])
    assert re.fullmatch(r'  n0\[\("[\w#; ,./-]+<br/>1 file<br/>[\d.]+ kB"\)\]', written.splitlines()[1])
    assert "<script" not in drawing([corpus])


def test_many_sources_and_the_files_of_a_task_are_one_box(shop: Shop) -> None:
    corpus = shop.make("corpus")
    corpus.manifest["sources"] = {f"sources.{at}": corpus.manifest["sources"]["sources.0"] for at in range(5)}
    assert [node.lines[:2] for node in graph([corpus])[0]] == [("5 sources", "5 files"), ("corpus", corpus.key)]
    entry = {"name": "train.tsv", "bytes": 7, "sha256": "ab" * 32}
    tuned = Artifact(
        corpus.path.parent.parent / "finetune" / "abc",
        {"config": {"task": "rte"}, "inputs": {}, "sources": {"train": [entry], "dev": [entry]}, "made": {}},
    )
    assert [node.lines[0] for node in graph([tuned])[0]] == ["rte rows", "finetune-rte"]
