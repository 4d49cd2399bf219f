"""The control room as a person meets it: `make test-browser` runs these tests, which each open one."""

from tests.browser.conftest import browser, outside, page, pictures
from tests.e2e.conftest import project

__all__ = ["browser", "outside", "page", "pictures", "project"]
