"""The lineage as a graph: what each artifact was made of, down to the files from outside; as a drawing, and as mermaid."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from flows.layers import Layout, Passing, Spot, lay_out
from flows.markup import Markup, element
from flows.showing import size
from flows.units import counted, energy, mass
from pipeline.core.store import Artifact
from pipeline.starts import MODELS, TUNED

Kind = Literal["outside", "data", "model"]
VARIANT = {"examples": "sequence_length", "finetune": "task", "sweep": "task"}
"""By label: the setting that tells artifacts of one plan from each other."""
MOST_ROLES = 4
"""Files from outside are drawn role by role up to this many; more become one box, as do those of a task."""

NODE_WIDTH, NODE_HEIGHT = 152.0, 62.0
LINE_WIDTH, GAP, BETWEEN, EDGE = 14.0, 18.0, 34.0, 2.0
LETTERS = 18
"""How many letters fit into a box."""


@dataclass(frozen=True)
class Node:
    """A box: an artifact, or files from outside that one was made of."""

    name: str
    kind: Kind
    lines: tuple[str, ...]
    link: str


def name_of(artifact: Artifact) -> str:
    """Give the name of the step that made an artifact: `pretrain`, `examples-64`, `finetune-rte`."""
    variant = artifact.manifest["config"].get(VARIANT.get(artifact.label, ""))
    return f"{artifact.label}-{variant}" if variant is not None else artifact.label


def anchor_of(artifact: Artifact) -> str:
    """Name the place on the page where all of an artifact is told."""
    return f"{artifact.label}-{artifact.key}"


def graph(artifacts: Sequence[Artifact]) -> tuple[list[Node], list[tuple[str, str]]]:
    """List the boxes of a lineage, and the lines from what was used to what was made of it."""
    drawn = {f"{artifact.label}/{artifact.key}" for artifact in artifacts}
    nodes, edges = [], []
    for artifact in artifacts:
        here = f"{artifact.label}/{artifact.key}"
        files = _outside(artifact)
        nodes += [*files, _box(artifact, here)]
        edges += [(node.name, here) for node in files]
        used = dict.fromkeys(artifact.manifest["inputs"].values())
        edges += [(name, here) for name in used if name in drawn]
    return nodes, edges


def mermaid(artifacts: Sequence[Artifact]) -> str:
    """Write the lineage as a mermaid flowchart; nothing in a label can end it or begin another statement."""
    nodes, edges = graph(artifacts)
    number = {node.name: f"n{at}" for at, node in enumerate(nodes)}
    shape = {"outside": ('[("', '")]'), "data": ('["', '"]'), "model": ('(["', '"])')}
    lines = ["flowchart TD"]
    for node in nodes:
        opening, closing = shape[node.kind]
        lines.append(f"  {number[node.name]}{opening}{'<br/>'.join(map(_quoted, node.lines))}{closing}")
    lines += [f"  {number[start]} --> {number[end]}" for start, end in edges]
    return "\n".join(lines)


def drawing(artifacts: Sequence[Artifact]) -> Markup:
    """Draw the lineage as SVG: boxes in layers, lines from above to below, each box a link to its artifact."""
    nodes, edges = graph(artifacts)
    found = lay_out([node.name for node in nodes], edges, node=NODE_WIDTH, line=LINE_WIDTH, gap=GAP)
    wide = found.width + 2 * EDGE
    high = found.layers * NODE_HEIGHT + (found.layers - 1) * BETWEEN + 2 * EDGE
    tip = element("path", d="M0 0 7 3.5 0 7z", class_="tip")
    marker = {"viewBox": "0 0 7 7", "refX": "7", "refY": "3.5", "markerWidth": "7", "markerHeight": "7"}
    arrow = element("marker", tip, id="arrow", orient="auto", markerUnits="userSpaceOnUse", **marker)
    lines = [
        element("path", d=_line(route, found), class_="line", marker_end="url(#arrow)") for route in _routes(found)
    ]
    boxes = [_drawn(node, found) for node in nodes]
    about = f"{counted(len(artifacts), 'artifact')} and the files from outside that they were made of"
    return element(
        "svg",
        element("title", about),
        element("defs", arrow),
        *lines,
        *boxes,
        viewBox=f"0 0 {wide:.0f} {high:.0f}",
        class_="graph",
        role="group",
        style=f"max-width:{1.3 * wide:.0f}px;min-width:{0.7 * wide:.0f}px",
    )


def _routes(found: Layout) -> list[tuple[Spot, ...]]:
    """List the routes; of those that share their way only one has the whole of it, so that nothing is drawn twice."""
    seen: set[tuple[Spot, Spot]] = set()
    routes = []
    for route in found.routes.values():
        steps = list(pairwise(route))
        fresh = next((at for at, step in enumerate(steps) if step not in seen), len(steps) - 1)
        seen.update(steps)
        routes.append(route[fresh:])
    return routes


def _line(route: Sequence[Spot], found: Layout) -> str:
    """Draw a line from below a box, straight past the boxes of a layer, to above the next box."""
    parts: list[str] = []
    for start, end in pairwise(route):
        (x, _), (to_x, to_y) = _at(start, found), _at(end, found)
        y = to_y - BETWEEN
        bend = BETWEEN / 2
        if not parts:
            parts.append(f"M{x:.1f} {y:.1f}")
        parts.append(f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}")
        if isinstance(end, Passing):
            parts.append(f"V{to_y + NODE_HEIGHT:.1f}")
    return "".join(parts)


def _at(spot: Spot, found: Layout) -> tuple[float, float]:
    """Give the middle of a spot's upper edge."""
    return found.x[spot] + EDGE, found.layer[spot] * (NODE_HEIGHT + BETWEEN) + EDGE


