"""The page of a lineage: one HTML file with everything in it, to be read in ten years without us or a network.

What comes from outside (titles, paths, settings) is escaped wherever it is put, by the way elements are made, and the
page forbids its reader's browser to load anything, or to run any script but one of a few lines, which it names by its hash.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from flows.graph import anchor_of, drawing, name_of
from flows.markup import Markup, element, joined
from flows.origins import whole
from flows.outcome import duration
from flows.particulars import particulars
from flows.sections import composition, costs, learning, sources, tasks
from flows.showing import size
from flows.units import counted, energy, mass
from pipeline.core.energy import certainty
from pipeline.core.errors import ConfigError
from pipeline.core.store import Artifact, Store

FOLLOW = Markup("""
if (location.protocol === "blob:") document.addEventListener("click", event => {
  const link = event.target.closest('a[href^="#"]');
  const there = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!there) return;
  event.preventDefault();
  there.scrollIntoView();
});
""")
"""MLflow shows the page in a frame without an origin, in which Chromium follows no link within it (tried in 156)."""
NOTHING_LOADED = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src '{script}'; base-uri 'none'; form-action 'none'"
)
KINDS = (("outside", "files from outside"), ("data", "data"), ("model", "a model"))


def lineage_page(store: Store, artifacts: Sequence[Artifact], country: str) -> str:
    """Write the page of artifacts and of all that they were made from.

    `country` is whose electricity is taken for granted where a manifest names none.
    """
    everything = whole(store, artifacts)
    parts = [
        ("graph", "What it was made of", _graph(everything)),
        ("learning", "How it learned", learning(everything)),
        ("tasks", "What its tasks reached", tasks(everything)),
        ("composition", "What the corpus consists of", composition(everything)),
        ("costs", "What it cost", costs(everything, country)),
        ("sources", "Files from outside", sources(everything)),
        ("artifacts", "Every artifact", particulars(everything)),
        ("audit", "How to check this", _audit(_last(everything))),
    ]
    shown = [(name, title, content) for name, title, content in parts if content]
    body = [
        _header(everything, [(name, title) for name, title, _ in shown]),
        element("main", *(_section(name, title, content) for name, title, content in shown)),
        _footer(),
    ]
    return f"<!DOCTYPE html>\n{element('html', _head(_title(everything)), element('body', *body), lang='en')}\n"


def write_page(store: Store, artifact: Artifact, file: Path) -> None:
    """Write the page of one artifact.

    Raises: ConfigError if the file cannot be written.
    """
    page = lineage_page(store, [artifact], "")
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); name another file") from error


def _head(title: str) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=NOTHING_LOADED.format(script=_hash(FOLLOW))),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", _style()),
        element("script", FOLLOW),
    )


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def _style() -> Markup:
    return Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))


def _title(artifacts: Sequence[Artifact]) -> str:
    last = [f"{name_of(artifact)} {artifact.key}" for artifact in _last(artifacts)]
    return f"Lineage of {', '.join(last)}" if last else "Lineage of nothing: no artifact was made"


def _last(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """List what nothing else here was made of."""
    used = {name for artifact in artifacts for name in artifact.manifest["inputs"].values()}
    return [artifact for artifact in artifacts if f"{artifact.label}/{artifact.key}" not in used]


def _header(artifacts: Sequence[Artifact], sections: Sequence[tuple[str, str]]) -> Markup:
    links = [element("li", element("a", title, href=f"#{name}")) for name, title in sections]
    return element(
        "header",
        element("p", "pretrace", class_="faint"),
        element("h1", _title(artifacts)),
        _tiles(artifacts),
        element("nav", element("ul", *links), aria_label="Sections"),
    )


def _tiles(artifacts: Sequence[Artifact]) -> Markup:
    """Show what matters first: how much there is, how good it is, what it cost."""
    made = [artifact.manifest["made"] for artifact in artifacts]
    files = [entry for one in artifacts for entries in one.manifest["sources"].values() for entry in entries]
    doubt = "" if all(certainty(one) == "measured" for one in made) else ", estimated"
    tiles = [
        ("artifacts", f"{len(artifacts):,}"),
        (f"from outside, {counted(len(files), 'file')}", size(sum(entry["bytes"] for entry in files))),
        *_reached(artifacts),
        (f"energy{doubt}", energy(sum(one.get("energy_kwh", 0.0) for one in made))),
        (f"CO2e{doubt}", mass(sum(one.get("emissions_kg", 0.0) for one in made))),
        ("of machine time", duration(sum(one.get("duration_s", 0.0) for one in made))),
    ]
    return element(
        "dl", *(element("div", element("dt", name), element("dd", said)) for name, said in tiles), class_="tiles"
    )


def _reached(artifacts: Sequence[Artifact]) -> list[tuple[str, str]]:
    facts = [artifact.manifest["facts"] for artifact in artifacts if artifact.label == "pretrain"]
    found = [one["held_out_mlm_perplexity"] for one in facts if "held_out_mlm_perplexity" in one]
    return [("held-out perplexity", f"{found[-1]:,.1f}")] if found else []


def _section(name: str, title: str, content: Markup) -> Markup:
    return element(
        "section", element("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title"
    )


def _graph(artifacts: Sequence[Artifact]) -> Markup:
    legend = [element("li", _swatch(kind), text) for kind, text in KINDS]
    about = "Each box leads to all that is known of it. An arrow goes from what was used to what was made of it."
    picture = element("div", drawing(artifacts), class_="scroll", tabindex=0, role="region", aria_label="The graph")
    return joined([element("p", about, class_="faint"), element("ul", *legend, class_="legend"), picture])


def _swatch(kind: str) -> Markup:
    box = element("rect", x=1, y=1, width=14, height=10, rx=2)
    return element("svg", box, class_=kind, width=16, height=12, aria_hidden="true")


def _audit(last: Sequence[Artifact]) -> Markup:
    """Say how to prove what the page tells: by the store, or by hand."""
    commands = "\n".join(f"pretrace audit {artifact.key}" for artifact in last)
    digests = [
        element("tr", element("th", _link(artifact)), element("td", element("code", artifact.manifest["digest"])))
        for artifact in last
    ]
    return joined(
        [
            element(
                "p",
                "This page tells what manifests say. With the store at hand, every byte that they name is hashed again, "
                "down to the files from outside, by",
            ),
            element("pre", element("code", commands)),
            element(
                "p",
                "It ends with exit code 0 only when all is proved, and names each file that stands against it. Without "
                "pretrace: sha256sum over a file has to give the digest that is told of it here, and a manifest has to be "
                "the one of this digest:",
            ),
            element("table", element("tbody", *digests)),
        ]
    )


def _link(artifact: Artifact) -> Markup:
    return element("a", f"{artifact.label}/{artifact.key}", href=f"#{anchor_of(artifact)}")


def _footer() -> Markup:
    return element("footer", element("p", "Written by pretrace from the manifests of its store.", class_="faint"))
