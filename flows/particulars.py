"""All that is known of each artifact of a lineage, for its page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlparse

from flows.graph import anchor_of, name_of
from flows.markup import Markup, element, joined
from flows.outcome import duration
from flows.showing import size
from flows.units import counted, energy, mass, number
from pipeline.core.energy import certainty
from pipeline.core.store import Artifact
from pipeline.core.tracking import without_passwords

FILES_MOST = 200
"""How many files of an artifact are listed: the manifest names every one."""
COMMIT_DIGITS = 12
SECOND = len("2026-01-01T00:00:00")
DRAWN = "curve"
"""A fact that is drawn elsewhere on the page."""
PARTS = ("train", "held_out", "rows", "dev", "measured")
"""Facts that hold a few more."""


def particulars(artifacts: Sequence[Artifact]) -> Markup:
    """Tell all of each artifact: what it holds, what it cost, what it was made of, who has more."""
    return joined(_article(artifact) for artifact in artifacts)


def run_of(tracking: Mapping[str, str]) -> Markup:
    """Link to the MLflow run of an artifact where it is on a server, else name it."""
    uri, run = tracking.get("uri", ""), tracking.get("run_id", "")
    if not run:
        return joined(["not recorded"])
    shown = element("code", run)
    if urlparse(uri).scheme in ("http", "https"):
        link = f"{without_passwords(uri).rstrip('/')}/#/runs/{quote(run)}"
        return element("a", shown, href=link, target="_blank", rel="noopener noreferrer")
    return joined([shown, f" in {without_passwords(uri)}"])


def _article(artifact: Artifact) -> Markup:
    manifest = artifact.manifest
    head = element(
        "header",
        element("h3", name_of(artifact)),
        element("span", f"{artifact.label}/{artifact.key}", class_="key"),
        element("span", size(artifact.size_bytes), class_="faint"),
    )
    return element(
        "article",
        head,
        _facts([*_found(manifest["facts"]), *_cost(manifest["made"]), *_origin(artifact)]),
        _folded("Where and with what it was made", _facts(_provenance(artifact))),
        _folded("Settings", element("pre", element("code", _json(manifest["config"])))),
        _folded("All facts", element("pre", element("code", _json(manifest["facts"])))),
        _files(artifact),
        id=anchor_of(artifact),
    )


def _found(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give the facts that are single figures or words, those of the next level too where they are few."""
    single = {name: value for name, value in facts.items() if isinstance(value, int | float | str) and name != DRAWN}
    few = {
        f"{name} {inner}": value
        for name, values in facts.items()
        if isinstance(values, dict) and name in PARTS
        for inner, value in values.items()
        if isinstance(value, int | float)
    }
    return [
        (name.replace("_", " "), number(value) if isinstance(value, int | float) else value)
        for name, value in (single | few).items()
    ]


def _cost(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    doubt = f" ({certainty(made)})" if made.get("energy_method") else ""
    rows = [("cost", f"{_costs(made, '')}{doubt}, {counted(int(made.get('attempts', 1)), 'attempt')}")]
    if "attempt_energy_kwh" in made and made.get("attempts", 1) > 1:
        rows.append(("last attempt", _costs({name.removeprefix("attempt_"): made[name] for name in made}, "")))
    if "energy_kwh_total" in made:
        rows.append(("with all it came from", _costs(made, "_total")))
    return rows


def _costs(made: Mapping[str, Any], which: str) -> str:
    spent, emitted, took = (
        float(made.get(f"{name}{which}", 0)) for name in ("energy_kwh", "emissions_kg", "duration_s")
    )
    return f"{energy(spent)}, {mass(emitted)} CO2e, {duration(took)}"


def _origin(artifact: Artifact) -> list[tuple[str, str]]:
    made = artifact.manifest["made"]
    inputs = artifact.manifest["inputs"].values()
    used = [element("a", name, href=f"#{name.replace('/', '-')}", class_="key") for name in dict.fromkeys(inputs)]
    by = [("by", str(made["operator"]))] if made.get("operator") else []
    return [
        *([("made from", _listed(used))] if used else []),
        ("made at", f"{str(made['at'])[:SECOND].replace('T', ' ')} UTC"),
        *by,
        ("MLflow run", run_of(made.get("tracking", {}))),
    ]


def _provenance(artifact: Artifact) -> list[tuple[str, str]]:
    made = artifact.manifest["made"]
    rows = [
        ("on", _machine(made)),
        ("code", _code(made.get("code"))),
        ("with", ", ".join(f"{name} {found}" for name, found in made.get("packages", {}).items())),
        ("command", element("code", " ".join(map(str, made.get("command", ()))))),
        ("manifest", element("code", artifact.manifest["digest"])),
    ]
    return [(name, said) for name, said in rows if said]


def _listed(items: Sequence[str]) -> Markup:
    return joined(part for at, item in enumerate(items) for part in ((", ", item) if at else (item,)))


def _machine(made: Mapping[str, Any]) -> str:
    parts = made.get("accelerator") or {}
    held = [str(parts["processor"])] if parts.get("processor") else []
    held += [counted(int(parts["threads"]), "thread")] if parts.get("threads") else []
    held += [str(gpu) for gpu in parts.get("gpus", ())]
    about = [str(made[name]) for name in ("host", "platform") if made.get(name)]
    python = [f"Python {made['python']}"] if made.get("python") else []
    return ", ".join([*about, *held, *python])


def _code(code: Mapping[str, Any] | None) -> str:
    if not code:
        return ""
    return (
        f"commit {code['commit'][:COMMIT_DIGITS]}{', with changes that were not committed' if code['changed'] else ''}"
    )


def _facts(rows: Sequence[tuple[str, str]]) -> Markup:
    return element(
        "dl", *(part for name, said in rows for part in (element("dt", name), element("dd", said))), class_="facts"
    )


def _files(artifact: Artifact) -> Markup:
    files = artifact.manifest["files"]
    names = ("file", "bytes", "rows", "sha256")
    rows = [
        element(
            "tr",
            element("td", entry["name"], class_="name"),
            element("td", f"{entry['bytes']:,}", class_="figure", data_unit="bytes"),
            element("td", f"{entry['rows']:,}" if "rows" in entry else "", class_="figure", data_unit="rows"),
            element("td", element("code", entry["sha256"]), class_="digest"),
        )
        for entry in files[:FILES_MOST]
    ]
    head = element("tr", *(element("th", name, scope="col") for name in names))
    table = element(
        "div", element("table", element("thead", head), element("tbody", *rows), class_="files"), class_="scroll"
    )
    more = f"And {len(files) - FILES_MOST:,} more, which the manifest names." if len(files) > FILES_MOST else ""
    return _folded(counted(len(files), "file"), joined([table, more]))


def _folded(title: str, content: Markup) -> Markup:
    return element("details", element("summary", title), content)


def _json(value: Any) -> str:
    return without_passwords(json.dumps(value, indent=1, ensure_ascii=False))
