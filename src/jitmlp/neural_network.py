"""A network in the hand: explicit weights in, every layer's numbers out.

The same kernels that train the estimators, for teaching, debugging and experiments.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_array

from jitmlp.data import Source
from jitmlp.network import MAX_BLOCK_ROWS, Network
from jitmlp.options import hidden_activations, output_activation
from jitmlp.spec import Constraints, NetworkSpec
from jitmlp.validation import readable
from jitmlp_kernels.losses import CODES, LOSSES
from jitmlp_kernels.optimizers import OPTIMIZERS, coefficient_table


class NeuralNetwork:
    """A multilayer perceptron built from explicit weights.

    Parameters
    ----------
    coefs : list of array-like of shape (fan_in, fan_out)
        Weights of each layer; at least one.
    intercepts : list of array-like of shape (fan_out,)
        Intercepts of each layer.
    activation : name, Activation or tuple, default='logistic'
        Of the hidden layers.
    out_activation : str, default='logistic'
        Of the output layer; ``'softmax'`` too.
    loss : str, default='squared_error'
        A name of the table of losses.
    loss_parameter : float, default=None
        Of ``huber`` and ``quantile``.
    dtype : {'float32', 'float64'}, default='float64'

    Raises
    ------
    ValueError
        If shapes do not fit together, or a name is unknown.

    Examples
    --------
    The exclusive or, with the weights of the lecture:

    >>> import numpy as np
    >>> from jitmlp import NeuralNetwork
    >>> xor = NeuralNetwork([[[-6, 6], [6, -6]], [[-8], [-8]]], [[3, 3], [12]])
    >>> xor.forward([[0, 0], [1, 0], [0, 1], [1, 1]]).ravel().round(4)
    array([0.0376, 0.974 , 0.974 , 0.0376])
    """

    def __init__(
        self,
        coefs,
        intercepts,
        activation="logistic",
        out_activation="logistic",
        loss="squared_error",
        *,
        loss_parameter=None,
        dtype="float64",
        _shift=None,
        _scale=None,
    ):
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {dtype}")
        coefs = [np.asarray(coef, dtype) for coef in coefs]
        intercepts = [np.asarray(intercept, dtype) for intercept in intercepts]
        if not coefs or len(coefs) != len(intercepts):
            raise ValueError(
                f"coefs and intercepts must have one array a layer, got {len(coefs)} and {len(intercepts)}"
            )
        for i, (coef, intercept) in enumerate(zip(coefs, intercepts)):
            fan_in = coefs[i - 1].shape[-1] if i else coef.shape[0]
            if coef.ndim != 2 or coef.shape[0] != fan_in or intercept.shape != coef.shape[1:]:
                raise ValueError(
                    f"layer {i}: coefs must have shape ({fan_in}, fan_out) and intercepts (fan_out,), "
                    f"got {coef.shape} and {intercept.shape}"
                )
        if loss not in CODES:
            raise ValueError(f"loss must be one of {sorted(CODES)}, got {loss!r}")
        row = LOSSES[CODES[loss]]
        self._spec = NetworkSpec(
            (coefs[0].shape[0], *(coef.shape[1] for coef in coefs)),
            (*hidden_activations(activation, len(coefs) - 1), output_activation(out_activation)),
            loss,
            dtype,
            row.default if loss_parameter is None else float(loss_parameter),
            shift=_shift,
            scale=_scale,
        )
        self._network = Network(self._spec, MAX_BLOCK_ROWS, 1, "gradient", keep_preactivations=True)
        self._network.pack(coefs, intercepts)
        self._stepper, self._steps = None, 0

    @property
    def coefs(self):
        """Copies of the weights of each layer."""
        return self._network.unpack()[0]

    @property
    def intercepts(self):
        """Copies of the intercepts of each layer."""
        return self._network.unpack()[1]

    @property
    def layer_units(self):
        """Units of each layer, inputs first."""
        return self._spec.layer_units

    def forward(self, X):
        """Outputs of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        return self._network.predict(Source(self._rows(X)))

    def preactivations(self, X):
        """What enters the activation of each layer: ``a @ W + b``.

        Returns
        -------
        list of ndarray of shape (n_samples, fan_out)
        """
        return self._trace("preactivations", X)

    def activations(self, X):
        """The inputs as the network sees them, and the activations of each layer.

        Returns
        -------
        list of ndarray
            Of shapes (n_samples, n_features) and (n_samples, fan_out).
        """
        X = self._rows(X)
        inputs = X.toarray() if hasattr(X, "toarray") else X
        inputs = inputs.astype(self._spec.dtype)
        if self._spec.shift is not None:
            inputs = (inputs - self._spec.shift) * self._spec.scale
        return [inputs, *self._trace("outputs", X)]

    def deltas(self, X, y):
        """Gradient of each row's own loss with respect to the preactivations of each layer.

        Returns
        -------
        list of ndarray of shape (n_samples, fan_out)
        """
        return self._trace("deltas", X, y)

    def loss(self, X, y, sample_weight=None, alpha=0.0):
        """Mean loss of the rows, L2 penalty included.

        ``squared_error`` is the mean over outputs too, as scikit-learn reports it, while
        gradients are of the sum.
        """
        return self._gradient_step(X, y, sample_weight, alpha)[0]

    def gradients(self, X, y, sample_weight=None, alpha=0.0):
        """Gradients of the mean loss with respect to the parameters, by backpropagation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; class numbers of shape (n_samples,) with several outputs.
        sample_weight : array-like of shape (n_samples,), default=None
        alpha : float, default=0.0
            L2 penalty.

        Returns
        -------
        coef_gradients, intercept_gradients : list of ndarray
        """
        return self._gradient_step(X, y, sample_weight, alpha)[1].unpack(slot=1)

    def step(
        self,
        X,
        y,
        *,
        solver="gradient_descent",
        learning_rate=0.1,
        alpha=0.0,
        sample_weight=None,
        **solver_params,
    ):
        """One optimizer step on the rows given, as one mini-batch; the parameters change.

        The optimizer's state is kept from step to step while ``solver`` stays the same.

        Parameters
        ----------
        solver : str, default='gradient_descent'
            A name of the table of optimizers.
        learning_rate, alpha : float
        **solver_params
            Hyperparameters of the solver.

        Returns
        -------
        float
            The loss before the step.
        """
        names = [row.name for row in OPTIMIZERS]
        if solver not in names:
            raise ValueError(f"solver must be one of {names}, got {solver!r}")
        source = self._source(X, y, sample_weight)
        n = source.n_samples
        if self._stepper is None or self._stepper.optimizer != solver or len(self._stepper.row_loss) < n:
            state = [] if self._stepper is None or self._stepper.optimizer != solver else self._slots()
            self._steps = self._steps if state else 0
            self._stepper = Network(self._spec, n, 1, solver)
            for number, slot in enumerate(state):
                self._stepper.pack(*slot, slot=number + 1)
        self._stepper.pack(*self._network.unpack())
        self._steps += 1
        table = coefficient_table(
            solver, np.full(1, float(learning_rate)), np.full(1, float(self._steps)), solver_params
        )
        loss = self._stepper.train(source, np.arange(n), n, table, Constraints(alpha)) / n
        self._network.pack(*self._stepper.unpack())
        return loss

    def _slots(self):
        return [self._stepper.unpack(slot + 1) for slot in range(len(self._stepper.slots))]

    def _rows(self, X):
        X = check_array(X, accept_sparse="csr")
        if X.shape[1] != self.layer_units[0]:
            raise ValueError(f"X must have {self.layer_units[0]} features, got {X.shape[1]}")
        return readable(X)

    def _source(self, X, y, sample_weight=None):
        X = self._rows(X)
        if y is None:
            return Source(X, None, sample_weight)
        y, outputs = np.asarray(y), self.layer_units[-1]
        if y.ndim == 1 and outputs > 1:
            if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= outputs:
                raise ValueError(f"y of shape (n_samples,) must be class numbers from 0 to {outputs - 1}")
        else:
            y = y.reshape(len(y), -1).astype(np.float64)
            if y.shape[1] != outputs:
                raise ValueError(f"y must have {outputs} columns, got {y.shape[1]}")
        if len(y) != X.shape[0]:
            raise ValueError(f"X and y must have as many rows, got {X.shape[0]} and {len(y)}")
        return Source(X, y, sample_weight)

    def _gradient_step(self, X, y, sample_weight, alpha):
        source = self._source(X, y, sample_weight)
        n = source.n_samples
        network = Network(self._spec, n, 1, "gradient")
        network.pack(*self._network.unpack())
        table = coefficient_table("gradient", np.ones(1), np.ones(1), {})
        return network.train(source, np.arange(n), n, table, Constraints(alpha)) / n, network

    def _trace(self, field, X, y=None):
        """Copies of one of the layers' buffers after a pass over all rows."""
        source, network = self._source(X, y), self._network
        table = coefficient_table("gradient", np.ones(1), np.ones(1), {})
        parts = []
        for start in range(0, source.n_samples, MAX_BLOCK_ROWS):
            order = np.arange(start, min(start + MAX_BLOCK_ROWS, source.n_samples))
            network.train(source, order, len(order), table, Constraints())
            parts.append([network.buffer(l, field, len(order)).copy() for l in range(network.n_layers)])
        return [np.concatenate(layer) for layer in zip(*parts)]
