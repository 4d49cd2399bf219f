"""One rank as a process of its own, that can be put to trials: killed at a moment, signalled, fed a bad example, watched."""

import json
import os
import pkgutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Death = tuple[str, int]
"""A function's full name, and the call of it that is never made."""


@dataclass(frozen=True)
class Place:
    """Where a rank stands."""

    rank: int
    count: int
    port: int
    log: Path


Trial = Callable[[Place], None]
"""Changes something in the process of a rank before it trains."""


def run(order: Path, place: Place, trials: Sequence[Trial]) -> None:
    """Join as torchrun would have it, and train; a traceback goes to the log."""
    os.environ |= {"RANK": str(place.rank), "WORLD_SIZE": str(place.count), "LOCAL_RANK": str(place.rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(place.port)}
    try:
        from pipeline.training.rank import train

        for trial in trials:
            trial(place)
        train(order)
    except Exception as error:  # noqa: BLE001  # the test looks into the log
        place.log.write_text(traceback.format_exc())
        sys.exit(getattr(error, "exit_code", 1))


def run_in_a_group(order: Path) -> None:
    """Train where somebody else, such as Ray Train, has made the process group, and check that it is still there."""
    import torch.distributed as dist

    from pipeline.training.rank import train

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    train(order)
    dist.barrier()


def wait_for_the_writer(place: Place) -> None:
    """Let no step begin while a checkpoint is being written."""
    from pipeline.training.saving import Saver

    save = Saver.save

    def and_wait(self: Saver, *arguments: Any) -> float:
        seconds = save(self, *arguments)
        self.wait()
        return seconds

    Saver.save = and_wait  # type: ignore[method-assign]


def die_in(death: Death, place: Place) -> None:
    """Die in a call of a function, whichever thread makes it."""
    _at_call(*death, lambda: os.kill(os.getpid(), signal.SIGKILL))


def signal_in(death: Death, rank: int, number: int, place: Place) -> None:
    """Have one rank get a signal in a call of a function."""
    if place.rank == rank:
        _at_call(*death, lambda: os.kill(os.getpid(), number))


def note_threads(path: Path, place: Place) -> None:
    """Keep in a file how many threads compute the second step."""
    import torch

    _at_call("pipeline.training.zero.Engine.update", 2, lambda: path.write_text(str(torch.get_num_threads())) and None)


def die_after_calls(number: int, rank: int, place: Place) -> None:
    """Have one rank die when its threads have called so many functions of pipeline.training."""
    if place.rank == rank:
        _count_calls(lambda calls: os.kill(os.getpid(), signal.SIGKILL) if calls == number else None)


def count_calls(path: Path, place: Place) -> None:
    """Keep the number of calls of functions of pipeline.training in a file."""
    if place.rank == 0:
        stream = path.open("wb", buffering=0)
        _count_calls(lambda calls: stream.write(b".") and None)


def die_after_seconds(seconds: float, rank: int, place: Place) -> None:
    """Have one rank die wherever it is after some seconds."""

    def wait_and_die() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    if place.rank == rank:
        threading.Thread(target=wait_and_die, daemon=True).start()


def spoil(row: int, by: float, place: Place) -> None:
    """Add something, such as nan, to the loss of every micro-batch of training with a certain row in it."""
    from pipeline.training.zero import Engine

    forward = Engine.forward

    def spoiled(self: Engine, batch: Any) -> Any:
        sums = forward(self, batch)
        if row not in batch.rows_B or not self._engine.module.training:
            return sums
        return {name: (loss + by, count, correct) for name, (loss, count, correct) in sums.items()}

    Engine.forward = spoiled  # type: ignore[method-assign]


def spoil_gradient(step: int, place: Place) -> None:
    """Have the first backward pass of a step give gradients that are nan, and its loss be as it is."""
    from pipeline.training.loop import Trainer
    from pipeline.training.zero import Engine

    take, backward, spoiled = Trainer._forward_backward, Engine.backward, [False]

    def noted(self: Trainer, *arguments: Any) -> Any:
        spoiled[0] = self._step == step and not self._skips
        return take(self, *arguments)

    def spoil(self: Engine, loss: Any, *, last: bool) -> None:
        backward(self, loss * float("nan") if spoiled[0] else loss, last=last)
        spoiled[0] = False

    Trainer._forward_backward = noted  # type: ignore[method-assign]
    Engine.backward = spoil  # type: ignore[method-assign]


def feed_late(place: Place) -> None:
    """Let the thread that makes batches begin when the loop is already waiting for it."""
    from pipeline.training.feeding import Ahead

    make = Ahead._make

    def late(self: Ahead[Any], items: Any) -> None:
        time.sleep(0.5)
        make(self, items)

    Ahead._make = late  # type: ignore[method-assign]


def note_what_is_fed(folder: Path, place: Place) -> None:
    """Write down what the model is given to train on: a line a row, in a file of this rank and attempt."""
    from pipeline.training.loop import Trainer

    take = Trainer._forward_backward
    stream = (folder / f"{os.getpid()}.jsonl").open("w")

    def noted(self: Trainer, parts: Any, counts: Any) -> Any:
        for at, part in enumerate(parts):
            for row in rows_of(part):
                stream.write(json.dumps({"step": self._step, "part": at, **row}) + "\n")
        stream.flush()
        return take(self, parts, counts)

    Trainer._forward_backward = noted  # type: ignore[method-assign]


def rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield what the model sees and predicts of each row of a padded micro-batch."""
    width = batch.ids_BT.shape[1]
    for at, row in enumerate(batch.rows_B.tolist()):
        here = batch.predicted_M // width == at
        real = slice(None) if batch.attended_BT is None else batch.attended_BT[at]
        assert batch.attended_BT is None or not batch.ids_BT[at][~real].any()
        yield {
            "row": row,
            "ids": batch.ids_BT[at][real].tolist(),
            "segments": batch.segments_BT[at][real].tolist(),
            "where": (batch.predicted_M[here] % width).tolist(),
            "labels": batch.labels_M[here].tolist(),
            "next": int(batch.label_B[at]),
        }


def _at_call(call: str, number: int, act: Callable[[], None]) -> None:
    owner_name, _, name = call.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    original, calls = getattr(owner, name), []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            act()
        return original(*arguments, **named)

    setattr(owner, name, counted)


def _count_calls(act: Callable[[int], object]) -> None:
    import pipeline.training

    folder, calls = pipeline.training.__path__[0], [0]

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            calls[0] += 1
            act(calls[0])

    threading.setprofile(look)
    sys.setprofile(look)


def allow_any_choice(place: Place) -> None:
    """Let an engine be made of choices that are refused, e.g. LAMB on a CPU."""
    from pipeline.training import zero

    zero.check = lambda *_: None


def stand_on_two_hosts(place: Place) -> None:
    """Have the second rank believe that it is on another machine, the first one there."""
    if place.rank == 1:
        from pipeline.core import energy

        os.environ["LOCAL_RANK"] = "0"
        energy._machine = lambda: "another"
