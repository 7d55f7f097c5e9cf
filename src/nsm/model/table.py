"""Record types, declared once: the store, EVE, Zeek, Parquet, CSV, the query language and the documentation follow.

A ``Table`` names its columns; ``Rows`` is a batch of records of one table as NumPy columns. Bulk records
travel as ``Rows`` from the tracker to every sink, so that no Python object is made per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
TEXT: Final = "text"  # the one dtype that is not NumPy's: a column of Python strings (object array)


class Column(msgspec.Struct, frozen=True):
    """One column. ``dtype`` is a NumPy name or "text".

    ``stored``: kept by the store. ``dictionary``: fewer than about 5 % distinct values in a row group.
    ``bloom``: looked up by exact value. ``since``: the schema version that brought the column;
    ``default`` stands for it in older files.
    """

    name: str
    dtype: str
    doc: str
    stored: bool = True
    dictionary: bool = False
    bloom: bool = False
    since: int = 1
    default: int | str = 0


class Table(msgspec.Struct, frozen=True):
    """A record type. ``sort`` is the canonical order of its rows; ``ts`` is always microseconds UTC."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    sort: tuple[str, ...]
    version: int = 1

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns that the store keeps."""
        return tuple(column for column in self.columns if column.stored)


Makers = Mapping[str, Callable[[Array], Array]]


class Rows:
    """Rows of one table: a mapping from column name to an array; all of one length.

    Columns that the maker does not know are left out and read as their default. Rows that come from a kernel are made
    by ``of_words``: each column is worked out of the kernel's words when somebody asks for it.
    """

    __slots__ = ("_columns", "_derived", "_length", "_makers", "_words", "table")

    def __init__(
        self, table: Table, columns: Mapping[str, Array], length: int | None = None, words: Array | None = None,
        makers: Makers | None = None,
    ) -> None:  # fmt: skip
        self.table = table
        self._columns = dict(columns)
        self._length = len(next(iter(self._columns.values()))) if length is None else length
        self._words, self._makers = words, makers if makers is not None else {}
        self._derived: dict[str, Any] = {}

    @classmethod
    def of_words(cls, table: Table, words: Array, makers: Makers) -> Rows:
        """Rows whose columns ``makers`` work out of ``words`` (one entry of its first axis a row)."""
        return cls(table, {}, len(words), words, makers)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> Array:
        array = self._columns.get(name)
        if array is None:
            make = self._makers.get(name)
            array = make(self._words) if make is not None and self._words is not None else self._default(name)
            self._columns[name] = array
        return array

    def _default(self, name: str) -> Array:
        column = self.table.column(name)
        dtype = object if column.dtype == TEXT else column.dtype
        default: Any = str(column.default or "") if column.dtype == TEXT else column.default
        return np.full(self._length, default, dtype)

    def __setitem__(self, name: str, array: Array) -> None:
        self._columns[name] = array

    def __contains__(self, name: str) -> bool:
        return name in self._columns or name in self._makers

    def once(self, name: str, make: Callable[[Rows], Any]) -> Any:
        """``make(self)``, made once however many ask for it under that name; the rows must not change afterwards."""
        if name not in self._derived:
            self._derived[name] = make(self)
        return self._derived[name]

    def take(self, index: Array) -> Rows:
        """The rows at ``index`` (positions or a boolean mask), in that order."""
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        columns = {name: array[index] for name, array in self._columns.items()}
        words = self._words[index] if self._words is not None else None
        return Rows(self.table, columns, len(index), words, self._makers)

    def slice(self, start: int, stop: int) -> Rows:
        """Rows start to stop, as views."""
        columns = {name: array[start:stop] for name, array in self._columns.items()}
        words = self._words[start:stop] if self._words is not None else None
        return Rows(self.table, columns, max(0, min(stop, self._length) - start), words, self._makers)

    def items(self) -> Iterator[tuple[str, Array]]:
        """The columns that are present."""
        for name in self._makers:
            self[name]
        return iter(self._columns.items())

    @staticmethod
    def concat(table: Table, parts: Iterable[Rows]) -> Rows:
        """The rows of all parts, in order."""
        kept = [part for part in parts if len(part)]
        if len(kept) == 1:
            return kept[0]
        names = {name: None for part in kept for name, _ in part.items()}
        columns = {name: np.concatenate([part[name] for part in kept]) for name in names}
        return Rows(table, columns, sum(len(part) for part in kept))

    @staticmethod
    def empty(table: Table) -> Rows:
        """No rows."""
        return Rows(table, {}, 0)
