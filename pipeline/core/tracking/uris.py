"""Texts that go into manifests, messages and the record: no passwords in them."""

import re


def without_passwords(text: str) -> str:
    """Remove user and password from every URI in a text: it goes into manifests and messages."""
    return re.sub(r"://[^/\s]*@", "://", text)


def reason_of(error: Exception) -> str:
    """Give the first line of what an error says, without passwords."""
    return without_passwords(str(error)).partition("\n")[0] or type(error).__name__
