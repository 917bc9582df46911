"""Epochs of compiled mini-batch steps, in chunks that an interrupt can come between."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np

from jitmlp.engine import interrupts
from jitmlp.engine.data import Data
from jitmlp.engine.group import Shares
from jitmlp.engine.thread_choice import ThreadChoice
from jitmlp.engine.workspace import EPOCHS_AT_ONCE, Workspace
from jitmlp.model.model import Model
from jitmlp.training.divergence import Divergence
from jitmlp.training.recipe import OptimizerState, Recipe, Start

NO_ROWS = np.arange(0)
AHEAD = 256  # steps whose coefficients are computed at once, where epochs are shorter and the rate stays


class Trainer:
    """A network in training: steps, learning rate, the optimizer's state.

    Parameters
    ----------
    model : Model
    recipe : Recipe
    start : Start
        The state goes on if it serves the recipe's optimizer.
    workspace : Workspace, optional
        One that has the right shape already.
    shares : Shares, optional
        With which other processes train it too.

    Attributes
    ----------
    batch_size : int
        Rows of a mini-batch, of this process.
    n_rows : int
        Rows of an epoch, of all processes.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        start: Start,
        workspace: Workspace | None = None,
        shares: Shares | None = None,
    ) -> None:
        assert recipe.optimizer is not None, "L-BFGS has its own loop"
        self.recipe, self.optimizer = recipe, recipe.optimizer
        accumulate, self.shares, self.n_rows = recipe.constraints.clip_norm < np.inf, shares, 0
        self.batch_size = recipe.batch_size if shares is None else shares.batch_size
        if workspace is None:
            workspace = Workspace(
                model,
                self.batch_size,
                recipe.n_threads,
                recipe.optimizer,
                accumulate,
                exchanges=shares is not None and shares.group.every == 1,
            )
        workspace.threads_now = workspace.n_threads
        self.workspace = workspace
        self.steps, self.rate, self.seed = 0, recipe.rate.start, recipe.seed
        state = start.state
        serves = state is not None and state.serves(recipe.optimizer, start.parameters)
        here = (*start.parameters.arrays(), state)
        known = len(here) == len(workspace.holds) and all(a is b for a, b in zip(here, workspace.holds))
        # read-only arrays that came from this workspace are what it holds
        if not (known and serves and not any(a.flags.writeable for a in start.parameters.arrays())):
            workspace.load(start.parameters)
            for number, slot in enumerate(state.slots if state is not None and serves else (), 1):
                workspace.load(slot, number)
            if not serves:
                workspace.clear_state()
        workspace.holds = ()
        if state is not None and serves:
            self.steps, self.seed = state.steps, state.seed or recipe.seed
            if state.schedule == recipe.rate.identity:
                self.rate = state.rate
        self.threads: ThreadChoice  # from the first epoch on, of which the rows are known
        self.divergence = Divergence(workspace)
        self.epoch_rates = np.empty(0)

    def run_epoch(self, parts: Iterable[tuple[Data, np.ndarray]], n_rows: int) -> float:
        """One pass over the rows; returns the mean loss, penalty included.

        Parameters
        ----------
        parts : iterable of (Data, ndarray of int64)
            Rows, and the order in which they are taken; as many as a multiple of the mini-batch, but for the last.
        n_rows : int
            How many there are, of this process.

        Raises
        ------
        Diverged
            If a loss is not finite at a chunk's end.
        KeyboardInterrupt
            At a chunk's end.
        """
        if self.shares is not None:
            return self._run_shared_epoch(parts, self.shares)
        recipe = self.recipe
        self.n_rows = n_rows
        batch_size = min(recipe.batch_size, n_rows)
        n_steps = -(-n_rows // batch_size)
        rates = recipe.rate.rates(self.rate, self.steps, n_steps, recipe.max_epochs, recipe.cyclic)
        self.epoch_rates = rates
        self.threads = self._thread_choice(batch_size)
        self.threads.n_steps = n_steps * recipe.max_epochs
        self.workspace.forget_loss()
        first = 0
        for data, order in parts:
            last = first - (-len(order) // batch_size)
            self._run_steps(data, order, batch_size, rates[first:last])
            first = last
        return self.workspace.take_loss() / n_rows

    def _run_steps(self, data: Data, order: np.ndarray, batch_size: int, rates: np.ndarray) -> None:
        """Steps on rows, in chunks."""
        recipe, workspace, n_steps, done = self.recipe, self.workspace, len(rates), 0
        while done < n_steps:
            n_threads, limit = self._next_threads()
            n_chunk = min(limit, n_steps - done)
            numbers = np.arange(self.steps + 1, self.steps + 1 + n_chunk, dtype=float)
            table = self._table(rates[done : done + n_chunk], numbers)
            rows = order[done * batch_size : (done + n_chunk) * batch_size]
            start = time.perf_counter()
            workspace.train(data, rows, batch_size, table, recipe.constraints, self.steps, self.seed, n_threads)
            self.threads.learn(n_threads, (time.perf_counter() - start) / n_chunk, n_chunk)
            self.steps += n_chunk
            done += n_chunk
            self.divergence.check_chunk(rates[done - 1], len(rows))
            interrupts.answer_pending()

    def _thread_choice(self, batch_size: int) -> ThreadChoice:
        """What is known of thread counts for mini-batches of so many rows, also from the fits before in this memory."""
        kept = self.workspace.thread_choice
        if kept is None or kept[0] != batch_size:
            self.workspace.thread_choice = kept = batch_size, ThreadChoice(self.recipe.n_threads)
        return kept[1]

    def _next_threads(self) -> tuple[int, int]:
        """Thread count, and steps to run with it."""
        n_threads, limit = self.threads.next()
        return min(n_threads, self.workspace.threads_now), limit

    def epochs_at_once(self, n_rows: int, most: float) -> int:
        """Into how many passes over so few rows one call into the kernels is to go."""
        if self.shares is not None or not self.recipe.rate.holds or self.divergence.first_loss is None:
            return 1
        n_steps = -(-n_rows // min(self.recipe.batch_size, n_rows))
        return max(1, int(min(most, EPOCHS_AT_ONCE, self.threads.next()[1] // n_steps, AHEAD // n_steps)))

    def run_epochs(self, data: Data, orders: np.ndarray) -> list[float] | None:
        """Several passes in one call, one a row of ``orders``; the mean loss of each.

        None, and nothing has happened, where one would diverge.
        """
        recipe, workspace, (n_epochs, n_rows) = self.recipe, self.workspace, orders.shape
        batch_size = min(recipe.batch_size, n_rows)
        n_steps = -(-n_rows // batch_size)
        rates = np.full(n_steps * n_epochs, self.rate.rate)
        table = self._table(rates, np.arange(self.steps + 1, self.steps + 1 + len(rates), dtype=float))
        n_threads, _ = self._next_threads()
        before, order = workspace.snapshot(state=True), orders.ravel()
        workspace.forget_loss(n_epochs)
        start = time.perf_counter()
        workspace.train(data, order, batch_size, table, recipe.constraints, self.steps, self.seed, n_threads, n_epochs)
        self.threads.learn(n_threads, (time.perf_counter() - start) / len(rates), len(rates))
        losses = workspace.take_losses(n_epochs)
        if not (np.isfinite(losses).all() and self.divergence.end_epochs(n_epochs)):
            workspace.restore(before, state=True)
            return None
        self.steps += len(rates)
        self.n_rows, self.epoch_rates = n_rows, rates[:n_steps]
        return [loss / n_rows for loss in losses]

    def _run_shared_epoch(self, parts: Iterable[tuple[Data, np.ndarray]], shares: Shares) -> float:
        """The same with the rows of other processes: steps, each with an exchange, or as many as there are between two."""
        recipe, workspace, size, group = self.recipe, self.workspace, self.batch_size, shares.group
        every = group.every
        seed = self.seed + group.rank  # masks of dropout: other rows, other masks
        rates = recipe.rate.rates(self.rate, self.steps, shares.n_steps, recipe.max_epochs, recipe.cyclic)
        self.epoch_rates, self.n_rows = rates, shares.n_all
        table = self._table(rates, np.arange(self.steps + 1, self.steps + 1 + shares.n_steps, dtype=float))
        workspace.forget_loss()
        pieces = _pieces(parts, every * size)
        for first, (data, rows) in zip(range(0, shares.n_steps, every), pieces):
            part = table[first : first + every]
            if every == 1:
                workspace.train_with_others(data, rows, size, part, recipe.constraints, group, self.steps, seed)
            else:
                with workspace.averaged(group, len(rows)):
                    if len(rows):  # as many steps as they are for
                        mine = part[: -(-len(rows) // size)]
                        workspace.train(data, rows, size, mine, recipe.constraints, self.steps, seed)
            self.steps += len(part)
            self.divergence.check_chunk(rates[first], shares.n_all)
            interrupts.answer_pending()
        group.check_same("weights", workspace.memory[: workspace.layout.state_stride])
        return workspace.take_loss(group) / shares.n_all

    def _table(self, rates: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The optimizer's coefficients of steps, for all parameters or for each layer's weights and vectors."""
        recipe = self.recipe
        if not recipe.layer_rates:
            if recipe.rate.is_even and len(rates) < AHEAD:
                return self._part_of_table(rates[0], int(numbers[0]), len(rates))
            return self.optimizer.table(rates, numbers, recipe.hyperparameters)
        tables = {
            factor: self.optimizer.table(factor * rates, numbers, recipe.hyperparameters)
            for factor in {factor for pair in recipe.layer_rates for factor in pair}
        }
        return np.stack([np.stack([tables[factor] for factor in pair], 1) for pair in recipe.layer_rates], 1)

    def _part_of_table(self, rate: float, number: int, n_steps: int) -> np.ndarray:
        """The coefficients of a few steps of one rate, from a table that goes further ahead, also of calls to come."""
        hyperparameters, kept = self.recipe.hyperparameters, self.workspace.coefficients_ahead
        if kept is None or kept[0] != (rate, hyperparameters) or not 0 <= number - kept[1] <= len(kept[2]) - n_steps:
            steps = np.arange(number, number + AHEAD, dtype=float)
            table = self.optimizer.table(np.full(AHEAD, rate), steps, hyperparameters)
            self.workspace.coefficients_ahead = kept = (rate, hyperparameters), number, table
        _, first, table = kept
        return table[number - first : number - first + n_steps]

    def state(self, random_state: tuple | None = None, order: np.ndarray | None = None) -> OptimizerState:
        """A copy of the optimizer's state."""
        return OptimizerState(
            self.optimizer,
            self.workspace.state(),
            self.steps,
            self.rate,
            self.recipe.rate.identity,
            self.seed,
            random_state,
            order,
        )


def _pieces(parts: Iterable[tuple[Data, np.ndarray]], size: int) -> Iterator[tuple[Data, np.ndarray]]:
    """Parts in pieces of so many rows, and then pieces without rows."""
    data = None
    for data, order in parts:
        for first in range(0, len(order), size):
            yield data, order[first : first + size]
    while data is not None:
        yield data, NO_ROWS
