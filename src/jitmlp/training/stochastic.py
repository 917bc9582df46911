"""Training epoch by epoch.

The order of what is drawn, compared, printed and warned of is scikit-learn's, so that the same
seed gives the same model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jitmlp.engine import interrupts
from jitmlp.engine.data import Data
from jitmlp.engine.group import Shares
from jitmlp.engine.workspace import Workspace
from jitmlp.model.messages import warn_user
from jitmlp.model.model import Model
from jitmlp.training.callbacks import Callback
from jitmlp.training.chunks import Chunks
from jitmlp.training.direct import Room
from jitmlp.training.divergence import Diverged, DivergenceError, DivergenceWarning
from jitmlp.training.order import Blocks, in_order, read_ahead
from jitmlp.training.recipe import Fit, History, Recipe, Start
from jitmlp.training.trainer import Trainer


class Run:
    """A run under way: what callbacks see and change.

    Attributes
    ----------
    recipe : Recipe
    trainer : Trainer
    epoch : int
        Epochs of this run so far.
    loss, rate : float
        Of the last epoch; of its last step.
    losses, validation_losses, scores, rates, seconds : list of float
        Of this run.
    best_loss, best_score, waited, samples :
        See :class:`~jitmlp.training.recipe.History`.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        start: Start,
        random_state: Any,
        workspace: Workspace | None,
        shares: Shares | None = None,
    ) -> None:
        self.model, self.recipe, self.random_state = model, recipe, random_state
        self.trainer = Trainer(model, recipe, start, workspace, shares)
        h = start.history
        self.losses: list[float] = []
        self.validation_losses: list[float] = []
        self.scores: list[float] = []
        self.rates: list[float] = []
        self.seconds: list[float] = []
        self.best_loss, self.best_score, self.waited, self.samples = h.best_loss, h.best_score, h.waited, h.samples
        self.loss = start.loss
        self.epoch, self.reason, self.rate = 0, "", np.nan
        self.order: np.ndarray | None = None
        self.rooms: list[Room] = []  # of windows, kept from epoch to epoch
        self.may_foresee = False  # whether several epochs can be run in one call
        self._first_draw: Any = None  # the generator's state before the first of them
        self._best: list[np.ndarray] | None = None

    def note(self, loss: float, rows: np.ndarray | None) -> None:
        """Add an epoch."""
        rates = self.trainer.epoch_rates
        self.loss, self.order = loss, rows
        self.rate = float(rates[-1]) if len(rates) else np.nan
        self.rates.append(self.rate)
        self.losses.append(loss)
        self.epoch += 1
        self.samples += self.trainer.n_rows

    def ordered(self, rows: np.ndarray) -> np.ndarray:
        """The rows in the order of the next epoch."""
        if not self.recipe.shuffle:
            return rows
        drawn = rows.copy()  # as scikit-learn's shuffled numbers of the rows order them
        self.random_state.shuffle(drawn)
        return drawn

    def foresee(self) -> None:
        """Run several epochs in one call from the first on: whatever they draw can be taken back."""
        self.may_foresee, self._first_draw = True, self.random_state.get_state()

    def take_back(self, n_rows: int) -> None:
        """The generator as it was after the last epoch that was noted, and one epoch a call from here on.

        Its state is asked for once a run, since that takes longer than an epoch of few rows does; each epoch draws one order.
        """
        self.random_state.set_state(self._first_draw)
        for _ in range(self.epoch):
            self.ordered(np.arange(n_rows))
        self.may_foresee = False

    def stop(self, reason: str) -> None:
        """Make this epoch the last."""
        self.reason = self.reason or reason

    def keep_best(self) -> None:
        """Note the parameters as they are now as the best."""
        self._best = self.trainer.workspace.snapshot(into=self._best)

    def fit(self, best: bool = False) -> Fit:
        """The run so far as a value; with ``best`` the best parameters, where any were noted."""
        workspace = self.trainer.workspace
        draws = (self.random_state.get_state(), self.order) if self.recipe.keep_draws else ()
        state = self.trainer.state(*draws)
        if best and self._best is not None:
            workspace.restore(self._best)
        history = History(
            tuple(self.losses),
            tuple(self.validation_losses),
            tuple(self.scores),
            tuple(self.rates),
            tuple(self.seconds),
            self.best_loss,
            self.best_score,
            self.waited,
            self.samples,
        )
        loss, parameters = np.float64(self.loss), workspace.parameters()
        workspace.holds = (*parameters.arrays(), state)
        return Fit(parameters, history, state, self.epoch, loss, self.reason or "max_iter")


