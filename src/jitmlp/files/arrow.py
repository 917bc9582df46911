"""Rows of Parquet and Arrow files, some at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from jitmlp.engine.data import file_state
from jitmlp.estimators.links import DocumentationLink
from jitmlp.tabular.encoder import TableEncoder

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")


class Part(NamedTuple):
    """A row group of a Parquet file, or a batch of an Arrow file."""

    path: Path
    number: int
    n_rows: int


class ArrowFiles(DocumentationLink):
    """Rows of Parquet or Arrow IPC files, for ``fit`` of more rows than memory holds.

    A call reads the files, one row group or batch after the other; ``fit`` takes them in random order. Columns become
    numbers as :class:`TableEncoder` makes them: its medians and scales are learned from a sample of the rows, its
    categories from all of them, which takes a pass over the columns of categories alone.

    Parameters
    ----------
    path : path-like or list of path-like
        Files, or folders of files, whose names end with .parquet, .pq, .arrow, .feather or .ipc.
    target : str
        The column of ``y``.
    features : list of str, default=None
        The columns of ``X``; all others by default.
    sample_weight : str, default=None
        A column of weights.
    encoder : TableEncoder or 'passthrough', default=None
        A copy of which is fitted; by default ``TableEncoder()``. With 'passthrough' columns must hold numbers, and stay as
        they are.
    chunk_rows : int, default=65536
        Rows of a chunk at most.
    sample_rows : int, default=100000
        Rows from which the encoder learns medians and scales.

    Attributes
    ----------
    n_rows : int
        Of all files.
    classes : ndarray
        Values of the target column, each once; they are read when they are asked for.
    encoder_ : TableEncoder
        The fitted encoder: ``model.predict(files.encoder_.transform(frame))``. Not there for 'passthrough'.

    Raises
    ------
    ValueError
        For files that are not there, without rows, with other columns than each other, or that change while they are used.
    ModuleNotFoundError
        Without the package pyarrow, which the extra ``data`` brings.

    Examples
    --------
    ::

        files = ArrowFiles("flights/", target="delayed")
        model = MLPClassifier((256,), max_iter=5).fit(files)
        model.predict_proba(files.encoder_.transform(new_flights))
    """

    def __init__(
        self,
        path: Any,
        target: str,
        *,
        features: list[str] | None = None,
        sample_weight: str | None = None,
        encoder: Any = None,
        chunk_rows: int = 65536,
        sample_rows: int = 100_000,
    ) -> None:
        for name, value in (("chunk_rows", chunk_rows), ("sample_rows", sample_rows)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be an int >= 1, got {value!r}")
        if not (encoder is None or isinstance(encoder, TableEncoder) or encoder == "passthrough"):
            raise ValueError(f"encoder must be a TableEncoder, 'passthrough' or None, got {encoder!r}")
        self.paths = _files(path)
        self.target, self.sample_weight, self.chunk_rows = target, sample_weight, int(chunk_rows)
        self._states = {file: file_state(file) for file in self.paths}
        self._parts: list[Part] = []
        names: dict[Path, list[str]] = {}
        for file in self.paths:
            reader = _Reader(file)
            names[file] = reader.names
            self._parts += [Part(file, number, n) for number, n in enumerate(reader.sizes) if n]
        first = names[self.paths[0]]
        odd = next((file for file in self.paths if set(names[file]) != set(first)), None)
        if odd is not None:
            raise ValueError(f"{odd} has the columns {names[odd]}, {self.paths[0]} has {first}")
        used = [target] if sample_weight is None else [target, sample_weight]
        self.features = [name for name in first if name not in used] if features is None else list(features)
        lost = [name for name in (*used, *self.features) if name not in first]
        if lost:
            raise ValueError(f"{self.paths[0]} has no columns {lost}; it has {first}")
        if not self.features:
            raise ValueError(f"{self.paths[0]} has no columns beside {used}")
        self.n_rows = sum(part.n_rows for part in self._parts)
        if not self.n_rows:
            raise ValueError(f"the files have no rows: {[str(file) for file in self.paths]}")
        self._classes: np.ndarray | None = None
        if encoder != "passthrough":
            self.encoder_ = self._fitted(TableEncoder() if encoder is None else clone(encoder), int(sample_rows))

    def __repr__(self) -> str:
        files = f"{len(self.paths)} file{'s' if len(self.paths) > 1 else ''}"
        return f"<ArrowFiles: {files}, {self.n_rows:,} rows, {len(self.features)} features, target {self.target!r}>"

    @property
    def classes(self) -> np.ndarray:
        """Values of the target column, each once."""
        if self._classes is None:
            found = [np.unique(_plain(batch, self.target)) for batch in self._batches(self._parts, [self.target])]
            self._classes = np.unique(np.concatenate(found))
        return self._classes

    def __call__(self) -> Iterator[tuple]:
        """``(X, y)``, or ``(X, y, sample_weight)``, in the order of the files."""
        return self._chunks(self._parts)

    def shuffled(self, random_state: Any) -> Iterator[tuple]:
        """The same with row groups and batches in random order."""
        order = check_random_state(random_state).permutation(len(self._parts))
        return self._chunks([self._parts[k] for k in order])

    def _chunks(self, parts: list[Part]) -> Iterator[tuple]:
        weights = [] if self.sample_weight is None else [self.sample_weight]
        for batch in self._batches(parts, [*self.features, self.target, *weights]):
            rows = batch.select(self.features)
            X = self.encoder_.transform(rows) if hasattr(self, "encoder_") else _numbers(rows)
            yield X, *(_plain(batch, name) for name in (self.target, *weights))

    def _batches(self, parts: list[Part], columns: list[str]) -> Iterator[Any]:
        """Tables of at most ``chunk_rows`` rows."""
        reader = None
        for part in parts:
            if reader is None or reader.path != part.path:
                if file_state(part.path) != self._states[part.path]:
                    raise ValueError(f"{part.path} has changed since it was first read")
                reader = _Reader(part.path)
            seen = 0
            for table in reader.tables(part.number, columns, self.chunk_rows):
                seen += table.num_rows
                yield table
            if seen != part.n_rows:
                raise ValueError(f"{part.path} had {part.n_rows} rows in part {part.number}, and now {seen}")

    def _fitted(self, encoder: TableEncoder, sample_rows: int) -> TableEncoder:
        """The encoder, from rows of parts all over the files, and the categories of all rows."""
        import pyarrow as pa

        wanted = max(1, round(sample_rows / (self.n_rows / len(self._parts))))
        picked = np.unique(np.linspace(0, len(self._parts) - 1, min(wanted, len(self._parts))).astype(int))
        share, sample = -(-sample_rows // len(picked)), []
        for k in picked:
            left = share
            for table in self._batches([self._parts[k]], self.features):
                sample.append(table.slice(0, left))
                left -= sample[-1].num_rows
                if left <= 0:
                    break
        encoder.fit(pa.concat_tables(sample))
        names = [self.features[j] for j in encoder.categorical_]
        if names:
            counts: list[Counter] = [Counter() for _ in names]
            for batch in self._batches(self._parts, names):
                for counter, name in zip(counts, names):
                    found = batch.column(name).value_counts()
                    counter.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist())))
            encoder.learn_categories(counts)
        return encoder


class _Reader:
    """An open file."""

    def __init__(self, path: Path) -> None:
        self.path, self.is_parquet = path, path.suffix in PARQUET
        try:
            import pyarrow as pa
            from pyarrow import ipc, parquet
        except ModuleNotFoundError:
            raise ModuleNotFoundError('ArrowFiles reads by the package pyarrow: pip install "jitmlp[data]"') from None
        self._pa = pa
        try:
            self.file = parquet.ParquetFile(path) if self.is_parquet else ipc.open_file(pa.OSFile(str(path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        self.names = list((self.file.schema_arrow if self.is_parquet else self.file.schema).names)

    @property
    def sizes(self) -> list[int]:
        """Rows of every part."""
        if self.is_parquet:
            return [self.file.metadata.row_group(k).num_rows for k in range(self.file.num_row_groups)]
        return [self.file.get_batch(k).num_rows for k in range(self.file.num_record_batches)]

    def tables(self, number: int, columns: list[str], n_rows: int) -> Iterator[Any]:
        """A part, some rows at a time."""
        try:
            if self.is_parquet:
                batches = self.file.iter_batches(n_rows, row_groups=[number], columns=columns)
            else:
                whole = self.file.get_batch(number).select(columns)
                batches = (whole.slice(first, n_rows) for first in range(0, whole.num_rows, n_rows))
            for batch in batches:
                yield self._pa.Table.from_batches([batch])
        except (self._pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.path} cannot be read any more: {error}") from error


def _files(given: Any) -> list[Path]:
    paths = [Path(path) for path in (given if isinstance(given, (list, tuple)) else [given])]
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix in PARQUET + ARROW)
        elif not path.exists():
            raise ValueError(f"{path} is not there")
        elif path.suffix not in PARQUET + ARROW:
            raise ValueError(f"{path} must end with one of {', '.join(PARQUET + ARROW)}")
        else:
            found.append(path)
    if not found:
        raise ValueError(f"{', '.join(map(str, paths))} has no files that end with {', '.join(PARQUET + ARROW)}")
    return found


def _plain(table: Any, name: str) -> np.ndarray:
    """A column without missing values."""
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"the column {name!r} has {column.null_count} missing values in a chunk; it must have none")
    column = column.cast(column.type.value_type) if hasattr(column.type, "value_type") else column
    values = column.to_numpy()
    return values.astype(str) if values.dtype == object else values


def _numbers(table: Any) -> np.ndarray:
    """Columns of numbers side by side, in the smallest dtype that holds all."""
    columns = [_plain(table, name) for name in table.column_names]
    words = [name for name, column in zip(table.column_names, columns) if column.dtype.kind not in "biuf"]
    if words:
        raise ValueError(f"encoder='passthrough' needs columns of numbers, these are not: {', '.join(words)}")
    return np.column_stack(columns)
