"""The page of a lineage, taken apart: all of it is there, nothing of it is loaded, nothing from outside is markup."""

import base64
import hashlib
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.chart import POINTS, Point, chart, curves_of
from flows.composition import Left, Share, account_of, shares_of
from flows.markup import EMPTY, element
from flows.page import lineage_page
from flows.particulars import run_of
from flows.units import energy, mass, number
from pipeline.core.store import Artifact, Store
from tests.flows.conftest import Command, Shop, shop_in
from tests.flows.test_cli import FACTS, WEIGHTS

HOSTILE = '</title><script>alert("1")</script><img src=http://evil.example/x onerror=alert(2)>&lt;\x00\u202e\ud800'


class Parsed(HTMLParser):
    """Which elements there are, with which attributes, and what they say; every element has to be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


def write_sample(shop: Shop, file: Path) -> Path:
    """Write the page of a lineage with a curve, lost attempts and a name that is hostile: for people to look at."""
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    model = shop.pretend("pretrain", WEIGHTS, FACTS)
    steps = [float(step) for step in range(1, 2001)]
    losses = [3 + 6 * math.exp(-step / 200) + 0.1 * math.sin(step) for step in steps]
    held = [loss + 0.2 if step % 200 == 0 else None for step, loss in zip(steps, losses, strict=True)]
    columns = {
        "step": steps,
        "phase": [int(step > 1600) for step in steps],
        "mlm_loss": losses,
        "held_out_mlm_loss": held,
    }
    pq.write_table(pa.table(columns), model.path / "curve.parquet")
    manifest = json.loads((model.path / "manifest.json").read_text())
    manifest["files"].append({"name": "curve.parquet", "bytes": 1, "rows": 2000, "sha256": "ab" * 32})
    manifest["made"] |= {
        "attempts": 3,
        "command": [HOSTILE],
        "tracking": {"uri": "http://127.0.0.1:5000", "run_id": "ab"},
    }
    (model.path / "manifest.json").write_text(json.dumps(manifest))
    file.write_text(lineage_page(shop.store, shop.store.all("pretrain"), "FRA"), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that no test changes for the next one."""
    made = shop_in(tmp_path_factory.mktemp("shop"))
    for name in ("corpus", "tokenizer", "examples-32"):
        made.make(name)
    made.pretend("pretrain", WEIGHTS, FACTS)
    return made


@pytest.fixture
def model(shop: Shop) -> Artifact:
    return shop.store.all("pretrain")[0]


def test_every_artifact_and_every_source_is_on_the_page(shop: Shop, model: Artifact) -> None:
    page = Parsed(lineage_page(shop.store, [model], "FRA"))
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    for artifact in shop.store.all():
        assert f"{artifact.label}-{artifact.key}" in identifiers
        assert artifact.manifest["digest"] in page.text
        for entry in artifact.manifest["files"]:
            assert entry["sha256"] in page.text
        for entry in artifact.manifest["sources"].get("sources.0", []):
            assert entry["sha256"] in page.text
    for words in (
        "perplexity",
        "20.1",
        "What became of the documents",
        "1 Wh",
        "Electricity of FRA",
        f"pretrace audit {model.key}",
    ):
        assert words in page.text


def test_the_page_holds_all_that_it_shows_and_runs_no_script_but_its_own(shop: Shop, model: Artifact) -> None:
    text = lineage_page(shop.store, [model], "FRA")
    page = Parsed(text)
    names = {name for name, _ in page.elements}
    assert names.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form"})
    assert not {
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "src"
    }
    assert {link[0] for link in page.values("href")} == {"#"}
    assert {link[1:] for link in page.values("href")} <= set(page.values("id"))
    assert "url(" not in "".join(page.values("style"))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in text
    assert ("meta", "default-src 'none'") in [
        (name, str(attributes.get("content"))[:18]) for name, attributes in page.elements
    ]


def test_what_comes_from_outside_stays_text(shop: Shop, model: Artifact, tmp_path: Path) -> None:
    shutil.copytree(shop.store.root, tmp_path / "store")
    store = Store(tmp_path / "store")
    (corpus,) = store.all("corpus")
    corpus.manifest["sources"]["sources.0"][0]["name"] = HOSTILE
    corpus.manifest["made"] |= {"sources": {"sources.0": [HOSTILE]}, "command": [HOSTILE], "host": HOSTILE}
    corpus.manifest["made"]["tracking"] = {"uri": f"javascript:{HOSTILE}", "run_id": HOSTILE}
    corpus.manifest["facts"]["dropped"] = {f"{HOSTILE}: {HOSTILE}": 3}
    (corpus.path / "manifest.json").write_text(json.dumps(corpus.manifest))
    text = lineage_page(store, [model], HOSTILE)
    page = Parsed(text)
    assert "img" not in {name for name, _ in page.elements}
    assert [name for name, _ in page.elements].count("script") == 1
    assert page.text.count('<script>alert("1")</script>') >= 5
    assert {link[0] for link in page.values("href")} == {"#"}
    assert "\x00" not in text
    assert text.encode()


def test_a_run_on_a_server_is_a_link_and_another_is_named() -> None:
    there = run_of({"uri": "http://me:secret@host:5000/", "run_id": "ab/c"})
    assert 'href="http://host:5000/#/runs/ab/c"' in there
    assert "secret" not in there
    assert (
        run_of({"uri": "sqlite:////data/mlflow.db", "run_id": "abc"}) == "<code>abc</code> in sqlite:////data/mlflow.db"
    )
    assert run_of({}) == "not recorded"


