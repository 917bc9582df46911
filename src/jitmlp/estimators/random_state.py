"""scikit-learn's ``random_state``, as a generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from sklearn.utils import check_random_state

WORDS = np.zeros(624, np.uint32)  # of the state of a Mersenne twister


class _NoEntropy(ISeedSequence):
    """A first state that a seed writes over at once."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        return WORDS


NO_ENTROPY: Any = _NoEntropy()


def generator_of(random_state: Any) -> np.random.RandomState:
    """As scikit-learn's :func:`~sklearn.utils.check_random_state`, with the same draws.

    ``RandomState(seed)`` draws a whole state from the entropy of the machine, and then seeds it: that takes longer than a
    step on a row does.
    """
    if not isinstance(random_state, (int, np.integer)):
        return check_random_state(random_state)
    generator = np.random.RandomState(np.random.MT19937(NO_ENTROPY))
    generator.seed(random_state)
    return generator
