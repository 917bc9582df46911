"""What the rows of all tables have in common."""

from __future__ import annotations

from importlib import import_module


def _row(module: str, name: str):
    """The row of a table by name, for what is pickled."""
    return import_module(module).BY_NAME[name]


class Rule:
    """A row of a table, or one that a user's functions make.

    A row of a table is pickled as its name, so that it is itself again when loaded; a user's as
    its functions, which the user's modules must hold.
    """

    name: str
    built_in: bool

    def __reduce_ex__(self, protocol):
        """Built-in rows by name."""
        if self.built_in:
            return _row, (type(self).__module__, self.name)
        return super().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        """Frozen: the same."""
        return self
