"""One rank of a training job: the same under Ray Train, under torchrun, and by hand.

`python -m pipeline.training.rank order.json` runs it alone;
`torchrun --nproc-per-node 2 -m pipeline.training.rank order.json` runs two.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.energy import MachineMeter
from pipeline.core.errors import PretraceError
from pipeline.training.order import Order


def train(order: Path) -> None:
    """Carry out the order in a file; the entry point of a gang of ranks."""
    carry_out(Order.read(order))


def carry_out(order: Order) -> None:
    """Join the process group that the environment describes (or one of this process alone), and train."""
    from pipeline.training.ranks import join, leave, starts_here

    ours = starts_here()
    ranks = join(order.run.device, order.run.threads)  # first: it decides what DeepSpeed believes to run on
    from pipeline.training.loop import run

    try:
        with _measured(order):
            run(order, ranks)
    finally:
        if ours:
            leave()


@contextmanager
def _measured(order: Order) -> Iterator[None]:
    """Have the first rank of each host measure it, where neither the driver nor another rank there does."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    with MachineMeter(Path(order.work) / "attempts"):
        yield


def main(arguments: list[str]) -> int:
    """Run the order in the one file named and return the exit code."""
    try:
        carry_out(Order.read(Path(arguments[0])))
    except PretraceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
