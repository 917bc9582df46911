"""How a network is trained: one frozen value, without data or memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from jitmlp.engine.constraints import Constraints
from jitmlp.model.parameters import Parameters
from jitmlp.training.order import Blocks
from jitmlp.training.schedules import Rate, RateState
from jitmlp_kernels.rules.optimizers import OptimizerRule


@dataclass(frozen=True)
class Stopping:
    """When training ends before its last epoch.

    Attributes
    ----------
    tol : float
        Gain in loss or score that counts as an improvement.
    patience : float
        Epochs without one, after which training ends.
    """

    tol: float = 1e-4
    patience: float = 10


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    optimizer : OptimizerRule or None
        None for L-BFGS.
    rate : Rate
        The learning rate's schedule.
    hyperparameters : mapping
        Of the optimizer, where they differ from its defaults.
    constraints : Constraints
    batch_size, max_epochs : int
    shuffle : bool or Blocks
    stopping : Stopping
    n_threads : int
        The most that are used.
    seed : int
        Of what dropout drops.
    on_divergence : {"raise", "warn", "restore"}
    max_fun : int
        Of L-BFGS: most evaluations of the loss.
    cyclic : bool
        Whether schedules with an end start again behind it, as where the end is not known.
    layer_rates : tuple of (float, float)
        For each layer, what the learning rate of its weights and of its vectors is multiplied by; empty for 1.
    keep_draws : bool
        Whether the state holds the rows' order and the generator that shuffles them.
    """

    optimizer: OptimizerRule | None
    rate: Rate
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    constraints: Constraints = Constraints()
    batch_size: int = 200
    max_epochs: int = 200
    shuffle: bool | Blocks = True
    stopping: Stopping = Stopping()
    n_threads: int = 1
    seed: int = 0
    on_divergence: str = "raise"
    max_fun: int = 15000
    cyclic: bool = False
    layer_rates: tuple[tuple[float, float], ...] = ()
    keep_draws: bool = False


@dataclass(frozen=True)
class OptimizerState:
    """What an optimizer remembers between two calls.

    Attributes
    ----------
    optimizer : OptimizerRule
    slots : tuple of Parameters
    steps : int
    rate : RateState
        Of the schedule that made it, named by ``schedule``.
    schedule : object
    seed : int
        Of dropout's masks.
    random_state : tuple or None
        State of the generator that shuffles, where training is to go on as if it had not stopped.
    order : ndarray or None
        The rows that were trained on, in their last order, for the same reason.
    """

    optimizer: OptimizerRule
    slots: tuple[Parameters, ...]
    steps: int
    rate: RateState
    schedule: object
    seed: int = 0
    random_state: tuple | None = None
    order: np.ndarray | None = None

    def serves(self, optimizer: OptimizerRule | None, start: Parameters) -> bool:
        """Whether an optimizer can go on from it: the same slots of the same shapes.

        An optimizer of the user's own goes on from itself only, since what it calls its slots says
        nothing of what they mean.
        """
        if optimizer is None or optimizer.slots != self.optimizer.slots:
            return False
        if not (optimizer.built_in and self.optimizer.built_in) and optimizer != self.optimizer:
            return False
        shapes = [array.shape for array in start.weights]
        return all([array.shape for array in slot.weights] == shapes for slot in self.slots)


@dataclass(frozen=True)
class History:
    """What training has noted.

    Attributes
    ----------
    losses, validation_losses, scores, rates, seconds : tuple of float
        One an epoch of one call, since all there ever were would be copied by every ``partial_fit``;
        those of validation are empty where nothing is held out.
    best_loss, best_score : float
        Earlier calls that it goes on from included, as in what follows.
    waited : int
        Epochs since the last improvement.
    samples : int
        Rows seen.
    """

    losses: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    best_loss: float = np.inf
    best_score: float = -np.inf
    waited: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Start:
    """Where training begins: parameters, and what an earlier call left, the loss of its last epoch too."""

    parameters: Parameters
    history: History = History()
    state: OptimizerState | None = None
    loss: float = np.nan


@dataclass(frozen=True)
class Fit:
    """What training gives back.

    Attributes
    ----------
    parameters : Parameters
    history : History
    state : OptimizerState or None
        None for L-BFGS.
    n_iter : int
        Epochs, or iterations of L-BFGS, of this call.
    loss : float
        Of the last epoch.
    reason : str
        Why training ended: "max_iter", "plateau", "callback", "interrupt", "diverged", "converged".
    """

    parameters: Parameters
    history: History
    state: OptimizerState | None
    n_iter: int
    loss: float | None
    reason: str
