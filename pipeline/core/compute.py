"""Two shapes of distributed work, no more: a map over items and a gang of ranks.

A *piece* is one finished item of a map: a folder named by everything that its bytes depend on. It appears by one rename,
so it is whole or absent; whoever asks for it again finds it.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pipeline.core.energy import measured
from pipeline.core.errors import StoreError
from pipeline.core.files import read_json, sha256_of, sync_folder, write_json
from pipeline.core.fingerprint import key_of
from pipeline.core.locks import open_locked

T = TypeVar("T")
Facts = dict[str, Any]
"""What is worth knowing about an artifact or piece: plain JSON data."""

NOTE = "piece.json"
MAKER = "maker"


@dataclass(frozen=True)
class Piece:
    """A finished item: its folder, what was said of it when it was made, and the digests of its files by name."""

    path: Path
    facts: Facts
    files: Mapping[str, str]
    maker: str = ""
    """The artifact (`label/key`) for which it was made."""
    seconds: float = 0.0
    """What making it took."""

    def file(self, name: str) -> Path:
        """Give the path of one of its files."""
        return self.path / name


Seat = Literal["worker", "rank"]
"""What an item gets to itself: a worker's CPU, or all that a rank has, such as a GPU."""
MakePiece = Callable[[T, Path], Facts]
"""Makes one item: writes files into the folder it is given and returns facts. Runs in another process."""


class Compute(Protocol):
    """A place where work runs; the stages know no more of it than this."""

    def map(
        self,
        fn: MakePiece[T],
        items: Sequence[T],
        folders: Sequence[Path],
        done: Callable[[int], None],
        each: Seat = "worker",
    ) -> list[Piece]:
        """Make every item into its folder and return the pieces in item order; tell `done` how many there are."""

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        """Run `module:function` on every rank with the path of one JSON order; call `watch` about once a second."""


@dataclass(frozen=True)
class StageCompute:
    """The compute that a stage sees: maps are remembered under the stage's name and version, gangs wait their turn."""

    place: Compute
    pieces: Path
    scope: Mapping[str, Any]
    report: Callable[[float, float, str, str], None]
    turn: Callable[[Callable[[str], None]], AbstractContextManager[None]] = lambda _: nullcontext()
    """Waits until ranks may run, and holds their place; tells meanwhile who has it."""
    attempts: Path | None = None
    """Where hosts note what they spend on items; the driver's own is measured anyway."""
    maker: str = ""
    """The artifact (`label/key`) that is made."""
    used: list[Piece] = field(default_factory=list)
    """All pieces that the stage was given, made for it or found."""

    def map(self, fn: MakePiece[T], items: Sequence[T], *, key: Callable[[T], Any], what: str) -> list[Piece]:
        """Make every item, or find it made; results in item order.

        `key` gives the plain data that an item's bytes depend on besides stage, version and function:
        its settings and the digests of what it reads. `what` names the items for the progress bar.
        """
        folders = self._folders(fn, items, key)
        pieces = self.place.map(self._signed(fn), items, folders, lambda done: self.report(done, len(items), what, ""))
        self.used.extend(pieces)
        return pieces

    def trials(
        self,
        fn: MakePiece[T],
        items: Sequence[T],
        *,
        key: Callable[[T], Any],
        what: str,
        note: Callable[[Mapping[int, Piece]], str],
    ) -> list[Piece]:
        """Make every item, or find it made, with what a rank has for each; when it is the turn of this stage's ranks.

        `note` is given the finished items by number, now and then, and says what is shown of them and the others.
        """
        folders = self._folders(fn, items, key)
        found: dict[int, Piece] = {}

        def done(count: int) -> None:
            new = (at for at, folder in enumerate(folders) if at not in found and (folder / NOTE).exists())
            found.update({at: read_piece(folders[at]) for at in new})
            self.report(count, len(items), what, note(found))

        with self._own_turn():
            pieces = self.place.map(self._signed(fn), items, folders, done, "rank")
        self.used.extend(pieces)
        return pieces

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        """Run ranks when it is their turn; see `Compute.gang`."""
        with self._own_turn():
            self.place.gang(entry, order, watch)

    def _own_turn(self) -> AbstractContextManager[None]:
        return self.turn(lambda who: self.report(0, 1, "turns", f"waiting for a turn of {who}"))

    def _folders(self, fn: MakePiece[T], items: Sequence[T], key: Callable[[T], Any]) -> list[Path]:
        name = f"{fn.__module__}:{fn.__qualname__}"
        keys = [key_of({**self.scope, "function": name, "item": key(item)}) for item in items]
        return [self.pieces / piece for piece in keys]

    def _signed(self, fn: MakePiece[T]) -> MakePiece[T]:
        return signed(fn if self.attempts is None else measured(fn, self.attempts), self.maker)


