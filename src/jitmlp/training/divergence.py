"""A run whose loss has left the finite numbers: found, explained, taken back."""

from __future__ import annotations

import math

import numpy as np

from jitmlp.engine.workspace import Workspace
from jitmlp.model.parameters import Parameters

EXPLOSION = 1e10  # times the first loss: no longer a detour


class DivergenceWarning(UserWarning):
    """Training went astray; the message says where and what to try."""


class DivergenceError(ValueError):
    """Training diverged.

    Attributes
    ----------
    coefs, intercepts : list of ndarray
        The last good weights, of the end of the last epoch with a finite loss.
    """

    def __init__(self, message: str, last_good: Parameters) -> None:
        super().__init__(message)
        self.coefs, self.intercepts = list(last_good.weights), list(last_good.biases)

    def __reduce__(self) -> tuple:
        return DivergenceError, (self.args[0], Parameters.of(self.coefs, self.intercepts))


class Diverged(Exception):
    """Raised inside of training; the message explains."""


ADVICE = (
    "Try a smaller learning_rate_init, inputs of a common scale (normalize='standard'), clip_norm, or dtype='float64'"
)


class Divergence:
    """Watches the losses of a workspace, and keeps its last good parameters."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.first_loss: float | None = None
        self.epoch = 0
        self._kept = workspace.snapshot()

    def check_chunk(self, rate: float, n_rows: int) -> None:
        """Raise :class:`Diverged` if the loss of the steps so far is not finite."""
        total = self.workspace.total[0]
        if self.first_loss is None and n_rows:
            self.first_loss = abs(float(total)) / n_rows
        penalties = self.workspace.penalties[0]
        if not math.isfinite(total) or not (math.isfinite(penalties.sum()) or np.isfinite(penalties).all()):
            raise Diverged(self.explain(rate))

    def end_epoch(self, rate: float) -> None:
        """Keep the parameters as they are now; raise :class:`Diverged` if the last step has left what is not finite."""
        if not self.end_epochs(1):
            raise Diverged(self.explain(rate))

    def end_epochs(self, count: int) -> bool:
        """The same after several, as an answer: what is not finite stays so."""
        if not self.workspace.all_finite():
            return False
        self.epoch += count
        self.workspace.snapshot(into=self._kept)
        return True

    def exploded(self, loss: float) -> bool:
        """Whether a finite loss has grown beyond all reason."""
        return self.first_loss is not None and loss > EXPLOSION * max(self.first_loss, 1e-30) and loss > EXPLOSION

    def last_good(self) -> Parameters:
        """The parameters at the end of the last epoch with a finite loss."""
        self.workspace.restore(self._kept)
        return self.workspace.parameters().multiplied(self.workspace.model.embedding)

    def explain(self, rate: float) -> str:
        """What to say of numbers that are not finite."""
        now = self.workspace.parameters()
        layers = [
            l
            for l, (w, b) in enumerate(zip(now.weights, now.biases))
            if not (np.isfinite(w).all() and np.isfinite(b).all())
        ]
        good = [float(np.abs(w).max()) for w in now.weights if w.size and np.isfinite(w).all()]
        where = (
            f"weights of layer {layers[0]} are not finite"
            if layers
            else "the outputs or the optimizer's state are not finite"
        )
        largest = f", the largest finite weight is {max(good):.3g}" if good else ""
        return (
            "Solver produced non-finite parameter weights or losses. The input data may contain large values "
            f"and need to be preprocessed. In epoch {self.epoch + 1}, at learning rate {rate:.3g}, {where}{largest}. "
            f"{ADVICE}."
        )

    def explain_explosion(self, loss: float, rate: float) -> str:
        """What to say of a finite loss that has exploded."""
        return f"The training loss has grown from {self.first_loss:.3g} to {loss:.3g} at learning rate {rate:.3g}. {ADVICE}."
