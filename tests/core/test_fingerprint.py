import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.core.fingerprint import canonical, differences, key_of

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8"))
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x != 0),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(plain)
def test_canonical_json_reads_back_as_what_was_written(value: Any) -> None:
    assert json.loads(canonical(value)) == value


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert key_of(value) == key_of(dict(reversed(value.items())))


def test_a_key_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert key_of({"stage": "corpus", "version": 1, "rate": 0.15, "names": ["a", "ü"]}) == "6205d4849990"


def test_an_integer_and_a_float_are_different_recipes() -> None:
    assert key_of({"x": 1}) != key_of({"x": 1.0})


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", {1: 2}, math.nan, math.inf, -0.0, "\ud800"])
def test_what_has_no_one_form_is_refused_by_its_path(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.a\.0.*(canonical|UTF-8) form"):
        key_of({"a": [value]})


def test_differences_name_the_dotted_path_of_every_leaf() -> None:
    old = {"config": {"seed": 0, "sizes": [1, 2]}, "version": 1}
    new = {"config": {"seed": 7, "sizes": [1, 3], "more": True}, "version": 1}
    assert differences(old, new) == {"config.seed": (0, 7), "config.sizes.1": (2, 3), "config.more": (None, True)}
