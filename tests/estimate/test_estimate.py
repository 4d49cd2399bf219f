"""Estimates of small plans: from tables in an empty store, from what was measured in one with earlier runs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import PipelineConfig, load
from pipeline.core import hardware
from pipeline.core.errors import ConfigError
from pipeline.core.files import Digests
from pipeline.core.grid import grid_of
from pipeline.core.hardware import Gpu
from pipeline.core.stage import Step
from pipeline.core.store import Store
from pipeline.estimate import Estimate, estimate
from pipeline.estimate.machine import Machine, core_flops, machine_of
from pipeline.estimate.work import WORK, Volume
from pipeline.model.shape import Shape, flops_per_token, parameter_count
from pipeline.plan import plan
from pipeline.running import Run
from tests.flows.conftest import bert_in

CHARACTERS = 1_000_000
RECIPE: dict[str, Any] = {
    "corpus": {"shards": 2},
    "tokenizer": {"vocab_size": 300},
    "model": {"size": "tiny", "max_positions": 64},
    "phases": [{"sequence_length": 32, "steps": 100, "global_batch": 8}],
}
FACTS: dict[str, dict[str, Any]] = {
    "corpus": {"characters": CHARACTERS},
    "tokenizer": {"vocab_size": 300},
    "examples": {
        "train": {"tokens": 300_000, "examples": 10_000},
        "held_out": {"tokens": 3_000},
    },
    "pretrain": {"measured": {"seconds": 100.0}},
}


@dataclass(frozen=True)
class Bench:
    """A store, and plans of one recipe with changes."""

    store: Store
    config: Path

    def load(self, *overrides: str) -> PipelineConfig:
        return load([self.config], overrides)

    def steps(self, *overrides: str) -> list[Step]:
        describe = Digests(self.store.root / "digests.jsonl").describe
        return plan(self.load(*overrides).recipe, describe, self.store.get)

    def estimate(self, *overrides: str) -> dict[str, Estimate]:
        return estimate(self.steps(*overrides), self.store, self.load(*overrides).run)

    def make(self, label: str, seconds: float, *overrides: str, kwh: float = 0.001, size: int = 1000) -> None:
        """Commit an artifact that took so long."""
        (step,) = [step for step in self.steps(*overrides) if step.label == label]
        made = {"at": f"2026-01-01T00:{len(self.store.all()):02}", "duration_s": seconds, "energy_kwh": kwh}
        with self.store.making(step) as draft:
            (draft / "a.bin").write_bytes(bytes(size))
            self.store.commit(step, FACTS[label], {**made, "places": {"workers": 1, "ranks": 1, "device": "cpu"}})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "texts.txt").write_text("a word, " * (CHARACTERS // 8))
    source = {"kind": "text", "path": str(tmp_path / "texts.txt")}
    recipe = {**RECIPE, "corpus": {**RECIPE["corpus"], "sources": [source]}}
    tree = {"recipe": recipe, "run": {"workers": 1, "ranks": 1, "country": "FRA"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(tree))
    return Bench(Store(tmp_path / "store").open(), tmp_path / "c.yaml")


def test_every_step_that_is_not_made_is_estimated_and_says_from_what(bench: Bench) -> None:
    found = bench.estimate()
    assert list(found) == ["corpus", "tokenizer", "examples-32", "pretrain"]
    assert all(min(one.seconds, one.energy_kwh, one.emissions_kg, one.disk_bytes) > 0 for one in found.values())
    assert found["corpus"].basis == "from the rates in benchmarks/results"
    assert found["pretrain"].basis.startswith("from FLOPs at 30% of 1 core of ")
    for one in found.values():
        assert one.emissions_kg == pytest.approx(grid_of("FRA").emissions_kg(one.energy_kwh))
    bench.make("corpus", 12.0)
    assert "corpus" not in bench.estimate()


def test_the_time_to_train_is_the_operations_by_the_rate(bench: Bench) -> None:
    for label in ("corpus", "tokenizer", "examples"):
        bench.make(label, 1.0)
    found = bench.estimate()["pretrain"]
    shape = bench.load().recipe.model.shape(300)
    tokens = 100 * 8 * 30 + 3_000 / 3  # what is seen in training, and in one evaluation at a third of the work
    work = tokens * flops_per_token(shape, attended=30, predicted_share=0.15)
    assert found.seconds == pytest.approx(30.0 + work / (0.3 * core_flops()))
    assert found.disk_bytes == 4 * parameter_count(shape)
    assert found.scratch_bytes == 3 * 3 * found.disk_bytes  # two kept, one being written; weights and two moments


def test_earlier_runs_say_how_fast_it_goes_here_what_it_draws_and_what_it_leaves(bench: Bench) -> None:
    for label in ("corpus", "tokenizer", "examples"):
        bench.make(label, 1.0)
    bench.make("pretrain", 140.0, kwh=0.14, size=5000)  # 100 s of them in steps
    twice = bench.estimate("recipe.phases.0.steps=200", "recipe.pretrain.evaluate_every=100")["pretrain"]
    assert twice.basis == "from 1 earlier run here"
    assert twice.seconds == pytest.approx(40.0 + 200.0)
    assert twice.energy_kwh == pytest.approx(0.24)
    assert twice.disk_bytes == pytest.approx(5000)
    both = bench.estimate("recipe.phases.0.steps=200", "recipe.pretrain.evaluate_every=100", "run.ranks=2")["pretrain"]
    spread = 2 if hardware.threads() > 1 else 1
    assert both.seconds == pytest.approx(40.0 + 200.0 / spread)


def test_a_model_of_another_size_is_estimated_from_the_table(bench: Bench) -> None:
    for label in ("corpus", "tokenizer", "examples"):
        bench.make(label, 1.0)
    bench.make("pretrain", 140.0)
    assert bench.estimate("recipe.model.size=base")["pretrain"].basis.startswith("from FLOPs")
    assert bench.estimate("recipe.pretrain.learning_rate=0.1")["pretrain"].basis == "from 1 earlier run here"


def test_a_short_run_is_mostly_start_and_a_long_one_mostly_work(bench: Bench) -> None:
    bench.make("corpus", 12.0)
    again = bench.estimate("recipe.corpus.shards=3")["corpus"]
    assert again.seconds == pytest.approx(12.0)
    much = bench.config.with_name("much.txt")
    much.write_text("a word, " * (CHARACTERS // 8) * 50)
    found = bench.estimate(f"recipe.corpus.sources.0.path={much}")["corpus"]
    assert found.basis == "from 1 earlier run here, the largest 1/50 of this"
    assert 12.0 < found.seconds < 30.0  # not fifty times the start


def test_artifacts_of_another_version_tell_nothing_and_do_no_harm(bench: Bench) -> None:
    (step,) = [step for step in bench.steps() if step.label == "corpus"]
    with bench.store.making(step):
        bench.store.commit(step, {}, {"at": "2026-01-01", "duration_s": 1.0, "energy_kwh": 1.0})
    assert set(bench.estimate("recipe.corpus.shards=3")) == {"corpus", "tokenizer", "examples-32", "pretrain"}


def test_a_country_without_figures_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"^run\.country=XXX"):
        bench.estimate("run.country=XXX")
    given = bench.estimate("run.country=XXX", "run.grid_g_per_kwh=1000")["corpus"]
    assert given.emissions_kg == pytest.approx(given.energy_kwh)


def test_gpus_are_taken_from_the_driver_or_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: (Gpu("NVIDIA H200", 650.0),))
    machine = machine_of(Run(device="cuda", ranks=4))
    assert machine.flops_per_second("bf16") == pytest.approx(4 * 0.35 * 989e12)
    assert machine.flops_per_second("float32") == pytest.approx(machine.flops_per_second("bf16") / 2)
    assert machine.training_basis() == "from FLOPs at 35% of 4 x the peak of an NVIDIA H200"
    assert machine.training_watts() > 4 * 0.8 * 650.0
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    assert machine.training_basis() == "from FLOPs at 35% of 4 x the peak of an H100 (assumed: none to see here)"
    assert machine.training_watts() > 4 * 0.8 * 700.0
    known = replace(machine, peak_tflops=100.0)
    assert known.flops_per_second("bf16") == pytest.approx(4 * 0.35 * 100e12)
    assert known.training_basis() == "from FLOPs at 35% of 4 x 100 TFLOP/s (run.peak_tflops)"


def test_a_batch_that_grows_is_fewer_sequences(bench: Bench) -> None:
    inputs = {"tokenizer": Volume(vocab_size=300), "examples-32": Volume(tokens=300.0, examples=10.0)}
    machine = Machine("cpu", 1, 1)
    even = bench.steps()[-1].recipe
    grows = "{sequence_length: 32, steps: 100, global_batch: 8, first_batch: 4, batch_warmup_steps: 50}"
    growing = bench.steps(f"recipe.phases=[{grows}]")[-1].recipe
    ratio = WORK["pretrain"](growing, inputs, machine, 2).seconds / WORK["pretrain"](even, inputs, machine, 2).seconds
    assert ratio == pytest.approx(700 / 800)


def tasks(folder: Path, *settings: str) -> str:
    """Ask for a task over 60,000 characters, once with each of some settings."""
    rows = folder / "rows.cor"
    rows.write_text("__label__pos good\n__label__neg evil\n" * 1667)
    return f"recipe.finetune=[{', '.join(f'{{task: polarity, path: {rows}, sequence_length: 32, {one}}}' for one in settings)}]"


def test_a_task_is_estimated_wherever_it_begins(bench: Bench, tmp_path: Path) -> None:
    bert = bert_in(tmp_path / "bert")
    (bert / "model.safetensors").write_bytes(bytes(1_000_000))
    found = bench.estimate(tasks(tmp_path, "epochs: 2", f"init: {bert}", "init: scratch"))
    assert list(found)[4:] == ["finetune-polarity", "adopt-bert", "finetune-polarity-bert", "finetune-polarity-scratch"]
    tokens, shape = 1667 * 36 / 3.4, Shape(1, 16, 2, vocab_size=5, max_positions=48)
    work = tokens * (3 + 1 / 3) * flops_per_token(shape, attended=16, predicted_share=0.0)
    begun = found["finetune-polarity-bert"]
    assert begun.seconds == pytest.approx(30.0 + work / (0.3 * core_flops()))
    assert begun.disk_bytes == 4 * parameter_count(shape)
    assert found["adopt-bert"].disk_bytes == pytest.approx(1_000_000, rel=1e-3)
    own, random = found["finetune-polarity"], found["finetune-polarity-scratch"]
    assert own.disk_bytes == random.disk_bytes == 4 * parameter_count(bench.load().recipe.model.shape(300))
    assert random.seconds > own.seconds  # three epochs and two


def test_a_pretraining_that_goes_on_is_estimated_by_the_model_it_goes_on_from(bench: Bench, tmp_path: Path) -> None:
    found = bench.estimate(f"recipe.pretrain.init={bert_in(tmp_path / 'bert')}")
    assert list(found) == ["corpus", "adopt-bert", "examples-32", "pretrain"]
    assert found["pretrain"].disk_bytes == 4 * parameter_count(Shape(1, 16, 2, vocab_size=5, max_positions=48))


def test_a_sweep_is_the_work_of_all_its_trials(bench: Bench, tmp_path: Path) -> None:
    trials = "sweep: {batch: [16, 32], learning_rate: [1.0e-5, 2.0e-5, 3.0e-5], epochs: [2, 4], seeds: 5}"
    begin = "init: scratch"
    (swept,) = [one for name, one in bench.estimate(tasks(tmp_path, f"{begin}, {trials}")).items() if "sweep" in name]
    once = bench.estimate(tasks(tmp_path, f"{begin}, epochs: 2"))["finetune-polarity-scratch"].seconds
    more = bench.estimate(tasks(tmp_path, f"{begin}, epochs: 4"))["finetune-polarity-scratch"].seconds
    assert swept.seconds - 30.0 == pytest.approx(2 * 3 * 5 * (once - 30.0 + more - 30.0))


def test_a_model_of_another_version_tells_nothing_of_what_goes_on_from_it(bench: Bench, tmp_path: Path) -> None:
    bert = bert_in(tmp_path / "bert")
    override = tasks(tmp_path, f"init: {bert}")
    (adopted,) = [step for step in bench.steps(override) if step.label == "adopt"]
    with bench.store.making(adopted):
        bench.store.commit(adopted, {}, {"at": "2026-01-01", "duration_s": 1.0, "energy_kwh": 1.0})
    assert "finetune-polarity-bert" not in bench.estimate(override)