def train(
    model: Model,
    recipe: Recipe,
    data: Data | Chunks,
    rows: np.ndarray | None,
    start: Start,
    random_state: np.random.RandomState,
    callbacks: Sequence[Callback] = (),
    incremental: bool = False,
    workspace: Workspace | None = None,
    shares: Shares | None = None,
) -> Fit:
    """Run epochs until convergence, the last epoch, a callback's word or an interrupt.

    Parameters
    ----------
    data : Data or Chunks
    rows : ndarray of int64 or None
        Those of the data that are trained on; None for all, of chunks.
    random_state : RandomState
        Shuffles the rows.
    callbacks : sequence of Callback
    incremental : bool
        One epoch, and no word about convergence.
    workspace : Workspace, optional
        One that fits.
    shares : Shares, optional
        With which other processes train the network too.

    Returns
    -------
    Fit

    Raises
    ------
    DivergenceError
        If a loss is not finite and ``recipe.on_divergence`` is "raise".
    """
    with interrupts.deferred() as interrupt:
        run = Run(model, recipe, start, random_state, workspace, shares)
        try:
            with interrupt.open():
                for callback in callbacks:
                    callback.on_begin(run)
            if not incremental and _foresees(run, data, rows, callbacks):
                run.foresee()
            while run.epoch < recipe.max_epochs and not run.reason:
                rows, losses = _run_epochs(run, data, rows) if run.may_foresee else (rows, [])
                for loss in losses:
                    run.note(loss, rows)
                    for callback in callbacks:
                        callback.on_epoch_end(run)
                interrupt.answer()
                if losses:
                    continue
                for callback in callbacks:
                    callback.on_epoch_begin(run)
                rows = _run_epoch(run, data, rows, recipe.shuffle)
                with interrupt.open():
                    for callback in callbacks:
                        callback.on_epoch_end(run)
                if incremental:
                    break
            if not run.reason and not incremental:
                warn_user(
                    f"Stochastic Optimizer: Maximum iterations ({recipe.max_epochs}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                )
        except KeyboardInterrupt:
            if shares is not None:  # the others cannot know where this one is
                raise
            warn_user("Training interrupted by user.")
            run.reason = "interrupt"
        except Diverged as diverged:
            return _diverged(run, str(diverged))
        with interrupt.open():
            for callback in callbacks:
                callback.on_end(run)
        fit = run.fit(best=True)
        if run.reason == "interrupt" and not run.trainer.workspace.all_finite():  # in the middle of an epoch
            return _diverged(run, run.trainer.divergence.explain(run.rate))
        _warn_of_explosion(run)
        return fit


def _foresees(run: Run, data: Data | Chunks, rows: np.ndarray | None, callbacks: Sequence[Callback]) -> bool:
    """Whether nobody looks at the weights between two epochs over rows in memory, so that several can be run in one call."""
    shuffle = run.recipe.shuffle
    if isinstance(data, Chunks) or rows is None or isinstance(shuffle, Blocks):
        return False
    return all(callback.by_losses for callback in callbacks) and (shuffle or in_order(data, rows) is None)


def _run_epochs(run: Run, data: Any, rows: Any) -> tuple[np.ndarray, list[float]]:
    """As many small epochs as must come before one that can be the last, that one included; none where one would diverge."""
    recipe, trainer = run.recipe, run.trainer
    left = recipe.max_epochs - run.epoch
    count = trainer.epochs_at_once(len(rows), min(left, recipe.stopping.patience - run.waited + 1))
    if count < 2:
        return rows, []
    orders = np.empty((count, len(rows)), np.int64)
    before = rows
    for order in orders:
        order[:] = before = run.ordered(before)
    start = time.perf_counter()
    losses = trainer.run_epochs(data, orders)
    if losses is None:
        run.take_back(len(rows))  # to find out which it is, one by one
        return rows, []
    run.seconds += [(time.perf_counter() - start) / count] * count
    return before, losses


def _run_epoch(run: Run, data: Data | Chunks, rows: np.ndarray | None, shuffle: Any) -> np.ndarray | None:
    """One epoch; returns the rows in their new order."""
    trainer = run.trainer
    reading: Any
    multiple = trainer.batch_size * (1 if trainer.shares is None else trainer.shares.group.every)
    if isinstance(data, Chunks):
        reading, n_rows = data.windows(shuffle, run.random_state, multiple), data.n_samples
    else:
        assert rows is not None
        starts = None
        if isinstance(shuffle, Blocks):
            rows, starts = shuffle.order(rows, data.row_bytes, run.random_state)
        else:
            starts = None if shuffle else in_order(data, rows)
            rows = run.ordered(rows)
        if starts is None:
            reading = nullcontext([(data, rows)])
        else:
            reading = read_ahead(data, rows, starts, multiple, run.rooms)
        n_rows = len(rows)
    start = time.perf_counter()
    with reading as parts:
        loss = trainer.run_epoch(parts, n_rows)
    run.seconds.append(time.perf_counter() - start)
    run.note(loss, rows)
    trainer.divergence.end_epoch(run.rate)
    return rows


def _diverged(run: Run, message: str) -> Fit:
    """What comes of a run whose loss is not finite, as the recipe asks."""
    how = run.recipe.on_divergence
    if how == "raise":
        raise DivergenceError(message, run.trainer.divergence.last_good())
    if how == "restore":
        run.trainer.divergence.last_good()
        message += " The weights are those of the last epoch before."
    warn_user(message, DivergenceWarning)
    run.reason = "diverged"
    if how == "warn":
        run.loss = np.nan
    return run.fit()


def _warn_of_explosion(run: Run) -> None:
    divergence = run.trainer.divergence
    if run.reason != "interrupt" and divergence.exploded(run.loss):
        warn_user(divergence.explain_explosion(run.loss, run.rate), DivergenceWarning)
