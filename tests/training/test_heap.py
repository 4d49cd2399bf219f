import platform
import subprocess
import sys

import pytest

FRESH_PAGES = """
import resource
{call}
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    len(b"x" * (80 << 20))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
fill()
print(fill())
"""


def _fresh_pages(call: str) -> int:
    command = [sys.executable, "-c", FRESH_PAGES.format(call=call)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_memory_that_was_freed_is_used_again_without_fresh_pages() -> None:
    kept = _fresh_pages("from pipeline.training.heap import keep_freed_memory; keep_freed_memory()")
    assert kept < 1000
    assert _fresh_pages("") > 10 * max(kept, 100)
