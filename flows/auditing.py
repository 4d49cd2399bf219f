"""`pretrace audit`: prove what an artifact was made of, or name every file that stands against it."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from flows.export import LINEAGE, MODELS, files_of
from flows.progress import console, shown
from flows.showing import size
from pipeline.core.audit import EXTRA, Checked, Named, Problem, audit, locate, manifest_of
from pipeline.core.errors import AuditError, ConfigError
from pipeline.core.files import read_json
from pipeline.core.store import Store, files_below

MEGA = 1e6


def audit_and_tell(store: Store, what: str, *, as_json: bool) -> None:
    """Audit an artifact named by a key, or an exported folder, and print what was found.

    Raises: AuditError if anything is missing, changed, extra or exchanged; ConfigError if `what` names nothing.
    """
    out = console()
    folder = Path(what)
    name = _origin(folder) if (folder / LINEAGE).is_file() else locate(store, what)
    copies = _copies(store, name, folder) if (folder / LINEAGE).is_file() else []
    if as_json:
        checked = audit(store, name, lambda done, total: None, copies)
    else:
        with shown(out) as bars:
            bars.start("audit")
            checked = audit(
                store, name, lambda done, total: bars.update("audit", done / MEGA, total / MEGA, "MB"), copies
            )
            bars.finish("audit")
    problems = [problem for one in checked for problem in one.problems]
    if as_json:
        plain = {"artifact": name, "proved": not problems, "checked": [one.plain() for one in checked]}
        click.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        out.print(_table(checked))
        for problem in problems:
            click.echo(f"{problem.path}: {problem.what}")
    count = sum(len(one.files) for one in checked)
    if problems:
        raise AuditError(
            f"{name}: not proved: {len(problems)} of its files are not what its manifests say; each is named"
        )
    if not as_json:
        out.print(f"{name}: proved, {count:,} files are the ones that it was made of", highlight=False)


def _origin(folder: Path) -> str:
    """Read which artifact was exported.

    Raises: ConfigError if the note was changed.
    """
    note = read_json(folder / LINEAGE)
    name = note.get("artifact") if isinstance(note, dict) else None
    if not isinstance(name, str) or name.partition("/")[0] not in MODELS:
        raise ConfigError(f"{folder / LINEAGE}: names no model; export the model again")
    return name


def _copies(store: Store, name: str, folder: Path) -> list[Checked]:
    """Say what digests the files of an exported folder have to have, by the manifests of the store."""
    model = manifest_of(store, name)
    tokenizer = manifest_of(store, model["inputs"]["tokenizer"]) if model else None
    if model is None or tokenizer is None:
        return []  # what is wrong there is found anyhow
    files = [Named(folder / file.name, file.size_bytes, file.sha256) for file in files_of(model, tokenizer)]
    known = {file.path for file in files} | {folder / LINEAGE}
    extra = [Problem(path, EXTRA) for path in files_below(folder) if path not in known]
    return [Checked(f"export {folder}", folder, files, extra)]


def _table(checked: Sequence[Checked]) -> Table:
    table = Table("", "files", "size", "", box=None, pad_edge=False)
    for one in checked:
        count = len(one.problems)
        found = f"[red]{count} problem{'s' if count > 1 else ''}[/red]" if count else "as it was made"
        table.add_row(one.name, f"{len(one.files):,}", size(sum(file.size_bytes for file in one.files)), found)
    return table
