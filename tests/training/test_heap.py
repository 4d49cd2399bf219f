import os
import platform
import subprocess
import sys

import pytest

FRESH_PAGES = """
import resource, threading
{call}
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    len(b"x" * (80 << 20))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def fill_twice():
    fill()
    print(fill())
"""
KEEP = "from pipeline.training.heap import keep_freed_memory; keep_freed_memory()"
HERE = "fill_twice()"
IN_A_THREAD = "thread = threading.Thread(target=fill_twice); thread.start(); thread.join()"

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")


def _fresh_pages(call: str, where: str = HERE, **env: str) -> int:
    command = [sys.executable, "-c", f"{FRESH_PAGES.format(call=call)}\n{where}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env})
    return int(done.stdout)


def test_memory_that_was_freed_is_used_again_without_fresh_pages() -> None:
    kept = _fresh_pages(KEEP)
    assert kept < 1000
    assert _fresh_pages("") > 10 * max(kept, 100)


def test_in_a_thread_such_as_ray_trains_the_one_arena_of_a_worker_does_so() -> None:
    kept = _fresh_pages(KEEP, IN_A_THREAD, MALLOC_ARENA_MAX="1")
    assert kept < 1000
    assert _fresh_pages(KEEP, IN_A_THREAD) > 10 * max(kept, 100)
