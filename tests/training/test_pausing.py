"""Ranks that a carbon budget stops, and that go on with a higher one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.budget import Budget
from pipeline.core.compute import Facts
from pipeline.core.energy import Meter
from pipeline.core.files import read_json
from pipeline.core.progress import Quiet
from pipeline.core.section import Section
from pipeline.core.stage import Step, stage
from pipeline.core.store import WORK, Store
from pipeline.training.order import Order
from tests.training import one_rank
from tests.training.conftest import Launch, Undisturbed, digests, lines_of


@stage(version=1)
def pretrain(cfg: Any, ctx: Any) -> Facts:
    raise AssertionError("its ranks are launched by the test")


def test_ranks_pause_with_a_checkpoint_and_go_on_to_the_same_bytes(
    order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    store, step = Store(tmp_path / "store").open(), Step(pretrain, Section())
    work = store.folder(step) / WORK
    mine = replace(order, out=str(tmp_path / "out"), work=str(work))

    tight = Budget(Quiet(), [step], store, limit_kg=1e-12)
    tight.start("pretrain")
    with Meter(work / "attempts", "FRA"):
        tight.update("pretrain", 0, 8, "steps")  # the meter has journalled a moment of this machine
        assert tight.reached
        assert launch(mine).exit_codes == [75]
    assert [line["step"] for line in lines_of(mine)] == [1]
    assert [path.name for path in (work / "checkpoints").iterdir()]

    higher = Budget(Quiet(), [step], store, limit_kg=1000.0)
    higher.start("pretrain")
    with Meter(work / "attempts", "FRA"):
        higher.update("pretrain", 1, 8, "steps")
        assert launch(mine).well()
    assert not higher.reached
    assert digests(mine) == digests(undisturbed(order))


def test_the_first_rank_of_another_host_measures_it(order: Order, launch: Launch) -> None:
    with Meter(Path(order.work) / "attempts", "FRA") as meter:
        assert launch(order, 2, trials=[one_rank.stand_on_two_hosts]).well()
    attempts = Path(order.work) / "attempts"
    driver, other = (read_json(attempts / f"{name}.json") for name in ("0000", "0000.another-0"))
    assert sorted(path.name for path in attempts.glob("*.json")) == ["0000.another-0.json", "0000.json"]
    total = meter.total()
    assert min(driver["energy_kwh"], other["energy_kwh"]) > 0
    assert total["energy_kwh"] == driver["energy_kwh"] + other["energy_kwh"]
    assert (total["attempts"], total["duration_s"]) == (1, driver["duration_s"])
