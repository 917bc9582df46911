"""``jitmlp demo``, the main job in a terminal: train on digits, report, draw, save."""

from __future__ import annotations

import argparse
import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, classification_report
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as ScikitClassifier

from jitmlp.commands.info import machine_line
from jitmlp.commands.progress import fit_with_progress
from jitmlp.estimators.classifier import MLPClassifier
from jitmlp.files.idx import load_mnist
from jitmlp_kernels.link.folder import writable_folder, write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--mnist", metavar="FOLDER", help="train on the MNIST files of this folder")
    parser.add_argument("--output", metavar="FOLDER", default="jitmlp-demo", help="for the picture and the model")
    parser.add_argument("--threads", type=int, metavar="N", help="threads, by default all")
    parser.add_argument("--no-compare", action="store_true", help="leave scikit-learn's estimator out")


def run(options: argparse.Namespace) -> int:
    """Check what can be checked beforehand, then run the demo."""
    try:
        import matplotlib  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        print(f"jitmlp demo needs {error.name}: pip install rich matplotlib", file=sys.stderr)
        return 1
    if options.threads is not None and options.threads < 1:
        print(f"jitmlp demo: --threads must be at least 1, got {options.threads}", file=sys.stderr)
        return 2
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)  # raises before an hour of training, not after
    run_demo(options.mnist, folder, options.threads, not options.no_compare)
    return 0


def _digits() -> tuple:
    """scikit-learn's embedded digits, 8 x 8 pixels, in [0, 1]."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        (X / 16).astype(np.float32), y, test_size=0.2, random_state=0, stratify=y
    )
    return X_train, y_train, X_test, y_test


def _mnist(folder: Any) -> tuple:
    X_train, y_train, X_test, y_test = load_mnist(folder)
    return X_train.astype(np.float32) / 255, y_train, X_test.astype(np.float32) / 255, y_test


def _prepare_kernels(n_threads: Any) -> float:
    """Compile or load the kernels on a toy, so that the training times are of training."""
    start = time.perf_counter()
    X = np.linspace(0, 1, 80, dtype=np.float32).reshape(40, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPClassifier((4,), max_iter=1, n_threads=n_threads).fit(X, np.arange(40) % 3)
    return time.perf_counter() - start


def _fit_scikit_learn(model: Any, X: Any, y: Any) -> tuple[float, Any]:
    """Seconds that scikit-learn's own estimator takes for the same work, and the model."""
    names = ScikitClassifier().get_params()
    parameters = {name: value for name, value in model.get_params().items() if name in names}
    reference = ScikitClassifier(**parameters)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reference.fit(X, y)
    return time.perf_counter() - start, reference


def _draw(model: Any, X: Any, y: Any, path: Any) -> None:
    """Loss curve, and a row of test digits with their predictions, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 10, height_ratios=(2.4, 1))
    axes = figure.add_subplot(grid[0, :])
    epochs = np.arange(1, len(model.loss_curve_) + 1)
    axes.plot(epochs, model.loss_curve_, label="training loss")
    axes.set(xlabel="epoch", ylabel="loss", yscale="log", title="Training")
    if model.validation_scores_:
        right = axes.twinx()
        right.plot(epochs, model.validation_scores_, color="C1", label="validation score")
        right.set_ylabel("validation score")
        axes.legend(handles=[*axes.lines, *right.lines], loc="center right")
    side = int(np.sqrt(X.shape[1]))
    predictions = model.predict(X[:10])
    for i, (image, truth, prediction) in enumerate(zip(X, y, predictions)):
        axes = figure.add_subplot(grid[1, i])
        axes.imshow(image.reshape(side, side), cmap="gray_r")
        axes.set_title(f"{prediction}", color="black" if truth == prediction else "red")
        axes.axis("off")
    figure.savefig(path, dpi=110)


def run_demo(
    mnist: Any = None, output: Any = "jitmlp-demo", n_threads: Any = None, compare: Any = True
) -> MLPClassifier:
    """Train on digits and show what came of it.

    Parameters
    ----------
    mnist : path-like, optional
        Folder of the MNIST files; scikit-learn's embedded digits by default.
    output : path-like
        Folder for the picture and the model.
    n_threads : int, optional
    compare : bool
        Whether to time scikit-learn's own estimator on the same work.

    Returns
    -------
    MLPClassifier
        The trained model.
    """
    print(machine_line(n_threads))
    if mnist is None:
        X_train, y_train, X_test, y_test = _digits()
        model = MLPClassifier((128, 64), batch_size=50, max_iter=100, early_stopping=True, tol=1e-3)
        name = "digits, 8 x 8 pixels"
    else:
        X_train, y_train, X_test, y_test = _mnist(mnist)
        model = MLPClassifier((128, 64), batch_size=200, max_iter=20, alpha=1e-4)
        name = "MNIST, 28 x 28 pixels"
    model.set_params(random_state=0, n_threads=n_threads)
    seconds = _prepare_kernels(n_threads)
    print(f"kernels ready in {seconds:.1f} s, kept in {writable_folder()}")
    print(f"data: {name}, {len(X_train)} to train, {len(X_test)} to test")

    seconds = fit_with_progress(model, X_train, y_train)
    accuracy = accuracy_score(y_test, model.predict(X_test))
    print(f"\ntest accuracy {accuracy:.4f} after {model.n_iter_} epochs\n")
    print(classification_report(y_test, model.predict(X_test), digits=4, zero_division=0))
    print(f"jitmlp        {seconds:8.2f} s")
    if compare:
        reference_seconds, reference = _fit_scikit_learn(model, X_train, y_train)
        reference_accuracy = accuracy_score(y_test, reference.predict(X_test))
        print(
            f"scikit-learn  {reference_seconds:8.2f} s for the same work "
            f"({reference.n_iter_} epochs, test accuracy {reference_accuracy:.4f}): "
            f"{reference_seconds / seconds:.1f} times as long"
        )

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    _draw(model, X_test, y_test, folder / "digits.png")
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    write_whole(folder / "model.joblib", buffer.getvalue(), private=False)
    print(f"picture: {folder / 'digits.png'}\nmodel:   {folder / 'model.joblib'} (joblib.load gives it back)")
    return model
