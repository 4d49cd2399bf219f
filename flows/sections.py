"""Sections of a lineage's page: how its models learned, what its corpus consists of, what it cost, what it came from."""

from collections.abc import Iterable, Sequence
from typing import Any

from flows.chart import Curves, chart, curves_of
from flows.comparison import COLUMNS, beside
from flows.composition import Share, account_of, shares_of
from flows.graph import anchor_of, name_of, role_of
from flows.markup import EMPTY_MARKUP, Markup, element, joined
from flows.outcome import duration
from flows.showing import size
from flows.units import counted, energy, mass
from pipeline.core.energy import certainty
from pipeline.core.store import Artifact
from pipeline.core.tracking import without_passwords
from pipeline.starts import TUNED

FILES_FIRST, FILES_MOST = 12, 1000
"""How many files of a role are shown at once, and how many at all: the manifest names every one."""
FIGURE = "figure"
TEXTS = 3
"""How many columns of the comparison of tasks are no figures."""


def learning(artifacts: Sequence[Artifact]) -> Markup:
    """Draw the loss curves of the models; nothing where there is no model."""
    models = [artifact for artifact in artifacts if artifact.label in ("pretrain", *TUNED)]
    figures = [_figure(model, curves) for model in models for curves in curves_of(model)]
    if not models:
        return EMPTY_MARKUP
    if not figures:
        return element("p", "No model of this lineage has a curve.parquet that can be read.")
    about = "The line is the mean of the steps it stands for, the band their range. Dots are held-out rows."
    return joined([element("p", about, class_="faint"), _legend(), element("div", *figures, class_="charts")])


def _figure(model: Artifact, curves: Curves) -> Markup:
    entropy = model.manifest["facts"].get("unigram_entropy_nats") if curves.name == "mlm" else None
    said = f"{name_of(model)}: {curves.name} loss"
    ends = [f"training {curves.training[-1].mean:.3f}"] if curves.training else []
    ends += [f"held-out {curves.held_out[-1].mean:.3f}"] if curves.held_out else []
    ends += [f"unigram entropy {entropy:.3f}"] if entropy else []
    last = f"At the end, in nats: {', '.join(ends)}." if ends else "No finite value."
    return element("figure", element("figcaption", said), chart(curves, entropy), element("p", last, class_="faint"))


def _legend() -> Markup:
    lines = (
        ("training", "training"),
        ("held-out", "held-out"),
        ("level", "unigram entropy: what no context can reach"),
    )
    return element("ul", *(element("li", _sample(kind), text) for kind, text in lines), class_="legend")


def _sample(kind: str) -> Markup:
    line = element("path", d="M0 6H24", class_=kind)
    dot = [element("circle", cx=12, cy=6, r=3)] if kind == "held-out" else []
    return element("svg", line, *dot, width=24, height=12, aria_hidden="true")


def tasks(artifacts: Sequence[Artifact]) -> Markup:
    """Put beside each other what tasks reached from a model and from random weights; nothing where there is no task."""
    rows = beside(artifacts, {f"{one.label}/{one.key}": name_of(one) for one in artifacts})
    cells = [
        element(
            "tr",
            element("th", row.task, scope="row", class_="name"),
            *(element("td", text) for text in row.cells[1:TEXTS]),
            *(_cell(text) for text in row.cells[TEXTS:]),
        )
        for row in rows
    ]
    title = "On the development rows; energy is that of fine-tuning, for all that a row compares"
    return _table(title, COLUMNS, cells, figures=COLUMNS[TEXTS:]) if rows else EMPTY_MARKUP


def composition(artifacts: Sequence[Artifact]) -> Markup:
    """Show each corpus by source, and what became of the documents that were found."""
    tables: list[str] = []
    for corpus in (artifact for artifact in artifacts if artifact.label == "corpus"):
        shares = shares_of(corpus)
        tables += [_shares(shares)] if shares else []
        tables.append(_account(corpus))
    return joined(tables)


def _shares(shares: Sequence[Share]) -> Markup:
    names = ("source", "documents", "sentences", "words", "text", "of all text")
    whole = sum(share.utf8_bytes for share in shares) or 1
    rows = [
        element(
            "tr",
            element("th", share.source, scope="row", class_="name"),
            *(_cell(f"{count:,}") for count in (share.documents, share.sentences, share.words)),
            _cell(size(share.utf8_bytes)),
            _cell(f"{share.utf8_bytes / whole:.1%}"),
        )
        for share in shares
    ]
    return _table("The corpus, by source", names, rows, figures=names[1:])


def _account(corpus: Artifact) -> Markup:
    rows = [
        element(
            "tr",
            _cell(f"{line.documents:,}", "gone" if line.documents < 0 else ""),
            element("td", line.step),
            element("td", line.why),
        )
        for line in account_of(corpus.manifest["facts"])
    ]
    return _table(
        "What became of the documents", ("documents", "step", "why"), rows, figures=("documents",), kind="fit"
    )