def signed(fn: MakePiece[T], maker: str) -> MakePiece[T]:
    """Have pieces tell for which artifact they were made: whoever finds them owes it a share of their cost."""

    @wraps(fn)
    def making(item: T, out: Path) -> Facts:
        return fn(item, out)

    vars(making)[MAKER] = maker
    return making


def make_piece(fn: MakePiece[T], item: T, folder: Path) -> Piece:
    """Find the piece in `folder` or make it there; two makers of the same piece do no harm."""
    if not (folder / NOTE).exists():
        _make(fn, item, folder)
    return read_piece(folder)


def read_piece(folder: Path) -> Piece:
    """Read a finished piece."""
    note = read_json(folder / NOTE)
    return Piece(folder, note["facts"], note["files"], note.get(MAKER, ""), note.get("seconds", 0.0))


def _make(fn: MakePiece[T], item: T, folder: Path) -> None:
    with _draft(folder) as draft:
        begin = time.monotonic()
        facts = fn(item, draft)
        made = {MAKER: vars(fn).get(MAKER, ""), "seconds": round(time.monotonic() - begin, 3)}
        files = {path.relative_to(draft).as_posix(): sha256_of(path) for path in sorted(draft.rglob("*"))}
        write_json(draft / NOTE, {"facts": facts, "files": files, **made})
        _rename_unless_there(draft, folder)


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Make a folder to work in, locked while its maker lives: `sweep_drafts` takes only those of the dead."""
    lock = None
    while lock is None:  # again if it was swept before it was locked
        draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        draft.mkdir(parents=True)
        lock = _lock(draft)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Take a folder's lock, which kill -9 frees; None where another process holds it or the folder is gone."""
    handle = open_locked(folder, os.O_RDONLY)
    if handle is None:
        return None
    if folder.exists():
        return handle
    os.close(handle)
    return None


def _rename_unless_there(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not (folder / NOTE).exists():
            raise
    sync_folder(folder.parent)


def sweep_drafts(pieces: Path) -> None:
    """Remove what killed makers left half done; what a living one works on is left alone."""
    for draft in pieces.glob(".*"):
        lock = _lock(draft)
        if lock is not None:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)


def adopt(piece: Piece, name: str, target: Path) -> None:
    """Bring a piece's file into an artifact without copying its bytes where the file system can.

    Raises: StoreError if the piece no longer holds the bytes its maker wrote.
    """
    source = piece.file(name)
    if sha256_of(source) != piece.files[name]:
        raise StoreError(f"{source}: changed since it was made; delete the folder {piece.path} and run again")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def in_turn(fn: MakePiece[T], items: Iterable[T], folders: Iterable[Path], done: Callable[[int], None]) -> list[Piece]:
    """Make items one after another in this process: what every other way of making them must equal."""
    pieces = []
    for item, folder in zip(items, folders, strict=True):
        pieces.append(make_piece(fn, item, folder))
        done(len(pieces))
    return pieces
