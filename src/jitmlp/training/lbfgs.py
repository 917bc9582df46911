"""L-BFGS: SciPy drives, the kernels give loss and gradient of the whole data."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result

from jitmlp.engine import interrupts
from jitmlp.engine.data import Data
from jitmlp.engine.group import current
from jitmlp.engine.memory import check_memory
from jitmlp.engine.workspace import Workspace
from jitmlp.model.messages import warn_user
from jitmlp.model.model import Model
from jitmlp.training.recipe import Fit, History, Recipe, Start
from jitmlp_kernels.rules.optimizers import GRADIENT

HISTORY_PAIRS = 10  # of steps and gradients that L-BFGS-B keeps, each as long as the parameters


class FullBatchLoss:
    """Loss and gradient of the whole data as a function of the flat parameters."""

    def __init__(self, model: Model, recipe: Recipe, data: Data, start: Start) -> None:
        self.data, self.constraints, self.start = data, recipe.constraints, start
        self.group = current()
        self.n_all = int(self.group.total(data.n_samples)[0])
        self.order = np.arange(data.n_samples)
        self.table = GRADIENT.table(np.ones(1), np.ones(1), {})
        self.workspace = Workspace(model, data.n_samples, recipe.n_threads, GRADIENT, exchanges=not self.group.is_alone)
        parameters = sum(a.size for a in start.parameters.arrays())
        check_memory(self.workspace.layout, more=8 * parameters * (2 * HISTORY_PAIRS + 8))

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        workspace, n = self.workspace, self.data.n_samples
        workspace.load(self.start.parameters.like(flat))
        workspace.forget_loss()
        if self.group.is_alone:
            workspace.train(self.data, self.order, n, self.table, self.constraints)
        else:
            workspace.train_with_others(self.data, self.order, n, self.table, self.constraints, self.group, exact=True)
        interrupts.answer_pending()
        return workspace.take_loss(self.group) / self.n_all, workspace.parameters(slot=1).flat()


def train_lbfgs(model: Model, recipe: Recipe, data: Data, start: Start, verbose: bool = False) -> Fit:
    """Minimize the loss over the data.

    Returns
    -------
    Fit
        After an interrupt with the parameters of the last whole iteration.
    """
    latest: dict[str, Any] = {"x": start.parameters.flat(), "n": 0, "loss": None}

    def report(intermediate_result: Any) -> None:
        loss = np.float64(intermediate_result.fun)
        latest.update(x=intermediate_result.x.copy(), loss=loss, n=latest["n"] + 1)
        if verbose:
            print(f"Iteration {latest['n']}, loss = {loss:.8f}")

    reason = "converged"
    with interrupts.deferred():
        objective = FullBatchLoss(model, recipe, data, start)
        try:
            result = scipy.optimize.minimize(
                objective,
                latest["x"],
                method="L-BFGS-B",
                jac=True,
                callback=report,
                options={
                    "maxfun": recipe.max_fun,
                    "maxiter": recipe.max_epochs,
                    "gtol": recipe.stopping.tol,
                },
            )
            latest.update(x=result.x, loss=np.float64(result.fun))
            latest["n"] = _check_optimize_result("lbfgs", result, recipe.max_epochs)
            reason = "converged" if result.success else "max_iter"
        except KeyboardInterrupt:
            if not objective.group.is_alone:  # the others cannot know where this one is
                raise
            warn_user("Training interrupted by user.")
            reason = "interrupt"
            if latest["loss"] is None:
                latest["loss"] = np.float64(objective(latest["x"])[0])
    history = History(samples=start.history.samples)
    return Fit(start.parameters.like(latest["x"]), history, None, latest["n"], latest["loss"], reason)
