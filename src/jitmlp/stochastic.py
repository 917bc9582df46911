"""Fitting an estimator epoch by epoch, as scikit-learn does.

The order of what is drawn, compared, printed and warned of is scikit-learn's, so that
the same seed gives the same model.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from jitmlp.network import Network
from jitmlp.options import constraints_of, optimizer_of
from jitmlp.schedules import LearningRate
from jitmlp.threads import available_threads
from jitmlp.trainer import Trainer


def mini_batch_size(model, n_samples: int) -> int:
    """The mini-batch size that an estimator asks for, clipped to the samples."""
    return min(200 if model.batch_size == "auto" else int(model.batch_size), n_samples)


def _make_trainer(model, batch_size, incremental):
    """A trainer with the estimator's parameters, continuing ``partial_fit``'s if there is one."""
    optimizer, hyperparameters = optimizer_of(model)
    schedule = model.learning_rate
    if model.solver == "adam" and schedule in ("invscaling", "adaptive"):
        schedule = "constant"  # as in scikit-learn, where these belong to sgd
    rate = LearningRate(
        schedule, model.learning_rate_init, dict(model.learning_rate_params or {}), model.power_t
    )
    constraints = constraints_of(model)
    network = Network(
        model._spec,
        batch_size,
        available_threads(model.n_threads),
        optimizer,
        accumulate=constraints.clip_norm < np.inf,
    )
    network.pack(model.coefs_, model.intercepts_)
    network.pack_normalization(model.batch_norm_)
    # drawn only where it is needed: scikit-learn draws nothing here
    seed = int(model._random_state.randint(2**31)) if any(model._spec.dropout) else 0
    trainer = Trainer(network, rate, hyperparameters, constraints, seed)
    if incremental and getattr(model, "_optimizer_state", None) is not None:
        trainer.restore(model._optimizer_state)
    return trainer


def _split(model, source, y):
    """Rows to train on and, with early stopping, rows to hold out."""
    rows = np.arange(source.n_samples)
    if not model.early_stopping:
        return rows, None
    training, held_out = train_test_split(
        rows,
        random_state=model._random_state,
        test_size=model.validation_fraction,
        stratify=model._stratify(y),
    )
    if len(held_out) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    return training, held_out


def fit_stochastic(model, source, y, sample_weight, incremental) -> None:
    """Run epochs until convergence, ``max_iter``, the callback's word or an interrupt."""
    rows, held_out = _split(model, source, y)
    n_samples = len(rows)
    if model.batch_size != "auto" and model.batch_size > n_samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    batch_size = mini_batch_size(model, n_samples)
    trainer = _make_trainer(model, batch_size, incremental)
    model.n_iter_ = 0
    try:
        for _ in range(model.max_iter):
            if model.shuffle:
                drawn = np.arange(n_samples)
                model._random_state.shuffle(drawn)
                rows = rows[drawn]
            model.loss_ = trainer.run_epoch(source, rows, batch_size, model.max_iter)
            model.n_iter_ += 1
            model.t_ += n_samples
            model.loss_curve_.append(model.loss_)
            if model.verbose:
                print(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
            if model.early_stopping:
                _note_score(model, trainer, source, held_out, y, sample_weight)
            else:
                _note_loss(model, trainer)
            trainer.learning_rate.end_epoch(model.t_, model.loss_)
            if _stops(model, trainer) or incremental:
                break
            if model.n_iter_ == model.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({model.max_iter}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.")
    if model.early_stopping or model.restore_best:
        model.coefs_, model.intercepts_, model.batch_norm_ = model._best
    else:
        _take_parameters(model, trainer)
    model._optimizer_state = trainer.state() if incremental else None


def _parameters(trainer):
    """Copies of coefficients, intercepts and normalization as they are now."""
    return (*trainer.network.unpack(), trainer.network.unpack_normalization())


def _take_parameters(model, trainer):
    model.coefs_, model.intercepts_, model.batch_norm_ = _parameters(trainer)


def _note_loss(model, trainer):
    """Count the epochs without a gain in the training loss."""
    worse = model.loss_ > model.best_loss_ - model.tol
    model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
    if model.loss_ < model.best_loss_:
        model.best_loss_ = model.loss_
        if model.restore_best:
            model._best = _parameters(trainer)


def _note_score(model, trainer, source, held_out, y, sample_weight):
    """Score the held-out rows, count the epochs without a gain and keep the best parameters."""
    weight = None if sample_weight is None else sample_weight[held_out]
    score = model._validation_score(trainer.network, source, held_out, y, weight)
    model.validation_scores_.append(score)
    if model.verbose:
        print(f"Validation score: {score:f}")
    worse = score < model.best_validation_score_ + model.tol
    model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
    if score > model.best_validation_score_:
        model.best_validation_score_ = score
        model._best = _parameters(trainer)


def _stops(model, trainer):
    """Whether training ends here, by plateau or by the callback's word."""
    stops = False
    if model.callback is not None:
        _take_parameters(model, trainer)
        stops = bool(model.callback(model))
    if model._no_improvement_count > model.n_iter_no_change:
        what = "Validation score" if model.early_stopping else "Training loss"
        message = (
            f"{what} did not improve more than tol={model.tol:f} for "
            f"{model.n_iter_no_change:d} consecutive epochs."
        )
        if trainer.learning_rate.stop_at_plateau(message, model.verbose):
            return True
        model._no_improvement_count = 0
    return stops
