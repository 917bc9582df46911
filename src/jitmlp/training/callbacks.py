"""What happens at the begin of training, after every epoch, and at the end.

A callback has three methods, each with the run as argument. They are called in the order of a
list; to add one, write a class with the methods it needs.
"""

from __future__ import annotations

from collections.abc import Callable as Function
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jitmlp.engine.data import Data
    from jitmlp.training.stochastic import Run


class Callback:
    """Does nothing; the base of those that do."""

    def on_begin(self, run: Run) -> None:
        """Before the first epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """After every epoch; ``run.stop(reason)`` makes it the last."""

    def on_end(self, run: Run) -> None:
        """After the last epoch, also of a run that was interrupted."""


class Report(Callback):
    """Prints the loss of every epoch, in scikit-learn's words."""

    def on_epoch_end(self, run: Run) -> None:
        """Print a line."""
        print(f"Iteration {run.epoch}, loss = {run.loss:.8f}")


class Validation(Callback):
    """Scores held-out rows after every epoch, and keeps the best parameters.

    Parameters
    ----------
    score : callable
        ``score(outputs) -> float`` of the outputs for the held-out rows.
    data, rows : Data, ndarray
        Where the rows are.
    verbose : bool
    """

    def __init__(self, score: Function, data: Data, rows: np.ndarray, verbose: bool = False) -> None:
        self.score, self.data, self.rows, self.verbose = score, data, rows, verbose

    def on_epoch_end(self, run: Run) -> None:
        """Score, count the epochs without a gain, keep the best."""
        outputs = run.trainer.workspace.predict(self.data, self.rows)
        score = self.score(outputs) if np.isfinite(outputs).all() else np.nan
        run.scores.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        run.waited = run.waited + 1 if score < run.best_score + run.recipe.stopping.tol else 0
        if score > run.best_score:
            run.best_score = score
            run.keep_best()


class TrainingLoss(Callback):
    """Counts the epochs without a gain in the training loss; keeps the best parameters if asked to."""

    def on_epoch_end(self, run: Run) -> None:
        """Compare with the best loss so far."""
        stopping = run.recipe.stopping
        run.waited = run.waited + 1 if run.loss > run.best_loss - stopping.tol else 0
        if run.loss < run.best_loss:
            run.best_loss = run.loss
            if stopping.restore_best:
                run.keep_best()


class LearningRate(Callback):
    """Lets the schedule react to an epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """Change the learning rate of the epochs to come."""
        trainer = run.trainer
        trainer.rate = run.recipe.rate.end_epoch(trainer.rate, trainer.epoch_rates, run.samples, run.loss)


class Plateau(Callback):
    """Ends training, or lowers the learning rate, where nothing has improved for long.

    Parameters
    ----------
    what : str
        What did not improve, for the message.
    verbose : bool
    """

    def __init__(self, what: str = "Training loss", verbose: bool = False) -> None:
        self.what, self.verbose = what, verbose

    def on_epoch_end(self, run: Run) -> None:
        """Look how long it has been."""
        stopping, rate = run.recipe.stopping, run.recipe.rate
        if not run.waited > stopping.patience:
            return
        state = rate.at_plateau(run.trainer.rate)
        message = (
            f"{self.what} did not improve more than tol={stopping.tol:f} for {stopping.patience:d} consecutive epochs."
        )
        if state is None:
            too_small = " Learning rate too small." if rate.reacts_to_plateau else ""
            self._print(f"{message}{too_small} Stopping.")
            run.stop("plateau")
        else:
            self._print(f"{message} Setting learning rate to {state.rate:f}")
            run.trainer.rate = state
            run.waited = 0

    def _print(self, message: str) -> None:
        if self.verbose:
            print(message)


class Call(Callback):
    """Calls a function after every epoch; training ends where it returns True.

    Parameters
    ----------
    function : callable
        ``function(run)``.
    """

    def __init__(self, function: Function) -> None:
        self.function = function

    def on_epoch_end(self, run: Run) -> None:
        """Call it; only True or NumPy's stops, and anything else but None or False is an error."""
        answer = self.function(run)
        if isinstance(answer, (bool, np.bool_)):
            if answer:
                run.stop("callback")
        elif answer is not None:
            raise TypeError(
                f"The 'callback' parameter must return True to stop, False or None to go on. Got {answer!r} instead."
            )
