"""The architecture, enforced: imports point down, one door a heavy dependency, small files, small functions."""

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("pipeline", "cluster", "flows")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MOST_LINES = 400
MEDIAN_FUNCTION_LINES = 12

DOORS = {
    "prefect": ("flows",),
    "ray": ("cluster",),
    "mlflow": ("pipeline.core.tracking",),
    "deepspeed": ("pipeline.training",),
    "torch": ("pipeline.model", "pipeline.training", "pipeline.objectives", "cluster.network"),  # how long ranks wait
    "codecarbon": ("pipeline.core.energy",),
}
LEVELS = (
    ("flows",),
    ("cluster",),
    (
        "pipeline.plan",
        "pipeline.starts",
        "pipeline.trace",
        "pipeline.estimate",
        "pipeline.serving",
        "pipeline.readiness",
    ),
    ("pipeline.stages", "pipeline.tuning", "pipeline.outside"),
    ("pipeline.config", "pipeline.running", "pipeline.trials", "pipeline.agreement"),
    (
        "pipeline.text",
        "pipeline.objectives",
        "pipeline.model",
        "pipeline.training",
        "pipeline.tasks",
        "pipeline.tables",
    ),
    ("pipeline.core",),
)
"""A module may import from its own level and those below; the rooms add the rules tested apart."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Yield what a file imports; at top level only, or inside functions too. Imports for type checkers do not count."""
    hidden = {id(inner) for node in ast.walk(tree_of(path)) if _is_type_checking(node) for inner in ast.walk(node)}
    nodes = tree_of(path).body if top_level else list(ast.walk(tree_of(path)))
    for node in nodes:
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else module for name in names)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


MODULES = {name_of(path) for path in FILES}


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def level_of(module: str) -> int:
    return next(at for at, packages in enumerate(LEVELS) if below(module, packages) or module == "pipeline")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    if path.parent.name == "pipeline" and path.name == "__init__.py":
        return
    here = name_of(path)
    wrong = [name for name in imports_of(path) if name.split(".")[0] in ROOMS and level_of(name) < level_of(here)]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_dependencies_come_in_by_their_door(path: Path) -> None:
    here = name_of(path)
    wrong = [
        name
        for name in imports_of(path)
        if (door := DOORS.get(name.split(".")[0])) is not None and not below(here, door)
    ]
    assert wrong == []


def test_cluster_knows_only_the_core() -> None:
    wrong = {
        name_of(path): name
        for path in FILES
        for name in imports_of(path)
        if below(name_of(path), ("cluster",))
        and below(name, ("pipeline", "flows"))
        and not below(name, ("pipeline.core",))
    }
    assert wrong == {}


def test_a_stage_never_imports_another_stage() -> None:
    stages = [path for path in FILES if below(name_of(path), ("pipeline.stages",))]
    assert [name for path in stages for name in imports_of(path) if below(name, ("pipeline.stages",))] == []


def test_what_takes_plain_arguments_never_sees_a_config() -> None:
    plain = LEVELS[5]
    wrong = [
        name_of(path)
        for path in FILES
        if below(name_of(path), plain)
        for name in imports_of(path)
        if name == "pipeline.config"
    ]
    assert wrong == []


def test_the_core_and_the_cluster_know_nothing_of_bert() -> None:
    words = re.compile(r"\b(bert|wordpiece|masked language|mlm|nsp)\b", re.IGNORECASE)
    rooms = [
        path for path in FILES if below(name_of(path), ("pipeline.core", "cluster")) and path.name != "__init__.py"
    ]
    assert {name_of(path): found for path in rooms if (found := words.findall(path.read_text(encoding="utf-8")))} == {}


def test_objectives_load_torch_only_when_called() -> None:
    objectives = [path for path in FILES if below(name_of(path), ("pipeline.objectives",))]
    assert [
        name_of(path)
        for path in objectives
        if any(name.split(".")[0] == "torch" for name in imports_of(path, top_level=True))
    ] == []


def test_there_are_no_import_cycles() -> None:
    graph = {name_of(path): {name for name in imports_of(path, top_level=True) if name in MODULES} for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module in done:
            return
        for name in graph[module]:
            visit(name, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_functions_are_small() -> None:
    lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for _, node in functions()]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES


def test_everything_is_annotated() -> None:
    bare = [
        f"{name_of(path)}:{node.name}"
        for path, node in functions()
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.annotation is None and argument.arg not in ("self", "cls")
    ]
    bare += [f"{name_of(path)}:{node.name} ->" for path, node in functions() if node.returns is None]
    assert bare == []


def test_nothing_is_called_utils() -> None:
    banned = {"utils", "helpers", "common", "manager", "base"}
    assert [name_of(path) for path in FILES if path.stem in banned] == []
