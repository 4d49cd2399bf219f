"""A watchman: a child that does nothing until this process is gone, however it went, and then tidies up after it."""

import subprocess
import sys
from pathlib import Path


def hire(duty: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a watchman, whose duty is `module:function`; it is called with the arguments."""
    module, _, name = duty.partition(":")
    code = f"import sys; sys.stdin.read(); from {module} import {name}; {name}(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).resolve().parents[1],  # from where this very package is found
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the driver
    )


def dismiss(watchman: subprocess.Popen[bytes]) -> None:
    """End a watchman who has nothing to do any more."""
    watchman.kill()
    watchman.communicate()
