"""Named columns of a CSV or Parquet file, as arrays; whatever is wrong is named by its line and column."""

import csv
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gac.errors import UserError, some_of

CSV_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet",)
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "#na", "<na>", "nat", "null", "none"})
"""Words, in small letters, by which programs write that a value is missing."""

_DELIMITERS = (",", ";", "\t")
_LONGEST_CELL = 40
_SPLIT = 'split it into a column each, such as obs_0, obs_1 (docs/own_logs.md, "Lists in cells")'


class Labels(NamedTuple):
    """A column of names, such as an episode's: `names[codes[row]]`, numbered in the order they appear."""

    codes: Int64[ndarray, "rows"]
    names: tuple[str, ...]

    @property
    def missing(self) -> Bool[ndarray, "rows"]:
        """The rows whose cell is empty, or says by a usual word that nothing is known."""
        missing: ndarray = np.array([is_missing(name) for name in self.names], bool)[self.codes]
        return missing

    def numbers(self) -> Float64[ndarray, "rows"] | None:
        """The cells as numbers, NaN where one is missing; None where one is something else."""
        try:
            values = [np.nan if is_missing(name) else float(name) for name in self.names]
        except ValueError:
            return None
        column: ndarray = np.array(values, np.float64)[self.codes]
        return column


class Source(ABC):
    """A table on disk: its column names first, its columns when asked for."""

    path: Path
    names: tuple[str, ...]

    @abstractmethod
    def read(
        self, numbers: Sequence[str], labels: Sequence[str], others: Sequence[str] = ()
    ) -> tuple[dict[str, Float64[ndarray, "rows"]], dict[str, Labels]]:
        """The columns `numbers` as numbers (NaN and infinity included), the rest as text.

        `others` may have holes, which are empty text: they are only compared with the rest.
        """

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a person finds row `row`, which counts from 0."""


def open_table(path: Path) -> Source:
    """The table of a file, by its suffix.

    Raises:
        UserError: no such file, another suffix, no header, two columns of one name.
    """
    if not path.is_file():
        state = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {state}, expected a table ({', '.join(SUFFIXES)}); check the path")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} ends in {suffix or 'nothing'}, expected {', '.join(SUFFIXES)}; rename it")
    source: Source = CsvTable(path) if suffix in CSV_SUFFIXES else ParquetTable(path)
    twice = [name for name, count in Counter(source.names).items() if count > 1 and name]
    if twice:
        raise UserError(
            f"{path} has two columns named {twice[0]!r}, expected one; rename one of them{no_header(source)}"
        )
    return source


def is_missing(text: str) -> bool:
    """Whether a cell is empty, or says by a usual word that nothing is known."""
    return text.strip().lower().lstrip("+-") in MISSING


def no_header(source: Source) -> str:
    """A hint to add to a refusal where the first line of a CSV file looks like data; else nothing."""
    if not isinstance(source, CsvTable) or not any(map(_is_numbers, source.names)):
        return ""
    return f"; its first line ({some_of(source.names)}) looks like data: write a header above it"


def _is_numbers(text: str) -> bool:
    """Whether a cell holds a number, or several with spaces between them."""
    try:
        return bool([float(part) for part in text.split()])
    except ValueError:
        return False


class CsvTable(Source):
    """Comma-, semicolon- or tab-separated text in UTF-8 whose first line names the columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            first = next((line for line in file if line.strip()), "")
            self._delimiter = max(
                _DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark)))
            )
        with self._open() as file:
            self.names = self._header(file)[0]

    def read(
        self, numbers: Sequence[str], labels: Sequence[str], others: Sequence[str] = ()
    ) -> tuple[dict[str, Float64[ndarray, "rows"]], dict[str, Labels]]:
        """NumPy's parser, which is fast; where it refuses, a second and careful look says why."""
        texts = (*labels, *others)
        kinds = {**dict.fromkeys(numbers, "f8"), **dict.fromkeys(texts, "O")}
        # Every column is parsed, since a row of another width has lost its columns' meaning.
        layout = [(f"{i}", kinds.get(name, "U1")) for i, name in enumerate(self.names)]
        try:
            with self._open() as file, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "loadtxt: input contained no data")
                self._header(file)
                dtype = np.dtype(layout)
                table = np.loadtxt(
                    file, dtype, comments=None, delimiter=self._delimiter, quotechar='"', ndmin=1
                )
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            self._explain(numbers)
            raise UserError(f"{self.path} is no plain table ({error}); save it as CSV again") from None
        column = {name: table[f"{i}"] for i, name in enumerate(self.names)}
        return (
            {name: np.ascontiguousarray(column[name]) for name in numbers},
            {name: _labels(text.strip() for text in column[name].tolist()) for name in texts},
        )

    def place(self, row: int) -> str:
        for number, (line, _) in enumerate(self._rows()):
            if number == row:
                return f"line {line}"
        return f"row {row + 1}"

    def _explain(self, numbers: Sequence[str]) -> None:
        """Raise for the first cell that is no number and the first row that is too short or too long."""
        places = [(self.names.index(name), name) for name in numbers]
        for line, row in self._rows():
            if len(row) != len(self.names):
                raise UserError(
                    f"{self.path} line {line} has {len(row)} cells, expected {len(self.names)} as in the "
                    "header; correct the line"
                )
            for i, name in places:
                try:
                    float(row[i])
                except ValueError:
                    raise UserError(f"{self.path} line {line}: {name} {_not_a_number(row[i])}") from None

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row below the header, with its line."""
        with self._open() as file:
            above = self._header(file)[1]
            rows = csv.reader(file, delimiter=self._delimiter)
            yield from ((above + rows.line_num, row) for row in rows if row)

    def _header(self, file: IO[str]) -> tuple[tuple[str, ...], int]:
        """The names of the columns and how many lines they take; leaves the file at the first row."""
        rows = csv.reader(file, delimiter=self._delimiter)
        names = next((row for row in rows if row), None)
        if names is None or not any(name.strip() for name in names):
            raise UserError(f"{self.path} is empty, expected a first line that names the columns; add it")
        return tuple(name.strip() for name in names), rows.line_num

    @contextmanager
    def _open(self) -> Iterator[IO[str]]:
        try:
            # Spreadsheets begin UTF-8 with a mark, which must not become part of the first name.
            with open(self.path, encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError:
            raise UserError(f"{self.path} is no UTF-8 text; save it as CSV in UTF-8") from None
        except csv.Error as error:
            raise UserError(f"{self.path} is no plain table ({error}); save it as CSV again") from None


class ParquetTable(Source):
    """A Parquet file, read by pyarrow."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise UserError(
                f"{path} needs pyarrow, which is not installed; "
                "pip install 'generative-actor-critic[parquet]', or save the table as CSV"
            ) from None
        self.path = path
        self._arrow = pyarrow
        with self._whole():
            self._file = pyarrow.parquet.ParquetFile(path)
            self.names = tuple(self._file.schema_arrow.names)

    def read(
        self, numbers: Sequence[str], labels: Sequence[str], others: Sequence[str] = ()
    ) -> tuple[dict[str, Float64[ndarray, "rows"]], dict[str, Labels]]:
        """The columns, of which the numbers and labels may have no hole."""
        texts = (*labels, *others)
        with self._whole():
            table = self._file.read(columns=[*numbers, *texts])
            for name in (*numbers, *labels):
                if table[name].null_count:
                    row = int(np.argmax(table[name].is_null().to_numpy(zero_copy_only=False)))
                    raise UserError(
                        f"{self.path} {self.place(row)}: {name} is empty, expected a value; fill it in "
                        "or drop the episode"
                    )
            return (
                {name: self._numbers(table[name], name) for name in numbers},
                {
                    name: _labels("" if cell is None else str(cell) for cell in table[name].to_pylist())
                    for name in texts
                },
            )

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def _numbers(self, column: Any, name: str) -> ndarray:
        kind, types = column.type, self._arrow.types
        if types.is_nested(kind):
            raise UserError(
                f"{self.path}: {name} has type {_shortened(str(kind))}, a list of values in each cell, "
                f"expected one number; {_SPLIT}"
            )
        if types.is_temporal(kind):
            raise UserError(f"{self.path}: {name} has type {kind}, expected numbers; give it in seconds")
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise UserError(f"{self.path}: {name} has type {kind}, expected numbers; convert it to float")
        values: ndarray = column.to_numpy().astype(np.float64)
        return values

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What pyarrow objects to, as one line; of a damaged file it decodes any bytes as text."""
        try:
            yield
        except UserError:
            raise
        except (self._arrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise UserError(
                f"{self.path} is no Parquet file, or a damaged one ({reason}); write it again"
            ) from None


def _not_a_number(cell: str) -> str:
    """What a cell is instead of a number, and what to do about it."""
    text = cell.strip()
    if text.startswith(("[", "(", "{")):
        return f"is {_shortened(text)}, a list of values in one cell, expected one number; {_SPLIT}"
    found = _shortened(text) if text else "empty"
    comma = ", with a decimal point" if "," in text else ""
    return f"is {found}, expected a number{comma}; fill it in or drop the episode"


def _shortened(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…")


def _labels(values: Iterator[str]) -> Labels:
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(value, len(index)) for value in values], np.int64)
    return Labels(codes, tuple(index))
