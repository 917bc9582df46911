"""Ensembles of networks that differ in what chance gives them: ``n_members`` of an estimator.

Each draws its own weights and order of the rows, and with ``early_stopping`` holds out its own rows (Lakshminarayanan,
Pritzel & Blundell, "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017). They train at once, a
network a core, none waiting for another, on the same rows in memory; the last one that is left has all cores.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from sklearn.utils import check_random_state

from jitmlp.engine.group import current
from jitmlp.engine.threads import available_threads
from jitmlp.estimators.chunked import are_chunks
from jitmlp.estimators.solvers import is_stochastic
from jitmlp.model.messages import warn_user
from jitmlp.training.callbacks import OneOfSeveral

# What all members have found alike, and the estimator of them has too
ALIKE = ("classes_", "_label_binarizer", "n_features_in_", "feature_names_in_", "encoder_", "n_outputs_", "n_layers_",
         "out_activation_", "precision_")  # fmt: skip
OF_A_FIT = (
    "_label_binarizer",
    "_state",
    "_packed",
    "_workspace",
    "_normalize",
    "_random_state",
    "_no_improvement_count",
)


def fit_members(estimator: Any, method: str, X: Any, *given: Any, **more: Any) -> Any:
    """Fit all members with their method of this name, and put them on the estimator once all are whole.

    Raises
    ------
    ValueError
        In a group of processes, with callbacks, and where what was fitted before has other members.
    """
    if not current().is_alone:
        raise ValueError("n_members > 1 trains alone: use n_members=1 in data_parallel")
    if estimator.callback is not None:
        raise ValueError("callback is called for one network: n_members > 1 has no use for it")
    members = _members(estimator, goes_on=method == "partial_fit" or bool(estimator.warm_start))
    total = available_threads(estimator.n_threads)
    at_once = 1 if are_chunks(X) else min(len(members), total)  # the user's function may not be one for several threads
    share = max(1, total // at_once)
    stop, lock, left = threading.Event(), threading.Lock(), len(members)

    def train(number: int) -> None:
        nonlocal left
        member = members[number]
        # L-BFGS asks nobody between its steps
        member.set_params(n_threads=total if is_stochastic(estimator.solver) else share)
        try:
            with member._accompanied(OneOfSeveral(stop, lambda: share if left > 1 else total)):
                getattr(member, method)(X, *given, **more)
        finally:
            member.set_params(n_threads=estimator.n_threads)
        with lock:
            left -= 1
            if estimator.verbose:
                print(f"Member {number + 1} of {len(members)}, {member.n_iter_} iterations, loss = {member.loss_:.8f}")

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(train, number) for number in range(len(members))]
        try:
            wait_for(futures)
        except KeyboardInterrupt:  # as of one network: each ends its epoch, and what they have learned is kept
            stop.set()
            warn_user("Training interrupted by user.")
            wait_for(futures)
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    _store(estimator, members)
    return estimator


def _members(estimator: Any, goes_on: bool) -> list[Any]:
    """Estimators of single networks: those that were fitted before, with today's parameters, or new ones."""
    parameters = {**estimator.get_params(deep=False), "n_members": 1, "verbose": False}
    fitted = vars(estimator).get("members_")
    if goes_on and (fitted is not None or "coefs_" in vars(estimator)):
        if fitted is None or len(fitted) != estimator.n_members:
            before = 1 if fitted is None else len(fitted)
            raise ValueError(f"n_members={estimator.n_members} cannot go on from a fit with n_members={before}")
        # copies, so that a failure leaves the estimator as it was; fitted arrays are never written to
        members = [member._draft() for member in fitted]
        for member in members:
            if "history_" in vars(member):  # which is added to in place
                member.history_ = {name: list(curve) for name, curve in member.history_.items()}
                member.loss_curve_ = member.history_["loss"]
            member.set_params(**{**parameters, "random_state": member.random_state})
        return members
    seeds = check_random_state(estimator.random_state).randint(2**31, size=estimator.n_members)
    return [type(estimator)(**{**parameters, "random_state": int(seed)}) for seed in seeds]


def wait_for(futures: list[Future]) -> list[Any]:
    """What all find, or the failure of the first that has one; the thread sleeps shortly, so that an interrupt is heard."""
    while True:
        done, working = wait(futures, timeout=0.1, return_when=FIRST_EXCEPTION)
        found = [future.result() for future in futures if future in done]
        if not working:
            return found


def _store(estimator: Any, members: list[Any]) -> None:
    parameters, first = estimator.get_params(deep=False), vars(members[0])
    for name in list(vars(estimator)):
        if name not in parameters and (name.endswith("_") or name in OF_A_FIT):
            del estimator.__dict__[name]
    estimator.__dict__.update({name: first[name] for name in ALIKE if name in first})
    estimator.members_ = members
    estimator.n_iter_ = max(member.n_iter_ for member in members)
    estimator.loss_ = sum(member.loss_ for member in members) / len(members)
