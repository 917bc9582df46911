"""A network in the hand: explicit weights in, every layer's numbers out.

The same kernels that train the estimators, for teaching, debugging and experiments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from jitmlp.engine.constraints import Constraints
from jitmlp.engine.data import Data
from jitmlp.engine.layout import MAX_BLOCK_ROWS
from jitmlp.engine.workspace import Workspace
from jitmlp.model.choices import Loss, checked_values, nearest
from jitmlp.model.layers import hidden_layers, output_layer
from jitmlp.model.model import Model
from jitmlp.model.parameters import Parameters, check_shapes
from jitmlp.model.summary import activation_name, as_html, in_words
from jitmlp_kernels.rules.losses import BY_NAME as LOSSES
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZERS
from jitmlp_kernels.rules.optimizers import GRADIENT


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
        coefs: Any,
        intercepts: Any,
        activation: Any = "logistic",
        out_activation: Any = "logistic",
        loss: Any = "squared_error",
        *,
        loss_parameter: Any = None,
        dtype: Any = "float64",
    ) -> None:
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {dtype}")
        coefs = [np.asarray(coef, dtype) for coef in coefs]
        intercepts = [np.asarray(intercept, dtype) for intercept in intercepts]
        check_shapes(coefs, intercepts)
        if isinstance(loss, Loss):
            rule, default = loss.rule, loss.parameter or 0.0
        elif loss in LOSSES:
            rule, default = LOSSES[loss], LOSSES[loss].default
        else:
            raise ValueError(f"loss must be one of {sorted(LOSSES)}{nearest(loss, LOSSES)}, got {loss!r}")
        hidden, _ = hidden_layers([coef.shape[1] for coef in coefs[:-1]], activation, 0.0, False)
        model = Model(
            coefs[0].shape[0],
            (*hidden, output_layer(coefs[-1].shape[1], out_activation)),
            rule,
            dtype,
            default if loss_parameter is None else float(loss_parameter),
        )
        self._set(model, Parameters.of(coefs, intercepts))

    @classmethod
    def of(cls, model: Model, parameters: Parameters) -> NeuralNetwork:
        """The network of a model with these parameters."""
        network = cls.__new__(cls)
        network._set(model, parameters)
        return network

    def _set(self, model: Model, parameters: Any) -> None:
        self._model, self._parameters = model, parameters.map(lambda a: np.array(a, model.dtype))
        self._workspace = Workspace(model, MAX_BLOCK_ROWS, 1, GRADIENT, keep_preactivations=True)
        self._workspace.load(self._parameters)
        self._stepper: Workspace | None = None
        self._steps = 0

    @property
    def coefs(self) -> list[np.ndarray]:
        """Copies of the weights of each layer."""
        return [w.copy() for w in self._parameters.weights]

    @property
    def intercepts(self) -> list[np.ndarray]:
        """Copies of the intercepts of each layer."""
        return [b.copy() for b in self._parameters.biases]

    @property
    def layer_units(self) -> tuple[int, ...]:
        """Units of each layer, inputs first."""
        return self._model.layer_units

    def summary(self) -> str:
        """Layers, units, activations and numbers of parameters, as a table in words.

        Examples
        --------
        >>> from jitmlp import NeuralNetwork
        >>> print(NeuralNetwork([[[-6, 6], [6, -6]], [[-8], [-8]]], [[3, 3], [12]]).summary())
        layer     units  activation  parameters
        ---------------------------------------
        inputs        2                       0
        hidden 1      2  logistic             6
        output        1  logistic             3
        ---------------------------------------
        9 parameters, 72 bytes of float64, loss squared_error
        """
        return in_words(self._model)

    def __repr__(self) -> str:
        units = "-".join(map(str, self.layer_units))
        activations = ", ".join(activation_name(layer) for layer in self._model.layers)
        return f"NeuralNetwork({units}; {activations}; {self._model.dtype.name})"

    def _repr_html_(self) -> str:
        return as_html(self._model, "NeuralNetwork")

    def forward(self, X: Any) -> np.ndarray:
        """Outputs of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        return self._workspace.predict(Data(self._rows(X)))

    def preactivations(self, X: Any) -> list[np.ndarray]:
        """What enters the activation of each layer: ``a @ W + b``.

        Returns
        -------
        list of ndarray of shape (n_samples, fan_out)
        """
        return self._trace("preactivations", X)

    def activations(self, X: Any) -> list[np.ndarray]:
        """The inputs as the network sees them, and the activations of each layer.

        Returns
        -------
        list of ndarray
            Of shapes (n_samples, fan_in) and (n_samples, fan_out).
        """
        X = self._rows(X)
        inputs = X.toarray() if hasattr(X, "toarray") else X
        if self._model.scaling is not None:
            inputs = self._model.scaling.apply(inputs)
        inputs = inputs.astype(self._model.dtype)
        if self._model.bins is not None:
            inputs = self._model.bins.apply(inputs)
        return [inputs, *self._trace("outputs", X)]

    def deltas(self, X: Any, y: Any) -> list[np.ndarray]:
        """Gradient of each row's own loss with respect to the preactivations of each layer.

        Returns
        -------
        list of ndarray of shape (n_samples, fan_out)
        """
        return self._trace("deltas", X, y)

    def loss(self, X: Any, y: Any, sample_weight: Any = None, alpha: Any = 0.0) -> float:
        """Mean loss of the rows, L2 penalty included.

        ``squared_error`` is the mean over outputs too, as scikit-learn reports it, while
        gradients are of the sum.
        """
        return self._gradient_step(X, y, sample_weight, alpha)[0]

    def gradients(
        self, X: Any, y: Any, sample_weight: Any = None, alpha: Any = 0.0
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
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
        found = self._gradient_step(X, y, sample_weight, alpha)[1]
        return list(found.weights), list(found.biases)

    def step(
        self,
        X: Any,
        y: Any,
        *,
        solver: Any = "gradient_descent",
        learning_rate: Any = 0.1,
        alpha: Any = 0.0,
        sample_weight: Any = None,
        **solver_params: Any,
    ) -> float:
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
        if solver not in OPTIMIZERS:
            raise ValueError(f"solver must be one of {list(OPTIMIZERS)}{nearest(solver, OPTIMIZERS)}, got {solver!r}")
        rule = OPTIMIZERS[solver]
        for name, value in (("learning_rate", learning_rate), ("alpha", alpha)):
            if not 0 <= float(value) < np.inf:
                raise ValueError(f"{name} must be in the range [0, inf), got {value!r}")
        checked_values("solver_params", solver_params, rule.hyperparameters, f"solver={solver!r}")
        data = self._data(X, y, sample_weight)
        n = data.n_samples
        stepper = self._stepper if self._stepper is not None and self._stepper.optimizer is rule else None
        if stepper is None or stepper.rows < n:
            state = () if stepper is None else stepper.state()
            self._steps = 0 if stepper is None else self._steps
            self._stepper = stepper = Workspace(self._model, n, 1, rule)
            for number, slot in enumerate(state, 1):
                stepper.load(slot, number)
        self._steps += 1
        table = rule.table(np.full(1, float(learning_rate)), np.full(1, float(self._steps)), solver_params)
        stepper.load(self._parameters)
        loss = self._run(stepper, data, table, alpha)
        self._parameters = stepper.parameters()
        self._workspace.load(self._parameters)
        return loss

    @staticmethod
    def _run(workspace: Workspace, data: Data, table: np.ndarray, alpha: Any) -> float:
        """One step on all rows; returns the mean loss before it."""
        n = data.n_samples
        workspace.take_loss()
        workspace.train(data, np.arange(n), n, table, Constraints(alpha))
        return workspace.take_loss() / n

    def _rows(self, X: Any) -> Any:
        X = check_array(X, accept_sparse="csr")
        if X.shape[1] != self._model.n_features:
            raise ValueError(f"X must have {self._model.n_features} features, got {X.shape[1]}")
        if hasattr(X, "check_format"):
            X.check_format(full_check=True)
        return X

    def _data(self, X: Any, y: Any, sample_weight: Any = None) -> Data:
        X = self._rows(X)
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
        return Data(X, y, None if sample_weight is None else np.asarray(sample_weight, np.float64))

    def _gradient_step(self, X: Any, y: Any, sample_weight: Any, alpha: Any) -> tuple[float, Parameters]:
        data = self._data(X, y, sample_weight)
        workspace = Workspace(self._model, data.n_samples, 1, GRADIENT)
        workspace.load(self._parameters)
        loss = self._run(workspace, data, GRADIENT.table(np.ones(1), np.ones(1), {}), alpha)
        return loss, workspace.parameters(slot=1)

    def _trace(self, field: str, X: Any, y: Any = None) -> list[np.ndarray]:
        """Copies of one of the layers' buffers after a pass over all rows."""
        if y is None:
            X = self._rows(X)
            data = Data(X, np.zeros((X.shape[0], self.layer_units[-1])))
        else:
            data = self._data(X, y)
        workspace, parts = self._workspace, []
        table = GRADIENT.table(np.ones(1), np.ones(1), {})
        for start in range(0, data.n_samples, MAX_BLOCK_ROWS):
            order = np.arange(start, min(start + MAX_BLOCK_ROWS, data.n_samples))
            workspace.train(data, order, len(order), table, Constraints())
            parts.append([workspace.buffer(l, field, len(order)).copy() for l in range(len(self._model.layers))])
        return [np.concatenate(layer) for layer in zip(*parts)]