def test_a_lineage_of_nothing_is_a_page_too(shop: Shop) -> None:
    assert "no artifact was made" in Parsed(lineage_page(shop.store, [], "FRA")).text


def test_the_command_writes_the_page(pretrace: Command, shop: Shop, model: Artifact, tmp_path: Path) -> None:
    said = pretrace("lineage", model.key[:6], tmp_path / "page.html", "--store", shop.store.root)
    assert (said.code, said.out) == (0, f"{tmp_path / 'page.html'}: open it in a browser\n")
    assert (tmp_path / "page.html").read_text() == lineage_page(shop.store, [model], "")
    said = pretrace("lineage", model.key, tmp_path / "no" / "page.html", "--store", shop.store.root)
    assert said.code == 2
    assert "page.html: cannot be written (No such file or directory); name another file" in said.err


def _curve(folder: Path, columns: dict[str, list[float | None]]) -> Artifact:
    pq.write_table(pa.table(columns), folder / "curve.parquet")
    return Artifact(folder, {"files": [{"name": "curve.parquet"}]})


def test_a_curve_of_many_steps_is_drawn_by_some_hundred_points(tmp_path: Path) -> None:
    steps = list(range(1, 10_001))
    losses: list[float | None] = [9.0 - step / 5000 for step in steps]
    losses[5] = math.nan
    held: list[float | None] = [8.0 if step % 2500 == 0 else None for step in steps]
    curve = _curve(
        tmp_path,
        {
            "step": [*steps],
            "phase": [int(step > 6000) for step in steps],
            "mlm_loss": losses,
            "held_out_mlm_loss": held,
        },
    )
    (mlm,) = curves_of(curve)
    assert (mlm.name, len(mlm.training), len(mlm.held_out), mlm.phases) == ("mlm", POINTS, 4, ((6000.0, 2),))
    assert mlm.training[0].greatest == losses[0]
    assert all(point.least <= point.mean <= point.greatest for point in mlm.training)
    assert mlm.held_out[-1] == Point(10_000, 8.0, 8.0, 8.0)
    svg = chart(mlm, 6.5)
    assert svg.count("<circle") == 4
    assert 'class="level"' in svg
    assert "NaN" not in svg
    assert len(svg) < 20_000


@pytest.mark.parametrize("losses", [[], [5.0], [math.nan, math.inf], [2.0, 2.0, 2.0], [2.0, 2.0 + 4e-16]])
def test_a_curve_of_little_or_nothing_is_drawn_as_well(tmp_path: Path, losses: list[float | None]) -> None:
    steps: list[float | None] = [*range(len(losses))]
    (curves,) = curves_of(_curve(tmp_path, {"step": steps, "phase": [0] * len(steps), "mlm_loss": losses}))
    assert "nan" not in chart(curves, None)


def test_a_curve_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    artifact = _curve(tmp_path, {"step": [1.0]})
    assert curves_of(artifact) == []
    (tmp_path / "curve.parquet").write_text("no parquet")
    assert curves_of(artifact) == []
    assert curves_of(Artifact(tmp_path, {"files": []})) == []


def test_a_corpus_is_counted_by_source(shop: Shop) -> None:
    corpus = shop.make("corpus")
    texts = [text for text in (shop.config.parent / "texts.txt").read_text().split("\n\n") if text]
    (share,) = shares_of(corpus)
    assert share.source == "text"
    assert (share.documents, share.sentences) == (40, corpus.manifest["facts"]["sentences"])
    assert share.words == sum(len(text.split()) for text in texts)
    assert share == Share("text", 40, share.sentences, share.words, sum(len(text) for text in texts) - 40)


def test_the_account_of_documents_adds_up() -> None:
    facts = {
        "read": 90,
        "empty": 3,
        "skipped": 2,
        "documents": 70,
        "dropped": {"length: shorter than 10 words": 5, "duplicates: the same text": 15, "exclude: listed": 5},
    }
    lines = account_of(facts)
    assert lines[0] == Left(100, "found", "")
    assert lines[-1] == Left(70, "kept", "")
    assert sum(line.documents for line in lines[:-1]) == lines[-1].documents
    assert Left(-5, "length", "shorter than 10 words") in lines


def test_figures_have_units_that_fit() -> None:
    assert [energy(kwh) for kwh in (0.0, 2.9e-6, 0.00187, 0.25, 3.0, 12_345.0)] == [
        "0 mWh",
        "2.9 mWh",
        "1.87 Wh",
        "250 Wh",
        "3 kWh",
        "12.3 MWh",
    ]
    assert [mass(kg) for kg in (4.7e-5, 0.000741, 0.5, 12.0)] == ["47 mg", "741 mg", "500 g", "12 kg"]
    assert [number(value) for value in (1234, 0.00012345, 2.0, 12345.6)] == ["1,234", "0.0001234", "2", "12,346"]


def test_an_element_escapes_what_is_no_markup() -> None:
    inner = element("b", "<i>", title='"', data_x=None)
    assert element("p", inner, "&", class_="a") == '<p class="a"><b title="&quot;">&lt;i&gt;</b>&amp;</p>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
