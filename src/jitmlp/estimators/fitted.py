"""What a fit leaves on an estimator: the only place that writes fitted attributes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitmlp.estimators.prediction import Prediction
from jitmlp.estimators.problem import Problem
from jitmlp.estimators.solvers import is_stochastic
from jitmlp.training.recipe import Fit, History

VALIDATION = ("validation_scores_", "validation_loss_curve_", "best_validation_score_")


class FittedAttributes(Prediction):
    """The side of an estimator that keeps what training has found."""

    @contextmanager
    def _showing(self, problem: Problem, fit: Fit) -> Iterator[None]:
        """Show a fit on the estimator for a while, and put back what was there before."""
        parameters = self.get_params(deep=False)
        before = {name: value for name, value in vars(self).items() if name not in parameters}
        self._store(problem, fit, for_a_while=True)
        try:
            yield
        finally:
            for name in [name for name in vars(self) if name not in parameters]:
                del self.__dict__[name]
            self.__dict__.update(before)

    def _curves(self, problem: Problem, history: History, for_a_while: bool) -> dict[str, list]:
        """``history_`` with the epochs of a call: behind those of the fit it goes on from, as in scikit-learn."""
        past: dict[str, Any] = {}
        if not problem.first:
            past = {**getattr(self, "history_", {}), "loss": getattr(self, "loss_curve_", None)}
        found = {
            "loss": history.losses,
            "validation_loss": history.validation_losses,
            "validation_score": history.scores,
            "learning_rate": history.rates,
            "seconds": history.seconds,
        }
        curves = {}
        n_before = len(past.get("loss") or ())
        for name, new in found.items():
            curve = past.get(name)
            if not (new or curve) and name not in ("loss", "learning_rate", "seconds"):
                continue  # nothing was held out, in no epoch
            if for_a_while or not isinstance(curve, list):
                curve = list(curve or [np.nan] * n_before)
            # in place: a call takes no longer for those before it; an interrupted epoch may lack a score
            curve.extend([*new, *[np.nan] * (len(history.losses) - len(new))])
            curves[name] = curve
        return curves

    def _store(self, problem: Problem, fit: Fit, for_a_while: bool = False) -> None:
        """Put a fit on the estimator: the only place that writes fitted attributes."""
        model, history, early = problem.model, fit.history, bool(self.early_stopping)
        scaling, parameters = model.scaling, fit.parameters.frozen()
        fitted = {
            **problem.attributes,
            "coefs_": list(parameters.multiplied(model.embedding).frozen().weights),
            "intercepts_": list(parameters.biases),
            "batch_norm_": [[n.gamma, n.beta, n.mean, n.variance] for n in parameters.batch_norms if n],
            "embeddings_": list(parameters.embeddings) if model.embedding else None,
            "embedding_coefs_": parameters.weights[0] if model.embedding else None,
            "input_shift_": None if scaling is None else scaling.shift,
            "input_scale_": None if scaling is None else scaling.scale,
            "bins_": None if model.bins is None else list(model.bins.edges),
            "n_iter_": fit.n_iter,
            "t_": history.samples,
            "loss_": fit.loss,
            "n_outputs_": model.n_outputs,
            "n_layers_": len(model.layer_units),
            "out_activation_": model.layers[-1].activation.name,
            "stopped_by_": fit.reason,
            "precision_": "bfloat16" if model.bfloat16 else model.dtype.name,
            "_normalize": self.normalize,
            "_random_state": problem.random_state,
            "_state": fit.state,
            "_packed": [],
        }
        if is_stochastic(self.solver):
            fitted["history_"] = curves = self._curves(problem, history, for_a_while)
            fitted["loss_curve_"] = curves["loss"]
            fitted["_no_improvement_count"] = history.waited
            watched = bool(history.scores)
            fitted["validation_scores_"] = curves["validation_score"] if watched else None
            fitted["validation_loss_curve_"] = curves["validation_loss"] if watched else None
            fitted["best_validation_score_"] = history.best_score if watched else None
            fitted["best_loss_"] = None if early else history.best_loss
        else:
            for name in ("loss_curve_", "history_", *VALIDATION, "best_loss_"):
                self.__dict__.pop(name, None)
        if problem.first and "feature_names_in_" not in problem.attributes:
            self.__dict__.pop("feature_names_in_", None)
        self.__dict__.pop("members_", None)
        self.__dict__.update(fitted)