def costs(artifacts: Sequence[Artifact], country: str) -> Markup:
    """Show energy by stage, what attempts there were, and how the figures came about."""
    most = max((_spent(artifact) for artifact in artifacts), default=0.0) or 1.0
    bars = [_bar(artifact, _spent(artifact) / most) for artifact in artifacts]
    notes = [element("li", note) for note in dict.fromkeys(_method(artifact, country) for artifact in artifacts)]
    about = "Energy of all attempts at a stage, those that failed or were killed included; each artifact counts once."
    return joined(
        [
            element("p", about, class_="faint"),
            element("ul", *bars, class_="bars"),
            element("ul", *notes, class_="faint"),
        ]
    )


def _spent(artifact: Artifact) -> float:
    return float(artifact.manifest["made"].get("energy_kwh", 0.0))


def _bar(artifact: Artifact, share: float) -> Markup:
    made = artifact.manifest["made"]
    attempts = int(made.get("attempts", 1))
    again = [element("span", counted(attempts, "attempt"), class_="mark gone")] if attempts > 1 else []
    figures = f"{energy(_spent(artifact))}, {mass(made.get('emissions_kg', 0.0))} CO2e, {duration(made['duration_s'])}"
    name = element("a", name_of(artifact), href=f"#{anchor_of(artifact)}")
    bar = element("span", element("i", style=f"width:{100 * share:.2f}%"), class_="track", aria_hidden="true")
    left = element("span", name, " ", *again)
    return element("li", element("span", left, element("span", figures), class_="said"), bar)


def _method(artifact: Artifact, country: str) -> str:
    """Say where the figures of an artifact come from."""
    made = artifact.manifest["made"]
    told, sure = str(made.get("energy_method") or "method not recorded"), certainty(made)
    method = told if sure in told or not made.get("energy_method") else f"{sure}: {told}"
    where = made.get("country") or country or "country not recorded"
    grid = f", {made['grid_g_per_kwh']:g} g CO2e a kWh ({made.get('grid_source')})" if "grid_g_per_kwh" in made else ""
    return f"Energy {method}. Electricity of {where}{grid}."


def sources(artifacts: Sequence[Artifact]) -> Markup:
    """List every file from outside with its digest, and where it lay when it was read."""
    return joined(
        joined(
            [
                element("h3", f"Read by {name_of(artifact)}", id=f"sources-{artifact.key}"),
                *(_files(artifact, role, files) for role, files in artifact.manifest["sources"].items()),
            ]
        )
        for artifact in artifacts
        if artifact.manifest["sources"]
    )


def _files(artifact: Artifact, role: str, files: Sequence[dict[str, Any]]) -> Markup:
    places = artifact.manifest["made"].get("sources", {}).get(role) or [""] * len(files)
    rows = [_file(entry, str(place)) for entry, place in zip(files, places, strict=False)][:FILES_MOST]
    total = size(sum(entry["bytes"] for entry in files))
    called = role_of(artifact, role)
    title = f"{called}{'' if called == role else f' ({role})'}: {counted(len(files), 'file')}, {total}"
    parts = [_table(title, ("file", "bytes", "sha256"), rows[:FILES_FIRST], figures=("bytes",), kind="files")]
    if rows[FILES_FIRST:]:
        more = _table("", ("file", "bytes", "sha256"), rows[FILES_FIRST:], figures=("bytes",), kind="files")
        parts.append(element("details", element("summary", f"{len(rows) - FILES_FIRST:,} more"), more))
    if len(files) > FILES_MOST:
        parts.append(element("p", f"And {len(files) - FILES_MOST:,} more, which the manifest names.", class_="faint"))
    return joined(parts)


def _file(entry: dict[str, Any], place: str) -> Markup:
    name = [str(entry["name"])]
    if place:
        name.append(element("div", f"read from {without_passwords(place)}", class_="faint"))
    return element(
        "tr",
        element("td", *name, class_="name"),
        element("td", f"{entry['bytes']:,}", class_=FIGURE, data_unit="bytes"),
        element("td", element("code", entry["sha256"]), class_="digest"),
    )


def _cell(text: str, *classes: str) -> Markup:
    return element("td", text, class_=" ".join([FIGURE, *classes]).strip())


def _table(
    title: str, names: Sequence[str], rows: Iterable[str], figures: Sequence[str] = (), kind: str | None = None
) -> Markup:
    heads = [element("th", name, scope="col", class_=FIGURE if name in figures else None) for name in names]
    caption = [element("caption", title)] if title else []
    table = element("table", *caption, element("thead", element("tr", *heads)), element("tbody", *rows), class_=kind)
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=title or "more files")
