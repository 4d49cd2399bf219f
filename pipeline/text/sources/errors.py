"""The one fault of a file that a user may wish to live with: it ends too early."""

from pathlib import Path

from pipeline.core.errors import DataError


class CutError(DataError):
    """A file ends where it should go on; what stands before that place is sound."""

    def __init__(self, path: Path, byte: int, where: str) -> None:
        self.byte = byte
        self._given = (path, byte, where)
        super().__init__(
            f"{path}: cut at byte {byte}, {where}; download or copy it again, or keep what is there with `truncated: keep`"
        )

    def __reduce__(self) -> tuple[type["CutError"], tuple[Path, int, str]]:
        """Travel from a worker whole: an exception is otherwise made anew from its sentence alone."""
        return type(self), self._given
