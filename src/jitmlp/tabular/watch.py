"""Who looks at the members while they train: their progress, the time that is left, a stop."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitmlp.estimators.progress import LINES, rich_bar
from jitmlp.training.callbacks import Callback, OneOfSeveral

if TYPE_CHECKING:
    from jitmlp.training.stochastic import Run

SHARE = 0.92  # of the time limit that epochs may fill; the rest is for reading, looking back and a slow minute
FEWEST_EPOCHS = 4


def epochs_within(limit: float | None, start: float, rounds: float, most: int, probe: Callable) -> int:
    """Epochs a member for which the time is enough, so that the schedule of the learning rate comes to its end.

    ``probe()`` fits two epochs of one member; it is not called where there is no limit, and the model is the same then.
    """
    if limit is None:
        return most
    probe()  # loads the kernels
    before = time.monotonic()
    probe()
    now = time.monotonic()
    left = SHARE * limit - (now - start)
    return int(np.clip(left / rounds / ((now - before) / 2), FEWEST_EPOCHS, most))


class Watch:
    """Progress of an ensemble's fit, shown if ``verbose``; ends the members when time is over or at :meth:`stop`.

    Parameters
    ----------
    n_members, n_epochs : int
    verbose : bool
    start : float
        When the fit began, of ``time.monotonic``.
    limit : float or None
        Seconds from then.
    n_fits : int, default=None
        More than there are members where some are trained again.
    n_threads : int, default=1
        For the last one that trains; the others have one each, so that nobody waits for another.
    """

    def __init__(
        self,
        n_members: int,
        n_epochs: int,
        verbose: bool,
        start: float,
        limit: float | None,
        n_fits: int | None = None,
        n_threads: int = 1,
    ) -> None:
        self.n_members, self.n_epochs, self.verbose = n_members, n_epochs, verbose
        self.n_fits = n_fits or n_members
        self.end = np.inf if limit is None else start + limit
        self._n_threads, self._left = n_threads, n_members
        self.began: float | None = None  # the members' training
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._done = self._shown = 0
        self._best = -np.inf
        self._bar: Any = None

    @property
    def is_over(self) -> bool:
        """Whether no member should begin."""
        return not self.has_time(0.0)

    def has_time(self, seconds: float) -> bool:
        """Whether what takes so long would end in time."""
        return not self._stopped.is_set() and time.monotonic() + seconds < self.end

    def begin(self, n_epochs: int) -> None:
        """The members begin now, so many epochs each."""
        self.n_epochs, self.began = n_epochs, time.monotonic()
        if self.verbose:
            self._bar = rich_bar(
                self.n_fits * n_epochs,
                "member {task.fields[member]}, epoch {task.completed:>4}/{task.total}",
                "best score {task.fields[best]:.4f}",
                "left",
                member=1,
                best=float("nan"),
            )

    def stop(self) -> None:
        """Let every member end at its next epoch."""
        self._stopped.set()

    @property
    def n_threads(self) -> int:
        """Threads that a network may use now."""
        return 1 if self._left > 1 else self._n_threads

    def finish(self, epochs: int) -> None:
        """A member's training has ended so many epochs before the last."""
        if self.began is not None:
            with self._lock:
                self._left -= 1
        self.advance(epochs)

    def member(self, end: int | None = None, patience: float = np.inf) -> Callback:
        """A callback for a member's fit, which ends after its epoch ``end``, or after the last.

        It ends before where the score of its validation rows has not become better for ``patience`` epochs.
        """
        return _Member(self, self._stopped, end, patience)

    def advance(self, epochs: int, scores: Sequence[float] = ()) -> None:
        """So many epochs are over, with these scores, or left out; those of a fit that is only timed do not count."""
        if self.began is None:
            return
        with self._lock:
            self._done += epochs
            self._best = max(self._best, np.nanmax([*scores, -np.inf]))
            if not self.verbose:
                return
            members = min(self.n_members, 1 + self._done // self.n_epochs)
            if self._bar is not None:
                self._bar.update(0, completed=self._done, member=members, best=self._best)
                return
            total = self.n_fits * self.n_epochs
            share = self._done * LINES // total
            if share > self._shown:
                self._shown = share
                left = (time.monotonic() - self.began) / self._done * (total - self._done)
                print(
                    f"member {members}/{self.n_members} epoch {self._done}/{total} best score {self._best:.4f}, "
                    f"left {left:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Member(OneOfSeveral):
    """The epochs of one member, for a watch."""

    by_losses = False

    def __init__(self, watch: Watch, stopped: threading.Event, end: int | None, patience: float) -> None:
        super().__init__(stopped, lambda: watch.n_threads)
        self.watch, self.end, self.patience = watch, end, patience

    def on_begin(self, run: Run) -> None:
        """From now on, time is its epochs'."""
        super().on_begin(run)
        self.last, self.waited, self.best = time.monotonic(), 0, -np.inf

    def on_epoch_end(self, run: Run) -> None:
        """Count the epoch; end training if none should follow."""
        super().on_epoch_end(run)
        now = time.monotonic()
        took, self.last = now - self.last, now
        scores = run.scores[-1:]
        self.watch.advance(1, scores)
        if scores and scores[0] > self.best:
            self.waited, self.best = 0, scores[0]
        else:
            self.waited += 1
        # the last epoch ends by this word: as many epochs as were asked for are meant, and no warning is due
        is_last = run.epoch >= (self.end or run.recipe.max_epochs)
        if is_last or not self.watch.has_time(took) or self.waited >= self.patience:
            run.stop("callback")
