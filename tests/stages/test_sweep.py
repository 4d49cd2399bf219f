"""Sweeps on a real Ray: each trial is trained by a rank in a worker."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster.ray_compute import RayCompute
from pipeline.config import Recipe
from pipeline.core.compute import Facts
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.files import Digests, read_json
from pipeline.core.progress import Progress, Quiet
from pipeline.core.stage import Step, materialize
from pipeline.core.store import Artifact, Store
from pipeline.core.tracking import Trial
from pipeline.plan import plan
from pipeline.running import Run
from pipeline.stages import sweep
from pipeline.stages.sweep import Setting, TrainTrial, choose, spread, train_trial
from tests.core.places import InTurn, Unrecorded
from tests.stages.conftest import Workshop, files_of

HEADER = "index\tsentence1\tsentence2\tlabel"
ANSWERS = ("entailment", "not_entailment")
ROWS = [f"{n}\tnumber {n % 7} is here.\t{'yes' if n % 2 else 'no'} it is {n}.\t{ANSWERS[n % 2]}" for n in range(64)]
TRIED: dict[str, Any] = {"learning_rate": [1e-3, 1e-2], "seeds": 2}
RUN = Run(country="FRA", ranks=2, checkpoint_steps=2, max_rewinds=0)


class Recorded(Unrecorded):
    """Remembers the trials it is told of."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def trial(self, trial: Trial) -> None:
        self.trials.append(trial)


