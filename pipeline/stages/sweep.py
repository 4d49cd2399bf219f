"""Trials of one task: every combination of settings with every seed, side by side; the best by the development set is kept.

A trial is a piece, trained by one rank in a process of its own: a killed sweep keeps those that are finished, a trial that
was cut goes on from its checkpoint, and a wider grid trains only what is new.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from pipeline.config import FinetuneSlice, SweepSlice
from pipeline.core.compute import Facts, Piece, adopt
from pipeline.core.errors import Interrupted, PretraceError
from pipeline.core.files import write_json
from pipeline.core.fingerprint import key_of
from pipeline.core.locks import open_locked
from pipeline.core.stage import Context, stage
from pipeline.core.tracking import Track, Trial
from pipeline.tasks import TASKS
from pipeline.tuning import Begin, Files, Site, begin_of, encoded_rows, files_of, order_for, report, steps_of

SETTINGS = ("batch", "learning_rate", "epochs")
CLOCK = ("began", "ended")
"""Facts of a trial that say when it was trained."""
SHORT = {"learning_rate": "lr"}
LOOK_SECONDS = 0.5
TAIL_BYTES = 8192
"""Of a journal: some lines of it."""


class Setting(NamedTuple):
    """One combination of what is tried."""

    batch: int
    learning_rate: float
    epochs: int

    def __str__(self) -> str:
        return f"batch {self.batch}, lr {self.learning_rate:g}, epochs {self.epochs}"


@dataclass(frozen=True)
class TrainTrial:
    """One training: a setting and a seed."""

    config: FinetuneSlice
    seed: int
    rows: Piece
    files: Files
    begin: Begin
    scratch: Path
    running: Mapping[str, Any]

    @property
    def setting(self) -> Setting:
        """Give the combination that it tries."""
        return Setting(*(getattr(self.config, name) for name in SETTINGS))

    @property
    def told(self) -> dict[str, float]:
        """Give its setting and its seed by name."""
        return {"seed": self.seed, **self.setting._asdict()}

    @cached_property
    def work(self) -> Path:
        """Say where its checkpoints are while it trains."""
        return self.scratch / key_of(self.what())

    @cached_property
    def steps(self) -> int:
        """Count its optimizer steps."""
        return steps_of(self.config, self.rows)

    def what(self) -> dict[str, Any]:
        """Give what its bytes depend on."""
        return {
            "config": self.config.what(),
            "seed": self.seed,
            "rows": dict(self.rows.files),
            "files": [[split, sha256] for split, _, sha256 in self.files],
            "init": self.begin.sha256,
            "shape": asdict(self.begin.shape),
        }

    def __str__(self) -> str:
        return f"{self.setting}, seed {self.seed}"


@stage(version=2)
def sweep(cfg: SweepSlice, ctx: Context) -> Facts:
    """Train all trials: the files of the best one, and trials.parquet with a row a trial.

    Raises: DataError if a file of the task is malformed; ConfigError if rows are longer than the model reads.
    """
    begin = begin_of(cfg, ctx)
    rows = encoded_rows(cfg, ctx)
    site = Site(ctx.out, ctx.work / "trials", ctx.run.training())
    trials = [
        TrainTrial(_told(cfg, setting), seed, rows, files_of(ctx), begin, site.work.absolute(), site.running)
        for setting in settings_of(cfg)
        for seed in range(cfg.seed, cfg.seed + cfg.sweep.seeds)
    ]
    seen = Seen(trials, TASKS[cfg.task].metrics[0], ctx.track)
    pieces = ctx.compute.trials(train_trial, trials, key=TrainTrial.what, what="trials", note=seen.look)
    seen.look(dict(enumerate(pieces)))
    return _keep(ctx.out, trials, pieces, TASKS[cfg.task].metrics[0])


def settings_of(cfg: SweepSlice) -> list[Setting]:
    """List the combinations, the last of the lists turning fastest."""
    return [Setting(*one) for one in product(*(getattr(cfg.sweep, name) for name in SETTINGS))]


def train_trial(trial: TrainTrial, out: Path) -> Facts:
    """Train and judge; runs in a process of its own, as one rank, by the entry that all ranks have.

    Raises: whatever training raises, with the trial's name before it.
    """
    from pipeline.training.rank import train

    began = time.time()
    with _alone(trial.work):
        site = Site(out, trial.work, trial.running)
        order = order_for(trial.config, trial.rows, trial.begin, site, trial.seed)
        path = trial.work / "order.json"
        order.write(path)
        try:
            train(path)
        except Interrupted:
            raise
        except PretraceError as error:
            raise type(error)(f"the trial with {trial}: {error}") from error
        facts = report(trial.config, trial.files, trial.rows, trial.begin, order)
    return {**facts, "began": began, "ended": time.time()}


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Wait until no other process works there: what a killed driver left may live for a moment."""
    work.mkdir(parents=True, exist_ok=True)
    while (handle := open_locked(work / "lock", os.O_CREAT | os.O_RDWR)) is None:
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        os.close(handle)


