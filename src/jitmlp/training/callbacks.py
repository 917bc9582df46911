"""What happens at the begin of training, after every epoch, and at the end.

A callback has four methods, each with the run as argument. They are called in the order of a
list; to add one, write a class with the methods it needs.
"""

from __future__ import annotations

from collections.abc import Callable as Function
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jitmlp.engine.data import Data
    from jitmlp.training.stochastic import Run


class Callback:
    """Does nothing; the base of those that do.

    Attributes
    ----------
    by_losses : bool
        Whether the losses are all it asks of the epochs, so that it may be called for several when these are over.
    """

    by_losses = False

    def on_begin(self, run: Run) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before every epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """After every epoch; ``run.stop(reason)`` makes it the last."""

    def on_end(self, run: Run) -> None:
        """After the last epoch, also of a run that was interrupted."""


class Report(Callback):
    """Prints the loss of every epoch, in scikit-learn's words."""

    by_losses = True

    def on_epoch_end(self, run: Run) -> None:
        """Print a line."""
        print(f"Iteration {run.epoch}, loss = {run.loss:.8f}")


class Validation(Callback):
    """Loss and score of held-out rows after every epoch.

    Parameters
    ----------
    data, rows : Data, ndarray or None
        Where the rows are.
    loss : callable
        ``loss(outputs) -> float`` of the outputs for the held-out rows.
    score : callable
        ``score(run, outputs) -> float``.
    decides : bool
        Whether the epochs without a gain in the score are counted, after which training ends.
    keeps_best : bool
        Whether the best parameters are kept.
    verbose : bool
    gather : callable
        ``gather(outputs)``: with those of other processes.
    """

    def __init__(
        self,
        data: Data,
        rows: np.ndarray | None,
        loss: Function,
        score: Function,
        *,
        decides: bool = True,
        keeps_best: bool = True,
        verbose: bool = False,
        gather: Function = lambda outputs: outputs,
    ) -> None:
        self.data, self.rows, self.loss, self.score, self.gather = data, rows, loss, score, gather
        self.decides, self.keeps_best, self.verbose = decides, keeps_best, verbose

    def on_epoch_end(self, run: Run) -> None:
        """Score, count the epochs without a gain, keep the best."""
        outputs = self.gather(run.trainer.workspace.predict(self.data, self.rows))
        run.validation_losses.append(self.loss(outputs))
        score = float(self.score(run, outputs)) if np.isfinite(outputs).all() else np.nan
        run.scores.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        if self.decides:
            run.waited = 0 if score >= run.best_score + run.recipe.stopping.tol else run.waited + 1  # NaN is no gain
        if score > run.best_score:
            run.best_score = score
            if self.keeps_best:
                run.keep_best()


class TrainingLoss(Callback):
    """Counts the epochs without a gain in the training loss.

    Parameters
    ----------
    keeps_best : bool
        Whether the best parameters are kept.
    """

    def __init__(self, keeps_best: bool = False) -> None:
        self.keeps_best, self.by_losses = keeps_best, not keeps_best

    def on_epoch_end(self, run: Run) -> None:
        """Compare with the best loss so far."""
        run.waited = run.waited + 1 if run.loss > run.best_loss - run.recipe.stopping.tol else 0
        if run.loss < run.best_loss:
            run.best_loss = run.loss
            if self.keeps_best:
                run.keep_best()


class LearningRate(Callback):
    """Lets the schedule react to an epoch."""

    by_losses = True

    def on_epoch_end(self, run: Run) -> None:
        """Change the learning rate of the epochs to come."""
        trainer = run.trainer
        if run.recipe.rate.holds:
            return
        trainer.rate = run.recipe.rate.end_epoch(trainer.rate, trainer.epoch_rates, run.samples, run.loss)


class Plateau(Callback):
    """Ends training, or lowers the learning rate, where nothing has improved for long.

    Parameters
    ----------
    what : str
        What did not improve, for the message.
    verbose : bool
    """

    by_losses = True

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


class OneOfSeveral(Callback):
    """Lets a network use the threads that others leave, which train at once with it, and end when all are to end.

    Parameters
    ----------
    stopped : threading.Event
        After the epoch in which it is set, training ends.
    n_threads : callable
        ``n_threads()``: how many it may use in the next epoch.
    """

    by_losses = True

    def __init__(self, stopped: Event, n_threads: Function) -> None:
        self.stopped, self.n_threads = stopped, n_threads

    def on_begin(self, run: Run) -> None:
        """Take the threads."""
        run.trainer.workspace.threads_now = self.n_threads()

    def on_epoch_end(self, run: Run) -> None:
        """Take more where others have ended; end if it is said."""
        run.trainer.workspace.threads_now = self.n_threads()
        if self.stopped.is_set():
            run.stop("interrupt")


class Call(Callback):
    """Calls a function after every epoch; training ends where True is among its answers.

    Parameters
    ----------
    function : callable
        ``function(run)`` -> list.
    """

    def __init__(self, function: Function) -> None:
        self.function = function

    def on_epoch_end(self, run: Run) -> None:
        """Call it; only True or NumPy's stops, and anything else but None or False is an error."""
        for answer in self.function(run):
            if isinstance(answer, (bool, np.bool_)):
                if answer:
                    run.stop("callback")
            elif answer is not None:
                raise TypeError(
                    "The 'callback' parameter must return True to stop, False or None to go on. "
                    f"Got {answer!r} instead."
                )