class Cut(Quiet):
    """Gets a signal as soon as one trial is done."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        if unit == "trials" and done:
            self.notes.append(note)
            os.kill(os.getpid(), signal.SIGINT)


class OneRank(InTurn):
    """Runs the entry of a gang in one worker of a Ray."""

    def __init__(self, ray: RayCompute) -> None:
        self._ray = ray

    def gang(self, entry: str, order: Path, watch: Any) -> None:
        assert entry == "pipeline.training.rank:train"
        self._ray.map(carry_out, [order], [order.with_name("gang")], lambda done: None)


def carry_out(order: Path, out: Path) -> Facts:
    from pipeline.training.rank import train

    train(order)
    return {}


def recipe(bert: Path, **settings: Any) -> Recipe:
    """Give a task of a few steps."""
    folder = bert.with_name("rte")
    folder.mkdir(exist_ok=True)
    for split, rows in (("train", ROWS[:40]), ("dev", ROWS[40:])):
        (folder / f"{split}.tsv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    task = {"task": "rte", "path": str(folder), "init": str(bert), "sequence_length": 40, "batch": 8, "epochs": 1}
    return Recipe.model_validate({"finetune": [task | settings]})


def steps_of(store: Store, asked: Recipe) -> list[Step]:
    return plan(asked, Digests(store.root / "digests.jsonl").describe, store.get)


def make(
    store: Store, asked: Recipe, place: Any, recorder: Any = None, progress: Progress | None = None, run: Run = RUN
) -> Artifact:
    """Make all steps, and give what the last one leaves."""
    parts = (place, recorder or Unrecorded(), progress or Quiet(), run)
    return [materialize(step, store, *parts)[0] for step in steps_of(store, asked)][-1]


def pieces_of(store: Store) -> dict[str, tuple[int, int]]:
    """List the finished trials; one that is made again has another inode or time."""
    notes = store.root.glob("pieces/sweep/*/piece.json")
    trials = [note for note in notes if (note.parent / "model.safetensors").exists()]
    return {note.parent.name: (note.stat().st_ino, note.stat().st_mtime_ns) for note in trials}


def test_a_cut_sweep_keeps_finished_trials_and_a_wider_one_trains_only_what_is_new(
    workshop: Workshop, bert: Path, compute: RayCompute, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cut = workshop.store, Cut()
    with monkeypatch.context() as alone:
        alone.setattr(compute, "_group", replace(compute._group, ranks=1))  # so that it is known what runs at the cut
        with pytest.raises(KeyboardInterrupt):
            make(store, recipe(bert, sweep=TRIED), compute, progress=cut)
    finished = pieces_of(store)
    assert len(finished) == 1
    assert cut.notes[0].startswith("best so far accuracy 0.")
    recorder = Recorded()
    artifact = make(store, recipe(bert, sweep=TRIED), compute, recorder)
    found = pieces_of(store)
    assert len(found) == 4
    assert finished.items() <= found.items()
    assert {trial.key for trial in recorder.trials} == found.keys()
    assert len(recorder.trials) == 4
    assert sorted(trial.name for trial in recorder.trials) == [
        f"seed={seed} lr={rate}" for seed in (0, 1) for rate in ("0.001", "0.01")
    ]
    _check(artifact, {trial.name: trial for trial in recorder.trials})
    assert not (artifact.path / ".work").exists()

    wider = make(store, recipe(bert, sweep={**TRIED, "learning_rate": [1e-3, 1e-2, 3e-2]}), compute)
    assert wider.manifest["facts"]["trials"] == 6
    assert len(pieces_of(store)) == 6
    assert found.items() <= pieces_of(store).items()
    assert wider.manifest["made"]["reused"]["from"] == {f"sweep/{artifact.key}": 4 + 1}  # trials, and encoded rows

    _check_alone(store, bert, artifact, compute)


def _check(artifact: Artifact, trials: dict[str, Trial]) -> None:
    """Check what is told of a sweep against its table, by hand."""
    facts, table = artifact.manifest["facts"], pq.read_table(artifact.file("trials.parquet")).to_pylist()
    assert list(table[0]) == ["batch", "learning_rate", "epochs", "seed", "accuracy", "seconds"]
    assert [(row["learning_rate"], row["seed"]) for row in table] == [(1e-3, 0), (1e-3, 1), (1e-2, 0), (1e-2, 1)]
    first, second = ([row["accuracy"] for row in table[at : at + 2]] for at in (0, 2))
    best = first if fmean(first) >= fmean(second) else second
    assert facts["seeds"] == {"accuracy": {"mean": fmean(best), "deviation": stdev(best), "n": 2}}
    assert facts["dev"]["accuracy"] == max(best)
    assert facts["chosen"]["learning_rate"] == (1e-3 if best is first else 1e-2)
    assert facts["chosen"]["seed"] == best.index(max(best))
    scores = json.loads(artifact.file("scores.json").read_text())
    assert scores == {name: value for name, value in facts.items() if name != "measured"}
    right = pq.read_table(artifact.file("predictions.parquet")).to_pylist()
    assert fmean(row["label"] == row["predicted"] for row in right) == max(best)
    for row in table:
        name = f"seed={row['seed']} lr={row['learning_rate']:g}"
        assert trials[name].metrics == {"dev.accuracy": row["accuracy"], "seconds": row["seconds"]}
        assert [step for step, _ in trials[name].curve] == [1, 2, 3, 4, 5]


def _check_alone(store: Store, bert: Path, swept: Artifact, compute: RayCompute) -> None:
    """Check that the trial of the recipe's own seed leaves what the same setting leaves by itself."""
    chosen = swept.manifest["facts"]["chosen"]
    asked = recipe(bert, learning_rate=chosen["learning_rate"]).model_copy(update={"seed": chosen["seed"]})
    alone = make(store, asked, OneRank(compute))
    assert alone.label == "finetune"
    mine, its = files_of(alone), files_of(swept)
    assert {name for name in its if its[name] != mine.get(name)} == {"trials.parquet", "scores.json"}


