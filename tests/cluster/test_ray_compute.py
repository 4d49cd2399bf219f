import errno
import json
import logging
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cluster.gang import _early, by_blame
from cluster.logs import REMOTE
from cluster.ray_compute import LOG, RayCompute, room
from pipeline.core.compute import Piece, in_turn
from pipeline.core.errors import ComputeError, DataError
from tests.cluster.conftest import listening
from tests.cluster.entries import Item, square
from tests.processes import below, kill, until, wait_for_end

ENTRY = "tests.cluster.entries:add_ranks"


def items_of(folder: Path, *fates: str) -> tuple[list[Item], list[Path]]:
    items = [Item(number, folder / "notes", fate) for number, fate in enumerate(fates)]
    return items, [folder / "pieces" / str(item.number) for item in items]


def mapped(compute: RayCompute, folder: Path, *fates: str) -> tuple[list[Piece], list[int]]:
    counts: list[int] = []
    return compute.map(square, *items_of(folder, *fates), counts.append), counts


def attempts(folder: Path) -> int:
    return len(list((folder / "notes").iterdir()))


def order_of(folder: Path, fate: str) -> Path:
    order = folder / "order.json"
    order.write_text(json.dumps({"out": str(folder), "fate": fate}))
    return order


def test_a_map_equals_making_items_in_turn(
    compute: RayCompute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pieces, counts = mapped(compute, tmp_path / "ray", *["none"] * 5)
    alone = in_turn(square, *items_of(tmp_path / "alone", *["none"] * 5), lambda done: None)
    assert [(piece.facts, piece.files, piece.path.name) for piece in pieces] == [
        (piece.facts, piece.files, piece.path.name) for piece in alone
    ]
    assert counts == [1, 2, 3, 4, 5]


def test_what_is_made_is_not_made_again(compute: RayCompute, tmp_path: Path) -> None:
    first, _ = mapped(compute, tmp_path, "none", "none")
    again, counts = mapped(compute, tmp_path, "none", "none", "none")
    assert attempts(tmp_path) == 3
    assert again[:2] == first
    assert counts == [2, 3]


def test_a_map_that_finds_all_made_starts_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = in_turn(square, *items_of(tmp_path, "none"), lambda done: None)
    with RayCompute(address=None, workers=2, ranks=2, state=tmp_path / "state") as idle:
        pieces, counts = mapped(idle, tmp_path, "none")
    assert (pieces, counts) == (alone, [1])
    assert not (tmp_path / "state").exists()


def test_an_error_of_ours_arrives_as_it_was_raised_and_ends_the_other_items(
    compute: RayCompute, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"^dump\.xml: ends in the middle of a page; download it again$"):
        mapped(compute, tmp_path, "waits", "cut data", "none")
    assert attempts(tmp_path) == 2
    assert list((tmp_path / "pieces").iterdir()) == []


def test_items_end_when_the_driver_stops_waiting(compute: RayCompute, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute.map(square, *items_of(tmp_path, "none", "waits"), stop)
    assert [piece.name for piece in (tmp_path / "pieces").iterdir()] == ["0"]


def test_a_full_disk_keeps_its_number(compute: RayCompute, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        mapped(compute, tmp_path, "full disk")
    assert (type(caught.value), caught.value.errno) == (OSError, errno.ENOSPC)


def test_a_mistake_in_a_worker_shows_where_it_is(compute: RayCompute, tmp_path: Path) -> None:
    with pytest.raises(ComputeError, match=r"(?s)pieces/0: square failed: .*entries\.py.*KeyError: 'no such column'"):
        mapped(compute, tmp_path, "mistake")


def test_a_killed_worker_is_replaced(compute: RayCompute, tmp_path: Path) -> None:
    pieces, _ = mapped(compute, tmp_path, "killed once", "none")
    assert [piece.facts["square"] for piece in pieces] == [0, 1]
    assert attempts(tmp_path) == 3


def test_a_worker_that_is_killed_each_time_ends_the_map(
    compute: RayCompute, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ComputeError, match=r"pieces/0: square: its worker ended abnormally 3 times .*run\.workers"):
        mapped(compute, tmp_path, "killed")
    assert attempts(tmp_path) == 3
    said = capfd.readouterr()
    assert "died" not in said.out + said.err


def test_a_map_waits_for_a_host_that_can_work_no_longer_than_for_a_lost_one(
    compute: RayCompute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compute._ray()
    monkeypatch.setattr("cluster.ray_compute.room", lambda ray, group: 0)
    monkeypatch.setattr(compute, "_address", "head:6379")
    monkeypatch.setattr(compute, "_host_wait_seconds", 0.5)
    with pytest.raises(ComputeError, match=r"run\.ray_address=head:6379: no host there has a CPU for run\.workers"):
        mapped(compute, tmp_path, "waits")
    assert "no host has a CPU for run.workers; waiting 0.5 s for hosts" in caplog.text
    assert list((tmp_path / "pieces").glob("*")) == []


def test_a_process_has_one_ray(compute: RayCompute, tmp_path: Path) -> None:
    mapped(compute, tmp_path, "none")
    with (
        RayCompute(address=None, workers=1, ranks=1, state=tmp_path / "state") as second,
        pytest.raises(ComputeError, match="this process already uses a Ray"),
    ):
        mapped(second, tmp_path / "second", "none")


def test_more_ranks_than_ray_has_room_for_is_said_at_once(
    compute: RayCompute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "_group", replace(compute._group, ranks=9))
    monkeypatch.setattr(compute, "_min_ranks", 9)
    with pytest.raises(
        ComputeError, match=r"run\.ranks=9 needs 9 CPUs, and Ray has room for 2 ranks; lower run\.ranks"
    ):
        compute.gang(ENTRY, order_of(tmp_path, "none"), lambda: None)


def test_a_gang_has_the_ranks_that_there_is_room_for_if_these_are_enough(
    compute: RayCompute, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compute, "_group", replace(compute._group, ranks=3))
    assert compute._wait_for_room(lambda: None) == 2
    assert "run.ranks=3 needs 3 CPUs, and Ray has room for 2 ranks; going on with 2 ranks" in caplog.text


def test_hosts_without_a_gpu_have_no_room_for_ranks_that_need_one(compute: RayCompute, tmp_path: Path) -> None:
    mapped(compute, tmp_path, "none")
    assert room(compute._ray(), compute._group) == 2
    assert room(compute._ray(), replace(compute._group, gpus_per_rank=1)) == 0


def test_the_cause_is_named_before_what_it_led_to() -> None:
    lost_peer, died, cut = ComputeError("rank 0: Connection reset by peer"), RuntimeError("SIGKILL"), DataError("cut")
    assert [str(error) for error in by_blame({0: lost_peer, 1: died})] == [
        "rank 1: ended abnormally (RuntimeError): SIGKILL",
        "rank 0: Connection reset by peer",
    ]
    assert by_blame({0: lost_peer, 1: died, 2: cut})[0] is cut


def test_the_end_of_a_rank_is_told_with_its_host_and_in_one_line() -> None:
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    death = RuntimeError("The actor died.\n\tpid: 7\n\tip: 10.77.0.2\nIts node has died: no heartbeats.")
    (error,) = by_blame({3: WorkerHealthCheckFailedError("A health check failed.", failure=death)})
    assert str(error) == "rank 3 on 10.77.0.2: ended abnormally (RuntimeError): Its node has died: no heartbeats."


def test_the_end_of_a_rank_before_all_ran_is_told_in_one_line() -> None:
    text = (
        "Training failed due to controller error:\nThe actor died.\n\tpid: 7\n\tip: 10.77.0.2\nWorker exit type: OOM."
    )
    assert str(_early(text)) == "a rank on 10.77.0.2: ended abnormally before all ran: Worker exit type: OOM."
    assert str(_early("Training failed:\nno room")) == "the ranks did not start: Training failed:\nno room"


@dataclass(frozen=True)
class Gang:
    """One whose second rank is killed in the first attempt, and what was said of it."""

    folder: Path
    told: str
    heard: list[tuple[int, str]]
    watched: int

    def saw(self) -> list[dict[str, Any]]:
        """Give what each rank saw, in their order."""
        return [json.loads((self.folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def gang(compute: RayCompute, tmp_path_factory: pytest.TempPathFactory) -> Gang:
    folder, watched = tmp_path_factory.mktemp("gang"), list[None]()
    with listening(REMOTE) as heard, listening(LOG) as told:
        compute.gang(ENTRY, order_of(folder, "killed once"), lambda: watched.append(None))
    return Gang(folder, "\n".join(text for _, text in told.lines), heard.lines, len(watched))


@pytest.mark.slow
def test_a_killed_rank_is_started_again_with_its_group(gang: Gang) -> None:
    assert attempts(gang.folder) == 4
    assert re.search(r"^attempt 1 of 2: (rank \d|a rank)", gang.told, re.MULTILINE)
    assert "attempt 2 of 2" not in gang.told


@pytest.mark.slow
def test_ranks_add_up_their_numbers_and_see_what_a_launcher_would_tell_them(gang: Gang) -> None:
    saw = gang.saw()
    assert [each["total"] for each in saw] == [3, 3]
    assert [(each["RANK"], each["LOCAL_RANK"], each["WORLD_SIZE"]) for each in saw] == [
        ("0", "0", "2"),
        ("1", "1", "2"),
    ]
    assert {(each["OMP_NUM_THREADS"], each["MALLOC_ARENA_MAX"], each["DS_ACCELERATOR"]) for each in saw} == {
        ("1", "1", "cpu")
    }
    assert saw[0]["MASTER_PORT"] == saw[1]["MASTER_PORT"]
    assert gang.watched


@pytest.mark.slow
def test_the_first_rank_is_heard_from_its_start_to_its_end(gang: Gang) -> None:
    said = [text for level, text in gang.heard if level == logging.INFO]
    assert all(text.startswith("rank 0 on ") for text in said)
    words = [re.sub(r"\d{2,}", "N", text.partition(": ")[2]) for text in said]
    assert words == ["started as one of 2, process N", "started as one of 2, process N", "ended well"]


@pytest.mark.slow
def test_ranks_that_wait_too_long_for_another_give_up(
    compute: RayCompute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "_max_failures", 0)
    monkeypatch.setattr(compute, "_group", replace(compute._group, wait_seconds=15))  # they also meet within it
    with pytest.raises(ComputeError, match=r"(?s)order\.json: rank 0: .*all_reduce.*[Tt]imed out"):
        compute.gang(ENTRY, order_of(tmp_path, "waits"), lambda: None)


@pytest.mark.slow
def test_an_error_of_ours_in_a_rank_is_not_tried_again(compute: RayCompute, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^dump\.xml: ends in the middle of a page; download it again$"):
        compute.gang(ENTRY, order_of(tmp_path, "cut data"), lambda: None)
    assert attempts(tmp_path) == 2


@pytest.mark.slow
def test_the_end_of_the_process_that_leads_the_ranks_is_told_as_such(
    compute: RayCompute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_the_leader() -> None:
        if (tmp_path / "notes").exists():
            kill(below(os.getpid(), "ray::Leader"))

    monkeypatch.setattr(compute, "_max_failures", 0)
    with pytest.raises(
        ComputeError, match=r"order\.json: the process that leads the ranks: it ended abnormally \(Actor"
    ):
        compute.gang(ENTRY, order_of(tmp_path, "waits"), kill_the_leader)


@pytest.mark.slow
def test_a_mistake_in_a_rank_ends_the_gang_when_attempts_do(
    compute: RayCompute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "_max_failures", 0)
    with (
        listening(REMOTE) as heard,
        pytest.raises(ComputeError, match=r"(?s)order\.json: rank 1: .*entries\.py.*KeyError: 'no such column'"),
    ):
        compute.gang(ENTRY, order_of(tmp_path, "mistake"), lambda: None)
    said = [text for level, text in heard.lines if level == logging.ERROR]
    assert re.search(r"(?s)^rank 1 on .*: failed\n.*KeyError: 'no such column'", "\n".join(said), re.MULTILINE)


@pytest.mark.slow
def test_ranks_end_with_the_one_who_waits_for_them_and_make_room_for_others(
    compute: RayCompute, tmp_path: Path
) -> None:
    def leave_when_all_run() -> None:
        if (tmp_path / "notes").exists() and attempts(tmp_path) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute.gang(ENTRY, order_of(tmp_path, "waits"), leave_when_all_run)
    wait_for_end(int(note.name.split(".")[1]) for note in (tmp_path / "notes").iterdir())
    ray = compute._ray()
    until(lambda: ray.available_resources().get("CPU") == 2, "the CPUs of the ranks")
