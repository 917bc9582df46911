"""What is inside of a network: incoming weights as images, activations and gradients of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from jitmlp.displays.base import Display

if TYPE_CHECKING:
    from typing_extensions import Self


class WeightsDisplay(Display):
    """Incoming weights of the first hidden layer's units as images.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_units)
    shape : tuple of int
        Of an image: its product is the number of features. A third number is that of colours.

    Attributes
    ----------
    images_ : list of matplotlib images

    Examples
    --------
    >>> from jitmlp import MLPClassifier, WeightsDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier((16,), tol=1e-1, random_state=0).fit(X / 16, y)
    >>> display = WeightsDisplay.from_estimator(model)
    """

    def __init__(self, weights: Any, shape: tuple[int, ...]) -> None:
        self.weights, self.shape = np.asarray(weights), tuple(np.atleast_1d(shape).tolist())
        colours = len(self.shape) == 3 and self.shape[2] in (3, 4)
        if int(np.prod(self.shape)) != len(self.weights) or not (len(self.shape) == 2 or colours):
            raise ValueError(f"shape must be that of an image of {len(self.weights)} features, got {shape!r}")

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, shape: Any = None, units: Any = 16, ax: Any = None, cmap: Any = "RdBu_r"
    ) -> Self:
        """Images of units of a fitted estimator, drawn.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
        shape : tuple of int, default=None
            Of an image; a square by default.
        units : int or sequence of int, default=16
            How many units, those with the largest norms first; or which.
        ax : array of matplotlib axes, default=None
        cmap : matplotlib colormap, default="RdBu_r"
            Of weights from minus to plus the largest.
        """
        check_is_fitted(estimator)
        weights = np.asarray(estimator.coefs_[0])
        weights = weights[: len(weights) - sum(map(len, getattr(estimator, "bins_", None) or ()))]  # of the features
        if shape is None:
            side = int(np.sqrt(len(weights)))
            if side * side != len(weights):
                raise ValueError(f"shape must be given: {len(weights)} features are no square")
            shape = side, side
        if np.ndim(units) == 0:
            if not 1 <= units <= weights.shape[1]:
                raise ValueError(f"units must lie between 1 and {weights.shape[1]}, or be a sequence, got {units!r}")
            units = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[: int(units)]
        chosen = np.asarray(units)
        return cls(weights[:, chosen if chosen.dtype == bool else chosen.astype(int)], shape).plot(ax, cmap)

    def plot(self, ax: Any = None, cmap: Any = "RdBu_r") -> Self:
        """Draw, each unit in axes of its own."""
        n = self.weights.shape[1]
        if ax is None:
            from matplotlib import pyplot

            columns = int(np.ceil(np.sqrt(n)))
            rows = -(-n // columns)
            ax = pyplot.subplots(rows, columns, squeeze=False, layout="constrained")[1]
        places = np.ravel(ax)
        if len(places) < n:
            raise ValueError(f"ax must have axes for {n} units, got {len(places)}")
        self.ax_, self.figure_, self.images_ = ax, places[0].figure, []
        limit = float(np.abs(self.weights).max()) or 1.0
        for place in places:
            place.axis("off")
        for place, unit in zip(places, self.weights.T):
            image = unit.reshape(self.shape)
            if len(self.shape) == 3:  # colours: from minus to plus the largest
                self.images_.append(place.imshow(image / (2 * limit) + 0.5))
            else:
                self.images_.append(place.imshow(image, cmap=cmap, vmin=-limit, vmax=limit))
        return self


class LayersDisplay(Display):
    """Histograms of every layer's activations and, beside the targets, of its weights' gradients.

    Units that are always 0, activations at their limits and gradients that vanish from layer to layer are seen here.

    Parameters
    ----------
    activations : list of ndarray of shape (n_samples, n_units)
        Of every layer.
    gradients : list of ndarray, default=()
        Of every layer's weights.

    Attributes
    ----------
    ax_ : ndarray of matplotlib axes of shape (1 or 2, n_layers)
    """

    def __init__(self, activations: Any, gradients: Any = ()) -> None:
        self.activations, self.gradients = list(activations), list(gradients)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, bins: int = 40) -> Self:
        """The layers of a fitted estimator on rows, drawn.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            For the gradients of the mean loss, penalties not included.
        bins : int, default=40

        Examples
        --------
        >>> from jitmlp import LayersDisplay, MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((8, 8), tol=1e-1, random_state=0).fit(X, y)
        >>> display = LayersDisplay.from_estimator(model, X, y)
        """
        check_is_fitted(estimator)
        rows, network = estimator._checked_rows(X), estimator.network_
        gradients = []
        if y is not None:
            draft = estimator._draft()
            _, y, task = estimator._validate_input(draft, X, y, True, False)  # raises for classes that are not known
            gradients = network.gradients(rows, task.encode(y))[0]
        return cls(network.activations(rows)[1:], gradients).plot(bins=bins)

    def plot(self, ax: Any = None, bins: int = 40) -> Self:
        """Draw: a column a layer, activations above gradients."""
        n, rows = len(self.activations), 2 if self.gradients else 1
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots(rows, n, squeeze=False, figsize=(2.6 * n, 2.2 * rows), layout="constrained")[1]
        self.ax_ = np.reshape(ax, (rows, n))
        self.figure_ = self.ax_[0, 0].figure
        for l, values in enumerate(self.activations):
            name = "output" if l == n - 1 else f"hidden {l + 1}"
            self.ax_[0, l].hist(np.ravel(values), bins=bins, color="C0")
            idle = f", {np.mean(np.all(values == 0, axis=0)):.0%} of units idle" if l < n - 1 else ""
            self.ax_[0, l].set(title=f"{name}{idle}", xlabel="activation")
        for l, values in enumerate(self.gradients):
            self.ax_[1, l].hist(np.ravel(values), bins=bins, color="C1")
            norm = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
            self.ax_[1, l].set(title=f"root mean square {norm:.2g}", xlabel="gradient")
        for place in self.ax_.ravel():
            place.set_yscale("log")
            place.title.set_fontsize("medium")
        return self
