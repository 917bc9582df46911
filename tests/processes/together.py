"""What every process of a test does; run by mpiexec. Rank 0 writes what was found as JSON to the path given."""

import io
import json
import os
import sys
import warnings
from contextlib import redirect_stdout

import numpy as np
from mpi4py import MPI
from scipy import sparse

import jitmlp
from jitmlp import Checkpoint, LearningRateFinder, MLPClassifier, MLPRegressor, TabularClassifier, WeightAverage
from jitmlp.distributed import OtherProcessError, data_parallel
from jitmlp.engine.group import Shares
from jitmlp.engine.threads import available_threads

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.rank, COMM.size
N, BATCH = 240, 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 12))
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
WEIGHTS = RNG.random(N) + 0.1
SHARDS = np.arange(N).reshape(SIZE, -1)
MINE = SHARDS[RANK]
# the same mini-batches in one process: each made of the parts of all shards
PART = BATCH // SIZE
UNION = np.concatenate([SHARDS[:, k : k + PART].ravel() for k in range(0, N // SIZE, PART)])
BASE = dict(hidden_layer_sizes=(16, 8), shuffle=False, batch_size=BATCH, max_iter=5, random_state=0, tol=0.0,
            n_iter_no_change=100)  # fmt: skip
EQUAL = {
    "adam": {}, "momentum": dict(solver="sgd"), "penalties": dict(alpha=1.0, l1=0.01), "clipped": dict(clip_norm=0.1),
    "max-norm": dict(max_norm=0.5), "lbfgs": dict(solver="lbfgs", alpha=0.1), "standard": dict(normalize="standard"),
    "minmax": dict(normalize="minmax"), "bins": dict(numeric_bins=6, normalize="standard"), "robust": dict(normalize="robust"), "robust, clipped": dict(normalize="robust_clip", numeric_bins=6), "balanced": dict(class_weight="balanced"),
    "schedule": dict(learning_rate="cosine"), "invscaling": dict(solver="sgd", learning_rate="invscaling"),
    "layer rates": dict(layer_rates=(1.0, 0.5, 0.0)), "batch norm": dict(batch_norm=True, alpha=0.1),
    "batch norm, sgd": dict(batch_norm=True, solver="sgd", normalize="standard", activation="tanh"),
}  # fmt: skip


def difference(one, other):
    arrays = zip([*one.coefs_, *one.intercepts_, np.atleast_1d(one.loss_)],
                 [*other.coefs_, *other.intercepts_, np.atleast_1d(other.loss_)])  # fmt: skip
    return max(float(np.abs(a - b).max()) for a, b in arrays)


def same_bits(model):
    bits = COMM.allgather([a.tobytes() for a in (*model.coefs_, *model.intercepts_)])
    return all(other == bits[0] for other in bits)


def fit(estimator, X, y=None, *given, how={}, **more):  # noqa: B006
    with data_parallel(COMM, **how):
        return estimator.fit(X, y, *given, **more)


def error_of(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def equal_to_one_process():
    found = {}
    for name, parameters in EQUAL.items():
        one = MLPClassifier(**BASE | parameters).fit(X[UNION], Y[UNION], WEIGHTS[UNION])
        model = fit(MLPClassifier(**BASE | parameters), X[MINE], Y[MINE], WEIGHTS[MINE])
        found[name] = difference(model, one), same_bits(model), getattr(model, "t_", 0) == getattr(one, "t_", 0)
    rows = sparse.csr_array(np.where(RNG.random((N, 200)) < 0.05, 1.0, 0.0))
    one, model = MLPRegressor(**BASE).fit(rows[UNION], X[UNION, 0]), fit(MLPRegressor(**BASE), rows[MINE], X[MINE, 0])
    found["sparse rows"] = difference(model, one), same_bits(model), True
    table, options = np.column_stack([X, np.arange(N) // SIZE % 3]), dict(categorical_features=[-1], embedding_dim=4)
    one = MLPClassifier(**BASE | options).fit(table[UNION], Y[UNION])
    model = fit(MLPClassifier(**BASE | options), table[MINE], Y[MINE])
    found["embeddings"] = difference(model, one), same_bits(model), model.embeddings_[0].shape == (3, 4)

    def chunks():
        for first in range(0, len(MINE), 7):
            yield X[MINE[first : first + 7]], Y[MINE[first : first + 7]]

    for name, parameters in (
        ("chunks", {}), ("chunks, balanced, standard", dict(class_weight="balanced", normalize="standard")),
        ("chunks, minmax", dict(normalize="minmax")),
    ):  # fmt: skip
        one = MLPClassifier(**BASE | parameters).fit(X[UNION], Y[UNION])
        model = fit(MLPClassifier(**BASE | parameters), chunks)
        found[name] = difference(model, one), same_bits(model), model.classes_.tolist() == [0, 1, 2]
    stopped = dict(tol=1e-2, n_iter_no_change=2, max_iter=60, scoring="loss", early_stopping=True)
    own = dict(X_val=X, y_val=Y, sample_weight_val=WEIGHTS)
    one = MLPClassifier(**BASE | stopped).fit(X[UNION], Y[UNION], **own)
    model = fit(MLPClassifier(**BASE | stopped), X[MINE], Y[MINE], **{name: rows[MINE] for name, rows in own.items()})
    same_course = model.n_iter_ == one.n_iter_ < 60 and np.allclose(
        model.validation_loss_curve_, one.validation_loss_curve_, rtol=1e-9
    )
    found["early stopping"] = difference(model, one), same_bits(model), bool(same_course)
    held = np.arange(N)[RANK * (RANK + 1) * 4 :][: 8 * (RANK + 1)]  # shares of 8, 16, 24 ... rows
    model = fit(MLPClassifier(scoring="accuracy", **BASE), X[MINE], Y[MINE], X_val=X[held], y_val=Y[held])
    everything = np.concatenate(COMM.allgather(held))
    found["scorer"] = abs(model.validation_scores_[-1] - model.score(X[everything], Y[everything])), True, True
    same_rows = dict(dropout=0.5, alpha=0.0, batch_size=BATCH * SIZE)
    one = MLPClassifier(**BASE | same_rows | dict(batch_size=BATCH)).fit(X, Y)
    found["masks"] = 0.0, True, (difference(fit(MLPClassifier(**BASE | same_rows), X, Y), one) > 1e-3) == (SIZE > 1)
    found["one fit alone"] = difference(MLPClassifier(**BASE).fit(X, Y), MLPClassifier(**BASE).fit(X, Y)), True, True
    return found


def unequal_shares():
    """Uneven shards, one with hardly a row, classes that a process has not seen, dropout, float32, seeds of nobody."""
    first = 3 if SIZE > 1 else N
    mine = np.arange(first) if RANK == 0 else np.arange(first, N)[RANK - 1 :: SIZE - 1]
    labels = np.array(["a", "b", "c"])[Y]
    if SIZE > 1:
        mine = mine[labels[mine] != "c"] if RANK == 2 else mine
    found = {}
    for name, parameters in {
        "float32": dict(dtype="float32"), "bfloat16": dict(precision="bfloat16"), "dropout": dict(dropout=0.3), "no seed": dict(random_state=None),
        "small batches": dict(batch_size=SIZE), "shuffled": dict(shuffle=True), "batch norm": dict(batch_norm=True),
        "scorer": dict(
            scoring="neg_log_loss" if RANK < 0 else "accuracy", early_stopping=True, validation_fraction=0.4, batch_size=50),
    }.items():  # fmt: skip
        warnings.simplefilter("ignore")
        used = mine if name != "scorer" else MINE
        model = fit(MLPClassifier(**BASE | parameters), X[used], labels[used])
        curves = COMM.allgather((model.loss_curve_, model.validation_scores_))
        found[name] = same_bits(model), model.classes_.tolist(), all(c == curves[0] for c in curves), model.loss_
    return found


def less_traffic():
    """Rounded gradients, and averages of weights: the same bits everywhere, near the network of exact sums, fewer bytes."""
    exact = MLPClassifier(**BASE).fit(X[UNION], Y[UNION])
    mine = MINE if RANK else MINE[:-5]  # no rows left in the last steps
    found = {}
    for name, how, parameters in (
        ("rounded", dict(precision="bfloat16"), {}), ("averaged", dict(every=4), {}),
        ("averaged, frozen", dict(every=3), dict(layer_rates=(0.0, 1.0, 1.0))),
        ("both", dict(every=4, precision="bfloat16"), dict(batch_norm=True, solver="momentum")),
        ("rounded, lbfgs", dict(precision="bfloat16"), dict(solver="lbfgs")), ("lbfgs", {}, dict(solver="lbfgs")),
        ("every step", dict(every=1), {}),
    ):  # fmt: skip
        with data_parallel(COMM, **how) as group:
            rows = mine if "averaged" in name else MINE
            model = MLPClassifier(**BASE | parameters).fit(X[rows], Y[rows])
        start = MLPClassifier(**BASE | parameters | dict(max_iter=1, learning_rate_init=1e-12)).fit(X, Y)
        frozen = np.abs(model.coefs_[0] - start.coefs_[0]).max() < 1e-9
        found[name] = same_bits(model), difference(model, exact), group.bytes, model.loss_, bool(frozen)
    found["diverges"] = COMM.allgather(error_of(lambda: fit(
        MLPRegressor(**BASE | dict(solver="sgd", learning_rate_init=1e9)), X[MINE], X[MINE, 0], how=dict(every=5))))  # fmt: skip
    wrong = [dict(every=0), dict(every=1.5), dict(precision="float16"), dict(every=1 + (RANK == SIZE - 1))]
    found["refused"] = [
        COMM.allgather(error_of(lambda how=how: fit(MLPClassifier(**BASE), X[MINE], Y[MINE], how=how))) for how in wrong
    ]
    return found


def errors():
    """What every process hears, and no process waits."""
    odd, last = X[MINE].copy(), RANK == SIZE - 1
    if last:
        odd[5, 5] = np.nan
    called = []

    def stop_in_third(model):
        called.append(RANK)
        return model.n_iter_ == 3

    def fails(model):
        raise OSError("the disk is full")

    stopped = fit(MLPClassifier(callback=stop_in_third, **BASE), X[MINE], Y[MINE])
    suggested = fit(MLPClassifier(callback=LearningRateFinder(steps=20), **BASE), X[MINE], Y[MINE])
    printed = []
    for solver in ("adam", "lbfgs"):
        with redirect_stdout(io.StringIO()) as out:
            fit(MLPClassifier(verbose=True, **BASE | dict(solver=solver)), X[MINE], Y[MINE])
        printed.append([text.count("Iteration") > 0 for text in COMM.allgather(out.getvalue())])
    averaged = fit(MLPClassifier(callback=WeightAverage(start=0), **BASE), X[MINE], Y[MINE])
    cases = {
        "NaN": lambda: fit(MLPClassifier(**BASE), odd, Y[MINE]),
        "columns": lambda: fit(MLPClassifier(**BASE), X[MINE][:, : 12 - last], Y[MINE]),
        "parameters": lambda: fit(MLPClassifier(**BASE | {"alpha": float(last)}), X[MINE], Y[MINE]),
        "chunks": lambda: fit(MLPClassifier(**BASE), *((lambda: iter([(X, Y)]),) if last else (X[MINE], Y[MINE]))),
        "callback": lambda: fit(MLPClassifier(callback=fails, **BASE), X[MINE], Y[MINE]),
        "diverged": lambda: fit(MLPRegressor(**BASE | dict(solver="sgd", learning_rate_init=1e9)), X[MINE], X[MINE, 0]),
        "X_val": lambda: fit(MLPClassifier(**BASE), X[MINE], Y[MINE], **({} if last else dict(X_val=X, y_val=Y))),
    }
    found = {name: COMM.allgather(error_of(call)) for name, call in cases.items()}
    with data_parallel(COMM):
        found["tables"] = COMM.allgather(error_of(lambda: TabularClassifier().fit(X, Y)))
        found["partial_fit"] = COMM.allgather(error_of(lambda: MLPRegressor().partial_fit(X, X[:, 0])))
    found["after errors"] = [same_bits(fit(MLPClassifier(**BASE), X[MINE], Y[MINE]))]
    found["stopped"] = [stopped.n_iter_, stopped.stopped_by_, COMM.allgather(called)]
    found["suggested"] = [same_bits(suggested), difference(suggested, averaged) > 1e-3]
    found["printed"] = printed
    found["averaged"] = [same_bits(averaged), difference(averaged, fit(MLPClassifier(**BASE), X[MINE], Y[MINE])) > 1e-3]
    assert OtherProcessError
    return found


def checkpoint(path):
    """Written by rank 0, gone on from by any number of processes."""
    if SIZE == 2:
        fit(MLPClassifier(callback=Checkpoint(path), warm_start="continue", **BASE), X[MINE], Y[MINE])
    COMM.Barrier()
    model = jitmlp.load(path)
    model.set_params(warm_start="continue", max_iter=4)
    before = model.loss_
    fit(model, X[MINE], Y[MINE])
    return [before, model.loss_, same_bits(model), len(model.loss_curve_)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    out, kept = sys.argv[1:]
    with data_parallel(COMM) as group:
        assert group.threads == max(1, len(os.sched_getaffinity(0)) // SIZE)
        sizes = [Shares(group, 100 * (RANK + 1), batch) for batch in (1, 24, 10_000)]
        shares = [[COMM.allgather(s.batch_size), s.n_steps, s.n_all] for s in sizes]
        MLPClassifier(**BASE | dict(max_iter=1)).fit(X[MINE], Y[MINE])
        handed = group.bytes
        assert available_threads() <= group.threads and available_threads(2) == min(2, available_threads(-1))
        different = COMM.allgather(error_of(lambda: group.check_same("weights", np.full(3, float(RANK)))))
        assert all(("the processes have different weights" in error) == (SIZE > 1) for error in different)
        compared: list = []
        group.check_same = lambda what, array: compared.append(array.size)
        MLPClassifier(**BASE | dict(max_iter=3)).fit(X[MINE], Y[MINE])
        assert len(compared) == 3 and min(compared) > 12 * 16  # after every epoch
    found = {
        "shares": shares,
        "bytes": handed,
        "equal": equal_to_one_process(),
        "unequal": unequal_shares(),
        "errors": errors(),
        "traffic": less_traffic(),
        "checkpoint": checkpoint(kept),
    }
    if RANK == 0:
        with open(out, "w") as file:
            json.dump(found, file)
