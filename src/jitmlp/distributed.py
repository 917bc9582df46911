"""Training on many machines: see :func:`data_parallel`."""

from jitmlp.engine.group import Group, OtherProcessError, data_parallel

__all__ = ["Group", "OtherProcessError", "data_parallel"]
