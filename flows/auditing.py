"""`pretrace audit`: prove what an artifact was made of, or name every file that stands against it."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from flows.copies import REGISTERED, Copy, check_texts, exported, fetched, to_check
from flows.export import LINEAGE
from flows.progress import console, shown
from flows.showing import size
from pipeline.core.audit import Checked, Show, audit, locate
from pipeline.core.errors import AuditError, ConfigError
from pipeline.core.store import Store

MEGA = 1e6
RECORD = "mlflow.db"
"""The record of a store whose runs named no other."""


def audit_and_tell(store: Store, what: str, *, as_json: bool, tracking_uri: str | None = None) -> None:
    """Audit an artifact named by a key, an exported folder or a registered model, and print what was found.

    Raises: AuditError if anything is missing, changed, extra or exchanged; ConfigError if `what` names nothing.
    """
    copy = _copy(store, what, tracking_uri)
    name = copy.artifact if copy else locate(store, what)
    if as_json:
        checked = _checked(store, name, copy, lambda done, total: None)
    else:
        with shown(console()) as bars:
            bars.start("audit")
            checked = _checked(
                store, name, copy, lambda done, total: bars.update("audit", done / MEGA, total / MEGA, "MB")
            )
            bars.finish("audit")
    _tell(name, checked, as_json=as_json)


def _copy(store: Store, what: str, tracking_uri: str | None) -> Copy | None:
    """Find the files outside the store that are asked about; None where it is an artifact.

    Raises: ConfigError if nothing is recorded where a registered model is looked for.
    """
    if what.startswith(REGISTERED):
        record = store.root / RECORD
        if not tracking_uri and not record.is_file():
            raise ConfigError(f"{what}: there is no record at {record}; name one with --tracking-uri")
        return fetched(what, tracking_uri or f"sqlite:///{record}", store)
    return exported(Path(what), store) if (Path(what) / LINEAGE).is_file() else None


def _checked(store: Store, name: str, copy: Copy | None, show: Show) -> list[Checked]:
    checked = audit(store, name, show, [to_check(store, copy)] if copy else [])
    if copy:
        *lineage, copied = checked
        check_texts(store, copy, copied, lineage_proved=not any(one.problems for one in lineage))
    return checked


def _tell(name: str, checked: Sequence[Checked], *, as_json: bool) -> None:
    """Print what was found.

    Raises: AuditError if anything stands against it.
    """
    problems = [problem for one in checked for problem in one.problems]
    if as_json:
        plain = {"artifact": name, "proved": not problems, "checked": [one.plain() for one in checked]}
        click.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        console().print(_table(checked))
        for problem in problems:
            click.echo(f"{problem.path}: {problem.what}")
    count = sum(len(one.files) for one in checked)
    if problems:
        raise AuditError(
            f"{name}: not proved: {len(problems)} of its files are not what its manifests say; each is named"
        )
    if not as_json:
        console().print(f"{name}: proved, {count:,} files are the ones that it was made of", highlight=False)


def _table(checked: Sequence[Checked]) -> Table:
    table = Table("", "files", "size", "", box=None, pad_edge=False)
    for one in checked:
        count = len(one.problems)
        found = f"[red]{count} problem{'s' if count > 1 else ''}[/red]" if count else "as it was made"
        table.add_row(escape(one.name), f"{len(one.files):,}", size(sum(file.size_bytes for file in one.files)), found)
    return table
