"""Warnings that point at the user's line, not at one of the package's."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_THEIRS = ("base.py", "callback/_callback_support.py")  # of scikit-learn
_OURS = (
    str(Path(__file__).parents[1]), "contextlib.py",
    *(f"sklearn/{name}" for name in _THEIRS), *(f"sklearn/{name}".replace("/", "\\") for name in _THEIRS),
)  # fmt: skip


def warn_user(message: str | Warning, category: type[Warning] | None = None) -> None:
    """Warn, as the first caller outside of this package and scikit-learn's wrapper of ``fit``."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith(_OURS[0]) or frame.f_code.co_filename.endswith(_OURS[1:])
    ):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, category, stacklevel=level + 1)