def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint(
    workshop: Workshop, bert: Path, compute: RayCompute, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe(bert, epochs=2, sweep={"seeds": 2})
    monkeypatch.setattr(sweep, "train_trial", killed_once)
    once = make(workshop.store, asked, compute)
    told = [read_json(note)["facts"] for note in workshop.store.root.glob("pieces/sweep/*/piece.json")]
    undisturbed, (begin, resumed) = sorted(one["resumed"] for one in told if "resumed" in one)
    assert (undisturbed, begin) == ([0], 0)
    assert resumed in (2, 4)  # where step 2's checkpoint was still being written at step 4, there is no later one
    monkeypatch.undo()
    again = make(Store(workshop.store.root.with_name("other")).open(), asked, compute)
    its, mine = files_of(once), files_of(again)
    assert {name for name in its if its[name] != mine[name]} <= {"trials.parquet", "scores.json"}


def killed_once(trial: TrainTrial, out: Path) -> Facts:
    """Train; where it is the trial of seed 1, die after step 4 the first time."""
    from pipeline.training.loop import Trainer

    advance, died = Trainer._advance, trial.scratch.with_name("died")

    def dying(self: Trainer, feed: Any) -> None:
        advance(self, feed)
        if trial.seed == 1 and self._step == 4 and not died.exists():
            died.touch()
            self._saver.wait()
            os.kill(os.getpid(), signal.SIGKILL)

    Trainer._advance = dying  # type: ignore[method-assign]
    try:
        facts = train_trial(trial, out)
    finally:
        Trainer._advance = advance  # type: ignore[method-assign]
    attempts = (trial.work / "attempts.jsonl").read_text().splitlines()
    return facts | {"resumed": [json.loads(line)["resumed_at_step"] for line in attempts]}


def test_a_trial_that_fails_names_its_setting(workshop: Workshop, bert: Path, compute: RayCompute) -> None:
    asked = recipe(bert, sweep={"learning_rate": [1e-3, 1e30]})
    with pytest.raises(DataError, match=r"^the trial with batch 8, lr 1e\+30, epochs 1, seed 0: step \d+: "):
        make(workshop.store, asked, compute)


def test_one_trial_is_no_sweep(workshop: Workshop, bert: Path) -> None:
    one = recipe(bert, learning_rate=5e-5, epochs=9, sweep={"learning_rate": [1e-3], "epochs": [2]})
    same = recipe(bert, learning_rate=1e-3, epochs=2)
    assert steps_of(workshop.store, one)[-1].key == steps_of(workshop.store, same)[-1].key
    assert steps_of(workshop.store, one)[-1].name == "finetune-rte-bert"


def test_a_setting_that_the_lists_replace_does_not_name_a_sweep(workshop: Workshop, bert: Path) -> None:
    one, other = (recipe(bert, learning_rate=rate, sweep=TRIED) for rate in (1e-5, 1e-4))
    (step, same) = (steps_of(workshop.store, asked)[-1] for asked in (one, other))
    assert step.name == "sweep-rte-bert"
    assert step.key == same.key
    assert step.key != steps_of(workshop.store, recipe(bert, batch=4, sweep=TRIED))[-1].key


def test_what_is_named_twice_is_refused(bert: Path) -> None:
    with pytest.raises(ValueError, match=r"recipe\.finetune\.0\.sweep\.batch=\[8, 8\] names one twice; keep it once"):
        recipe(bert, sweep={"batch": [8, 8]})


def test_a_sweep_refuses_rows_longer_than_the_model_reads(workshop: Workshop, bert: Path) -> None:
    with pytest.raises(ConfigError, match="has sequence_length=64, which exceeds the 48 positions"):
        make(workshop.store, recipe(bert, sequence_length=64, sweep=TRIED), InTurn())


A, B = Setting(16, 2e-5, 3), Setting(32, 2e-5, 3)


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ((0.5, 0.9, 0.8, 0.8), [2, 3]),
        ((0.9, 0.9, 0.8, 0.8), [0, 1]),
        ((0.8, 0.6, 0.7, 0.7), [0, 1]),
        ((0.1, 0.2, 0.2, 0.1), [0, 1]),
    ],
    ids=["the best mean, not the best trial", "the first", "equal means", "equal means in another order"],
)
def test_the_setting_with_the_best_mean_is_chosen_and_the_first_of_equal_ones(
    scores: tuple[float, ...], chosen: list[int]
) -> None:
    assert choose([A, A, B, B], scores) == chosen


def test_mean_and_deviation_are_those_of_a_sample() -> None:
    told = spread([{"f1": 0.7}, {"f1": 0.8}, {"f1": 0.9}])
    assert told == {"f1": {"mean": pytest.approx(0.8), "deviation": pytest.approx(0.1), "n": 3}}
    assert spread([{"f1": 0.7}]) == {"f1": {"mean": 0.7, "deviation": 0.0, "n": 1}}
