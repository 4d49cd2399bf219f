"""Loops over bytes and tokens, compiled: plain functions of numbers and arrays that run at the speed of C."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def kernel(loop: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a loop at its first call and remember the machine code on disk beside its file.

    Importing this module takes a second: only modules that are themselves imported late may use it.
    """
    return cast(Callable[Arguments, Result], njit(cache=True, nogil=True)(loop))