def _drawn(node: Node, found: Layout) -> Markup:
    x, y = _at(node.name, found)
    left = x - NODE_WIDTH / 2
    box = element("rect", x=f"{left:.1f}", y=f"{y:.1f}", width=NODE_WIDTH, height=NODE_HEIGHT, rx=8)
    texts = [
        element("text", _short(line), x=f"{x:.1f}", y=f"{y + 20 + 17 * at:.1f}", class_=f"line-{at}")
        for at, line in enumerate(node.lines)
    ]
    return element(
        "a", element("title", ", ".join(node.lines)), box, *texts, href=f"#{node.link}", class_=f"box {node.kind}"
    )


def _box(artifact: Artifact, name: str) -> Node:
    made = artifact.manifest["made"]
    cost = f"{energy(made.get('energy_kwh', 0.0))}, {mass(made.get('emissions_kg', 0.0))}"
    kind: Kind = "model" if artifact.label in MODELS else "data"
    return Node(name, kind, (name_of(artifact), artifact.key, cost), anchor_of(artifact))


def _outside(artifact: Artifact) -> list[Node]:
    """Give a box for each role of an artifact's files from outside, or one where there are many roles."""
    roles: dict[str, list[dict[str, Any]]] = artifact.manifest["sources"]
    named = [(role_of(artifact, role), entries) for role, entries in roles.items()]
    if len(roles) > 1 and (artifact.label in TUNED or len(roles) > MOST_ROLES):
        task = artifact.manifest["config"].get("task")
        everything = [entry for entries in roles.values() for entry in entries]
        named = [(f"{task} rows" if task else f"{len(roles)} sources", everything)]
    return [
        Node(
            f"{artifact.key} {at}",
            "outside",
            (name, counted(len(entries), "file"), size(sum(entry["bytes"] for entry in entries))),
            f"sources-{artifact.key}",
        )
        for at, (name, entries) in enumerate(named)
    ]


def role_of(artifact: Artifact, role: str) -> str:
    """Say what files from outside are to an artifact: a source by its name or kind, a split by its task, else the role."""
    _, _, at = role.partition("sources.")
    config = artifact.manifest["config"]
    sources = config.get("sources", ())
    if artifact.label in TUNED:
        return f"{config.get('task', 'task')} {role}"
    if not at.isdigit() or int(at) >= len(sources):
        return role
    return str(sources[int(at)].get("name") or sources[int(at)].get("kind") or role)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _quoted(text: str) -> str:
    """Write all but letters, digits and a few harmless signs as mermaid's codes for them."""
    return "".join(letter if letter.isalnum() or letter in " -_.,/" else f"#{ord(letter)};" for letter in text)
