import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.core.errors import DataError
from pipeline.core.limits import Alarm, time_limit


def test_a_runaway_expression_is_stopped() -> None:
    with (
        pytest.raises(DataError, match=r"^took longer than 0\.05 s; raise recipe\.corpus\.document_seconds"),
        time_limit(0.05),
    ):
        re.match(r"(a+)+$", "a" * 60 + "b")


def test_a_quick_body_is_left_alone_and_no_alarm_remains() -> None:
    with time_limit(0.05):
        pass
    time.sleep(0.08)


def test_the_outer_limit_goes_on_when_the_inner_one_ends() -> None:
    def body() -> None:
        with time_limit(5):
            pass
        time.sleep(2)

    with pytest.raises(DataError, match=r"took longer than 0\.1 s"), time_limit(0.1):
        body()


def test_an_error_of_the_body_passes_and_the_alarm_is_off() -> None:
    with pytest.raises(ValueError, match="mine"), time_limit(0.05):
        raise ValueError("mine")
    time.sleep(0.08)


def test_outside_the_main_thread_it_says_that_it_cannot_work() -> None:
    caught: list[BaseException] = []

    def body() -> None:
        try:
            with time_limit(1):
                pass
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert [str(error) for error in caught] == ["a limit in time works in the main thread only"]


def test_an_inner_limit_that_is_left_last_does_not_bring_the_outer_one_back() -> None:
    def numbers() -> Iterator[int]:
        with Alarm(0.1):
            yield 1

    before = signal.getsignal(signal.SIGALRM)
    with Alarm(0.05) as outer, outer.set():
        left_open = numbers()
        next(left_open)
    left_open.close()
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0  # no limit that comes again and again


def test_the_outer_limit_holds_while_an_inner_one_is_in_force() -> None:
    with (
        pytest.raises(DataError, match=r"took longer than 0\.1 s"),
        Alarm(0.1) as outer,
        Alarm(60),
        outer.set(),
    ):
        time.sleep(2)


def test_an_alarm_is_set_anew_for_every_piece_of_work() -> None:
    with Alarm(0.6) as alarm:
        for _ in range(8):
            with alarm.set():
                time.sleep(0.1)
        time.sleep(0.9)  # between pieces it is not set
        with pytest.raises(DataError, match=r"took longer than 0\.6 s"), alarm.set():
            time.sleep(30)
