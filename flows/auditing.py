"""`pretrace audit`: prove what an artifact was made of, or name every file that stands against it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from flows.copies import REGISTERED, Copy, check_texts, exported, fetched, to_check
from flows.export import LINEAGE
from flows.progress import console, shown
from flows.showing import size
from pipeline.core.audit import Checked, Problem, Show, audit, locate
from pipeline.core.errors import AuditError, ConfigError
from pipeline.core.store import Store

MEGA = 1e6
RECORD = "mlflow.db"
"""The record of a store whose runs named no other."""


@dataclass(frozen=True)
class Audited:
    """What an audit found of an artifact and of all that it was made from."""

    name: str
    checked: Sequence[Checked]

    @property
    def problems(self) -> list[Problem]:
        """All that stands against it."""
        return [problem for one in self.checked for problem in one.problems]

    @property
    def sentence(self) -> str:
        """What it comes to."""
        if self.problems:
            count = len(self.problems)
            return f"{self.name}: not proved: {count} of its files are not what its manifests say; each is named"
        count = sum(len(one.files) for one in self.checked)
        return f"{self.name}: proved, {count:,} files are the ones that it was made of"


def audited(store: Store, what: str, show: Show, tracking_uri: str | None = None) -> Audited:
    """Audit an artifact named by a key, an exported folder or a registered model.

    Raises: AuditError if the folder does not say which model it is; ConfigError if `what` names nothing.
    """
    copy = _copy(store, what, tracking_uri)
    name = copy.artifact if copy else locate(store, what)
    return Audited(name, _checked(store, name, copy, show))


def audit_and_tell(store: Store, what: str, *, as_json: bool, tracking_uri: str | None = None) -> None:
    """Audit an artifact and print what was found.

    Raises: AuditError if anything is missing, changed, extra or exchanged; ConfigError if `what` names nothing.
    """
    if as_json:
        found = audited(store, what, lambda done, total: None, tracking_uri)
    else:
        with shown(console()) as bars:
            bars.start("audit")
            found = audited(
                store, what, lambda done, total: bars.update("audit", done / MEGA, total / MEGA, "MB"), tracking_uri
            )
            bars.finish("audit")
    _tell(found, as_json=as_json)


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


def _tell(found: Audited, *, as_json: bool) -> None:
    """Print what was found.

    Raises: AuditError if anything stands against it.
    """
    if as_json:
        checked = [one.plain() for one in found.checked]
        plain = {"artifact": found.name, "proved": not found.problems, "checked": checked}
        click.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        console().print(_table(found.checked))
        for problem in found.problems:
            click.echo(f"{problem.path}: {problem.what}")
    if found.problems:
        raise AuditError(found.sentence)
    if not as_json:
        console().print(found.sentence, highlight=False)


def _table(checked: Sequence[Checked]) -> Table:
    table = Table("", "files", "size", "", box=None, pad_edge=False)
    for one in checked:
        count = len(one.problems)
        found = f"[red]{count} problem{'s' if count > 1 else ''}[/red]" if count else "as it was made"
        table.add_row(escape(one.name), f"{len(one.files):,}", size(sum(file.size_bytes for file in one.files)), found)
    return table