class Seen:
    """Looks at finished trials: each is recorded once, its scratch removed, and the best of them told."""

    def __init__(self, trials: Sequence[TrainTrial], metric: str, track: Track) -> None:
        self._trials, self._metric, self._track = trials, metric, track
        self._known: set[int] = set()
        self._varied = varied(trials)

    def look(self, found: Mapping[int, Piece]) -> str:
        """Look at those that are new; returns which of all is the best so far, and how far others are."""
        for at in sorted(found.keys() - self._known):
            self._known.add(at)
            self._track.trial(_recorded(self._trials[at], found[at], self._varied))
            shutil.rmtree(self._trials[at].work, ignore_errors=True)
        return "; ".join([*self._best(found), *self._running()])

    def _best(self, found: Mapping[int, Piece]) -> Iterator[str]:
        if found:
            best = max(sorted(found), key=lambda at: _dev(found[at])[self._metric])
            yield f"best so far {self._metric} {_dev(found[best])[self._metric]:.3f} ({self._trials[best]})"

    def _running(self) -> Iterator[str]:
        """Tell the steps of trials that are under way."""
        others = [trial for at, trial in enumerate(self._trials) if at not in self._known]
        journals = [(trial.work / "curve.jsonl", trial.steps) for trial in others]
        under_way = [f"{newest_step(path)}/{steps}" for path, steps in journals if path.exists()]
        if under_way:
            yield f"at steps {', '.join(under_way)}"


def newest_step(journal: Path) -> int:
    """Read the step of a journal's last line that is whole."""
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - TAIL_BYTES))
        *lines, _ = file.read().split(b"\n")
    return int(json.loads(lines[-1])["step"]) if lines else 0


def _keep(out: Path, trials: Sequence[TrainTrial], pieces: Sequence[Piece], metric: str) -> Facts:
    """Put the best trial's files into the artifact, with what all of them reached."""
    chosen = choose([trial.setting for trial in trials], [_dev(piece)[metric] for piece in pieces])
    best = max(chosen, key=lambda at: _dev(pieces[at])[metric])
    for name in pieces[best].files:
        adopt(pieces[best], name, out / name)
    write_trials(out / "trials.parquet", trials, pieces)
    facts = {name: value for name, value in pieces[best].facts.items() if name not in CLOCK}
    facts |= {
        "seeds": spread([_dev(pieces[at]) for at in chosen]),
        "trials": len(trials),
        "chosen": {**trials[best].setting._asdict(), "seed": trials[best].seed},
    }
    (out / "scores.json").unlink()  # it is the piece's own file
    write_json(out / "scores.json", {name: value for name, value in facts.items() if name != "measured"})
    return facts


def choose(settings: Sequence[Setting], scores: Sequence[float]) -> list[int]:
    """List the trials of the setting whose mean score is the highest, the first of equal ones."""
    members = {setting: [at for at, other in enumerate(settings) if other == setting] for setting in settings}
    return max(members.values(), key=lambda trials: fmean(scores[at] for at in trials))


def spread(scores: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Give the mean of each score over seeds, and its standard deviation as of a sample; 0 where there is one seed."""
    by_name = {name: [one[name] for one in scores] for name in scores[0]}
    return {
        name: {"mean": fmean(values), "deviation": stdev(values) if len(values) > 1 else 0.0, "n": len(values)}
        for name, values in by_name.items()
    }


def write_trials(path: Path, trials: Sequence[TrainTrial], pieces: Sequence[Piece]) -> None:
    """Write a row a trial: its setting and seed, its scores on the development set, the seconds of its steps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {**trial.setting._asdict(), "seed": trial.seed, **_dev(piece), "seconds": piece.facts["measured"]["seconds"]}
        for trial, piece in zip(trials, pieces, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def _told(cfg: SweepSlice, setting: Setting) -> FinetuneSlice:
    return FinetuneSlice(**{name: value for name, value in cfg if name != "sweep"} | setting._asdict())


def _dev(piece: Piece) -> dict[str, float]:
    scores: dict[str, float] = piece.facts["dev"]
    return scores


def varied(trials: Sequence[TrainTrial]) -> tuple[str, ...]:
    """List the settings in which trials differ: lists of runs show the beginnings of names only."""
    told = [trial.told for trial in trials]
    return tuple(name for name in told[0] if len({one[name] for one in told}) > 1)


def _recorded(trial: TrainTrial, piece: Piece, names: Sequence[str]) -> Trial:
    curve = read_curve(piece.file("curve.parquet"))
    return Trial(
        key=piece.path.name,
        name=" ".join(f"{SHORT.get(name, name)}={trial.told[name]:g}" for name in names),
        params={name: str(value) for name, value in trial.told.items()},
        metrics={
            **{f"dev.{name}": score for name, score in _dev(piece).items()},
            "seconds": piece.facts["measured"]["seconds"],
        },
        began=piece.facts["began"],
        ended=piece.facts["ended"],
        curve=curve,
    )


def read_curve(path: Path) -> list[tuple[int, float]]:
    """Read the loss of every step."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["step", "loss"])
    return [(step, loss) for step, loss in zip(*(table[name].to_pylist() for name in ("step", "loss")), strict=True)]
