"""The files of a study: whatever happens, what is in them is whole."""
from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .lines import COLUMNS, Line

PLOTS = ("throughput", "p99", "wasted")
FILES = ("study.csv", "summary.json", *(f"{name}.{kind}" for name in PLOTS for kind in ("png", "svg")))


def write_whole(path: Path, data: bytes) -> None:
    """The file holds `data`, or is not there. Raises OSError."""
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


class Lines:
    """study.csv: each line is in the file as soon as it is measured, whole or not at all. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._write(COLUMNS)

    def write(self, line: Line) -> None:
        """One more."""
        self._write(line.texts())

    def _write(self, texts: Sequence[str]) -> None:
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow(texts)
        end, data = self._file.tell(), row.getvalue().encode()
        try:
            # On a disk that is all but full the first write may take a part; the second says why.
            while data:
                data = data[self._file.write(data):]
        except OSError:
            self._file.truncate(end)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        self._file.close()
