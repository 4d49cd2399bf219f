"""What Prefect's page shows of an audit: the sentence it comes to, what stands against each artifact, every file with its digest.

They are what an audit is for, so the flow waits until the server has them.
"""

from collections.abc import Iterator
from pathlib import Path

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.auditing import MEGA, Audited, audited
from flows.markdown import plain, table
from flows.outbox import Card, Outbox
from flows.showing import size
from flows.units import counted
from pipeline.core.audit import Checked, Named, Show
from pipeline.core.errors import AuditError, PretraceError
from pipeline.core.store import Store

PROVED = "proved"
SUMMARY, FILES, PROGRESS = "audit", "audit-files", "audit-progress"
ROWS_AT_MOST = 1000
"""Rows that the page still draws at once; what stands against it comes first."""
LINES_AT_MOST = 100


def audit_shown(root: Path, what: str, tracking_uri: str | None) -> State[None]:
    """Be the whole body of a flow: audit an artifact, show what was found, give the state that says what it comes to."""
    try:
        with Outbox(flow_run.id) as outbox:
            found = audited(Store(root).check(), what, _progress_in(outbox), tracking_uri)
    except PretraceError as error:
        return _failed(error)
    _log(found)
    create_markdown_artifact("\n".join(summary_of(found)), key=SUMMARY, description=found.sentence)
    rows = sorted(rows_of(found), key=lambda row: row["found"] == PROVED)
    create_table_artifact(rows[:ROWS_AT_MOST], key=FILES, description=_description(found, len(rows)))
    return _failed(AuditError(found.sentence)) if found.problems else Completed(message=found.sentence)


def summary_of(found: Audited) -> list[str]:
    """Write what was found: the sentence, a row for each artifact, a row for each problem."""
    lines = [f"**{plain(found.sentence)}**", ""]
    lines += table(("", "files", "size", "found"), (_row(one) for one in found.checked))
    if found.problems:
        told = found.problems[:ROWS_AT_MOST]
        lines += table(("file", "found"), ((plain(str(one.path)), plain(one.what)) for one in told))
    return lines


def rows_of(found: Audited) -> Iterator[dict[str, str]]:
    """List every file: what it belongs to, the digest that it has to have, whether it has it."""
    for one in found.checked:
        against: dict[Path, list[str]] = {}
        for problem in one.problems:
            against.setdefault(problem.path, []).append(problem.what)
        for file in one.files:
            yield _file(one, file, against)
        for path, said in against.items():  # a file that nobody named, or the manifest itself
            yield {"found": "; ".join(said), "of": one.name, "file": _below(one, path), "size": "", "sha256": ""}


def _failed(error: PretraceError) -> State[None]:
    return Failed(message=str(error), data=error)  # raised again for whoever asks for the result


def _file(one: Checked, file: Named, against: dict[Path, list[str]]) -> dict[str, str]:
    said = "; ".join(against.pop(file.path, [PROVED]))
    place = _below(one, file.path)
    return {"found": said, "of": one.name, "file": place, "size": size(file.size_bytes), "sha256": file.sha256}


def _below(one: Checked, path: Path) -> str:
    return str(path.relative_to(one.folder) if one.folder and path.is_relative_to(one.folder) else path)


def _row(one: Checked) -> tuple[str, ...]:
    told = f"**{counted(len(one.problems), 'problem')}**" if one.problems else PROVED
    return plain(one.name), f"{len(one.files):,}", size(sum(file.size_bytes for file in one.files)), told


def _description(found: Audited, count: int) -> str:
    order = (
        "first those that are not what they have to be"
        if found.problems
        else "each with the digest that it has to have"
    )
    left_out = f"; the first {ROWS_AT_MOST:,} are shown" if count > ROWS_AT_MOST else ""
    return f"{counted(count, 'file')}, {order}{left_out}"


def _log(found: Audited) -> None:
    logger = get_run_logger()
    for problem in found.problems[:LINES_AT_MOST]:
        logger.error("%s: %s", problem.path, problem.what)
    logger.info("%s", found.sentence)


def _progress_in(outbox: Outbox) -> Show:
    def show(done: int, total: int) -> None:
        percent = 100.0 * done / total if total else 100.0
        outbox.show(Card(PROGRESS, "progress", percent, f"{done / MEGA:,.1f} of {total / MEGA:,.1f} MB hashed"))

    return show
