"""What is asked of parameters and gradients beside the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Constraints:
    """What is asked of parameters and gradients beside the loss.

    Attributes
    ----------
    alpha, l1 : float or tuple of float
        L2 and L1 penalty, divided by the total weight of the mini-batch; a tuple has one a layer.
    clip_value, clip_norm : float
        Largest size of a gradient's element, and norm of all gradients.
    max_norm : float
        Largest norm of a unit's incoming weights.
    frozen : tuple of (bool, bool)
        For each layer, whether its weights and its vectors stay as they are; empty for none.
    """

    alpha: float | tuple[float, ...] = 0.0
    l1: float | tuple[float, ...] = 0.0
    clip_value: float = np.inf
    clip_norm: float = np.inf
    max_norm: float = np.inf
    frozen: tuple[tuple[bool, bool], ...] = ()
