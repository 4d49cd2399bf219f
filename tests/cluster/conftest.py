"""One embedded Ray for all tests of this folder that can share it."""

from collections.abc import Iterator

import pytest

from cluster.ray_compute import RayCompute


@pytest.fixture(scope="session")
def compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCompute]:
    state = tmp_path_factory.mktemp("state")
    with RayCompute(address=None, workers=2, ranks=2, state=state, max_failures=1) as place:
        yield place
    assert list(state.iterdir()) == []
