"""What a fitted estimator computes: from its attributes, whoever set them, to outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from jitmlp._version import __version__
from jitmlp.engine.data import Data
from jitmlp.engine.inspection import NeuralNetwork
from jitmlp.engine.normalization import scaling_of
from jitmlp.engine.threads import available_threads
from jitmlp.engine.workspace import NonFiniteInputs, Workspace
from jitmlp.estimators.links import DocumentationLink
from jitmlp.estimators.tasks import Task
from jitmlp.estimators.validation import explain, is_watched, validated
from jitmlp.model.bins import Bins, bins_of
from jitmlp.model.choices import Loss, refuse
from jitmlp.model.layers import hidden_layers, output_layer
from jitmlp.model.messages import warn_user
from jitmlp.model.model import Embedding, Model, Scaling, network_dtype
from jitmlp.model.parameters import BatchNorm, Parameters, check_shapes
from jitmlp.model.summary import in_words
from jitmlp_kernels.link.folder import write_whole
from jitmlp_kernels.rules.losses import BY_NAME as LOSSES
from jitmlp_kernels.rules.losses import LossRule

if TYPE_CHECKING:
    from typing_extensions import Self


class Prediction(DocumentationLink, BaseEstimator, ABC):
    """The prediction's side of an estimator."""

    _param_names: tuple[str, ...]

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """scikit-learn's names from the signature, found once a class: small fits would wait for them."""
        if "_param_names" not in cls.__dict__:
            cls._param_names = tuple(super()._get_param_names())
        return list(cls._param_names)

    # What differs between the classifier and the regressor

    @abstractmethod
    def _task(self) -> Task:
        """The task of the fitted model."""

    def _loss_rule(self, task: Task, out_activation: str) -> tuple[LossRule, float]:
        """The loss and its parameter."""
        if isinstance(self.loss, Loss):
            return self.loss.rule, 0.0 if self.loss.parameter is None else float(self.loss.parameter)
        rule = LOSSES[task.loss(self.loss, out_activation)]
        return rule, self._loss_parameter(rule)

    def _loss_parameter(self, rule: LossRule) -> float:
        return rule.default

    def _out_activation(self, task: Task) -> str:
        return self.out_activation or task.output_activation

    def _draft(self) -> Self:
        """A copy that validation may write its attributes to."""
        draft = object.__new__(type(self))
        draft.__dict__.update(self.__dict__)
        return draft

    def _fitted_scaling(self) -> Scaling | None:
        shift = getattr(self, "input_shift_", None)
        return None if shift is None else scaling_of(self._normalized_by(), shift, self.input_scale_)

    def _normalized_by(self) -> Any:
        """The ``normalize`` of the fit."""
        return self.__dict__.get("_normalize", self.normalize)

    def _fitted_bins(self) -> Bins | None:
        edges = self.__dict__.get("bins_")
        return None if edges is None else bins_of(edges)

    def _fitted_width(self) -> int:
        """Features of the rows that the first layer's weights are for."""
        bins = self._fitted_bins()
        return int(self.coefs_[0].shape[0]) - (bins.n_added if bins else 0)

    def _fitted_parameters(self) -> Parameters:
        self._refuse_members()
        norms: list = [None] * len(self.coefs_)
        for l, vectors in enumerate(getattr(self, "batch_norm_", None) or ()):
            norms[l] = BatchNorm(*vectors)
        return Parameters.of(self.coefs_, self.intercepts_, norms)

    def _refuse_members(self) -> None:
        """Raise where there are several networks."""
        if "members_" in self.__dict__:
            raise ValueError(
                f"n_members={len(self.members_)} networks were fitted, and a saved, exported or drawn network is one: "
                "members_ holds them, as members_[0].save(path); joblib.dump(model, path) keeps all of them"
            )

    def _fitted_embedding(self) -> Embedding | None:
        """How categories were looked up in training, where they have embeddings."""
        tables = self.__dict__.get("embeddings_")
        if tables is None:
            return None
        return Embedding(self.encoder_.n_numbers, tuple(len(own) for own in tables), tables[0].shape[1])

    def _trained_parameters(self) -> Parameters:
        """What a fit goes on from: the embeddings, and the weights of their dimensions, instead of their product."""
        found = self._fitted_parameters()
        if self._fitted_embedding() is None:
            return found
        weights = (self.embedding_coefs_, *found.weights[1:])
        return Parameters(weights, found.biases, found.batch_norms, tuple(self.embeddings_))

    # Prediction

    def _fitted_model(self) -> Model:
        """What the fitted attributes compute now, whoever set them.

        Raises
        ------
        ValueError
            If they do not fit together.
        """
        self._refuse_members()
        coefs = [np.asarray(coef) for coef in self.coefs_]
        intercepts = [np.asarray(intercept) for intercept in self.intercepts_]
        check_shapes(coefs, intercepts, "_")
        sizes = [coef.shape[1] for coef in coefs]
        activation = self.activation
        if isinstance(activation, (tuple, list)) and len(activation) != len(sizes) - 1:
            raise refuse("activation", f"one name, or one a hidden layer ({len(sizes) - 1})", activation)
        hidden, _ = hidden_layers(sizes[:-1], activation, 0.0, False)
        out_activation = self.__dict__.get("out_activation_")
        if out_activation is None:
            out_activation = self._out_activation(self._task())
        loss = self._loss_rule(self._task(), out_activation)
        width, bins = self._fitted_width(), self._fitted_bins()
        if bins is not None and len(bins.edges) > width:
            raise ValueError(
                f"bins_ are of {len(bins.edges)} features, and coefs_[0] has rows for {width} beside theirs"
            )
        return Model(
            width,
            (*hidden, output_layer(sizes[-1], out_activation)),
            loss[0],
            network_dtype(coefs[0].dtype),
            loss[1],
            scaling=self._fitted_scaling(),
            bfloat16=self.__dict__.get("precision_") == "bfloat16" and coefs[0].dtype == np.float32,
            bins=bins,
        )

    def _contents(self) -> tuple:
        """All that a prediction depends on: what was chosen, and arrays, which are compared by identity."""
        norms = [vector for vectors in self.__dict__.get("batch_norm_") or () for vector in vectors]
        scaling = self.__dict__.get("input_shift_"), self.__dict__.get("input_scale_")
        fitted = (self.__dict__.get(name) for name in ("out_activation_", "precision_", "_normalize"))
        chosen = self.activation, *fitted
        bins = self.__dict__.get("bins_") or ()
        return chosen, *self.coefs_, *self.intercepts_, *norms, *scaling, *bins

    @staticmethod
    def _is_current(packed: tuple, contents: tuple) -> bool:
        if len(packed) != len(contents) or packed[0] != contents[0]:
            return False
        for old, new in zip(packed[1:], contents[1:]):
            if old is not new or (new is not None and (type(new) is not np.ndarray or new.flags.writeable)):
                return False
        return True

    def _borrow_network(self) -> tuple:
        """A network with the current parameters that no other thread is using."""
        contents = self._contents()
        idle = self.__dict__.setdefault("_packed", [])
        try:
            borrowed = idle.pop()
            if self._is_current(borrowed[0], contents):
                return borrowed
        except IndexError:
            pass
        return contents, self._new_network(self._fitted_model())

    def _new_network(self, model: Model) -> Workspace:
        """A network of a model with the current parameters."""
        workspace = Workspace(model, n_threads=available_threads(self.n_threads))
        workspace.load(self._fitted_parameters().folded())
        return workspace

    def _return_network(self, borrowed: tuple) -> None:
        """Keep a network for the next prediction; one for each thread at a time would be too many."""
        if len(self._packed) < 2:
            self._packed.append(borrowed)

    def _is_plain(self, X: Any) -> bool:
        """Whether an array needs none of scikit-learn's validation.

        It takes ten times as long as the network for a single row.
        """
        return (
            is_watched(X)
            and X.shape[0] > 0
            and X.shape[1] == self.__dict__.get("n_features_in_", -1)
            and "feature_names_in_" not in self.__dict__
            and self.__dict__.get("encoder_") is None
        )

    def _checked_rows(self, X: Any) -> Any:
        """Rows that the kernels can read."""
        if "coefs_" not in self.__dict__:
            check_is_fitted(self)
        if self._is_plain(X):
            return X
        if "n_features_in_" in self.__dict__:
            return validated(self, X, reset=False)
        return validated(self._draft(), X, reset=True)  # put together by hand

    def _run(self, network: Workspace, X: Any) -> np.ndarray:
        """Outputs of a network for checked rows."""
        try:
            return network.predict(Data(X))
        except NonFiniteInputs:
            explain(self, X)
            raise

    def _outputs(self, X: Any) -> np.ndarray:
        """Outputs of the network, or the mean of the members', shape (n_samples, n_outputs)."""
        X = self._checked_rows(X)
        members = self.__dict__.get("members_")
        if members is None:
            return self._network_outputs(X)
        outputs = members[0]._network_outputs(X)
        for member in members[1:]:
            outputs += member._network_outputs(X)
        outputs /= len(members)
        return outputs

    def _network_outputs(self, X: Any) -> np.ndarray:
        """Outputs of the network for checked rows."""
        borrowed = self._borrow_network()
        try:
            return self._run(borrowed[1], X)
        finally:
            self._return_network(borrowed)

    @property
    def network_(self) -> NeuralNetwork:
        """The fitted network as a :class:`NeuralNetwork`, to look into its layers."""
        check_is_fitted(self)
        return NeuralNetwork.of(self._fitted_model(), self._fitted_parameters().folded())

    def summary(self) -> str:
        """Layers, units, activations and numbers of parameters of the fitted network, as a table in words.

        Examples
        --------
        >>> from jitmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> print(MLPClassifier((8,), tol=1, random_state=0, dtype="float32").fit(X, y).summary())
        layer     units  activation  parameters
        ---------------------------------------
        inputs        4                       0
        hidden 1      8  relu                40
        output        3  softmax             27
        ---------------------------------------
        67 parameters, 268 bytes of float32, loss log_loss
        """
        check_is_fitted(self)
        if "members_" in self.__dict__:
            return f"{self.members_[0].summary()}\nOne of {len(self.members_)} members"
        return in_words(self._trained_model())

    def _trained_model(self) -> Model:
        """The fitted model with what only training has: dropout, batch normalization and embeddings."""
        model = self._fitted_model()
        sizes, dropout = model.layer_units[1:-1], self.dropout
        if isinstance(dropout, (tuple, list)) and len(dropout) != len(sizes) + 1:
            dropout = 0.0  # of another network, to come
        hidden, dropout = hidden_layers(sizes, self.activation, dropout, bool(getattr(self, "batch_norm_", None)))
        layers = (*hidden, model.layers[-1])
        return replace(model, layers=layers, input_dropout=dropout, embedding=self._fitted_embedding())

    def predict_logits(self, X: Any) -> np.ndarray:
        """What the output units sum up, before their activation: log-odds, where that is softmax or logistic.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            A vector where there is one output unit, as for two classes.
        """
        X = self._checked_rows(X)
        model = self._fitted_model()
        layers = (*model.layers[:-1], output_layer(model.n_outputs, "identity"))
        outputs = self._run(self._new_network(replace(model, layers=layers)), X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def to_sklearn(self) -> Any:
        """scikit-learn's estimator with the same predictions.

        ``normalize`` and ``batch_norm`` are folded into its weights. It can be trained on, from a new state of its
        optimizer.

        Returns
        -------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor

        Raises
        ------
        ValueError
            If scikit-learn has no such activation of hidden layers or output.

        Examples
        --------
        >>> from jitmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((8,), tol=1e-2, normalize="standard", random_state=0).fit(X, y)
        >>> bool(abs(model.to_sklearn().predict_proba(X) - model.predict_proba(X)).max() < 1e-9)
        True
        """
        from jitmlp.estimators.conversion import to_sklearn

        return to_sklearn(self)

    def to_onnx(self, path: Any = None) -> Any:
        """The fitted model as an ONNX graph, with ``normalize`` and ``batch_norm``.

        Its input is ``X``, in the dtype of the network, or float64 with ``normalize``. A classifier's outputs are
        ``label`` and ``probabilities``, a regressor's is ``prediction``. Needs the extra ``onnx``.

        Parameters
        ----------
        path : path-like, optional
            File to write it to.

        Returns
        -------
        model : onnx.ModelProto

        Raises
        ------
        ModuleNotFoundError
            Without the package ``onnx``.
        ValueError
            If an activation is one of your own.
        """
        from jitmlp.estimators.onnx_export import to_onnx

        made = to_onnx(self)
        if path is not None:
            write_whole(Path(path), made.SerializeToString(), private=False)
        return made

    def to_torch(self) -> Any:
        """The fitted model as a PyTorch module, to train on or to build upon.

        Linear layers and activations in turn, ``normalize`` and ``batch_norm`` folded into them; the last module is
        the output's activation, so that ``to_torch()[:-1]`` gives logits.

        Returns
        -------
        module : torch.nn.Sequential
            Takes tensors of shape (n_samples, n_features) in the dtype of the network, float64 with ``normalize``.

        Raises
        ------
        ModuleNotFoundError
            Without the package ``torch``.
        ValueError
            If an activation is one of your own.
        """
        from jitmlp.estimators.torch_export import to_torch

        return to_torch(self)

    def to_c(self, path: Any = None, *, name: str = "model") -> str:
        """The fitted model as a C header that needs nothing but the standard library (C99 or C++).

        It holds the weights and ``void NAME_predict(const T *x, T *out)`` for one row, with ``T`` the dtype of the
        network, or double with ``normalize``; for a classifier of exclusive classes ``int NAME_predict_class(const T
        *x)`` and ``NAME_classes`` too. Its outputs are those of the network: one number, the probability of the
        second class, where there are two.

        Parameters
        ----------
        path : path-like, optional
            File to write it to.
        name : str, default="model"
            What the names in it begin with.

        Returns
        -------
        header : str

        Raises
        ------
        ValueError
            If an activation is one of your own, or ``name`` no identifier.

        Examples
        --------
        >>> from jitmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> header = MLPClassifier((8,), tol=1, random_state=0).fit(X, y).to_c(name="iris")
        >>> "int iris_predict_class(const T *x)" in header
        True
        """
        from jitmlp.estimators.c_export import to_c

        header = to_c(self, name)
        if path is not None:
            write_whole(Path(path), header.encode(), private=False)
        return header

    @classmethod
    def from_sklearn(cls, model: Any) -> Self:
        """A fitted estimator with the parameters, the weights and the predictions of scikit-learn's.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted, of the same name as this class.

        Raises
        ------
        TypeError
            If it is another estimator.
        """
        from jitmlp.estimators.conversion import from_sklearn

        return from_sklearn(cls, model)

    def save(self, path: Any, *, state: bool = False) -> None:
        """Write the fitted model to a file without pickle; :func:`jitmlp.load` gives it back.

        Parameters
        ----------
        path : path-like
        state : bool, default=False
            Whether the optimizer's state goes along, to train on with ``partial_fit`` or
            ``warm_start="continue"``.
        """
        from jitmlp.estimators.model_file import save

        save(self, path, state=state)

    # Protocols

    def __sklearn_is_fitted__(self) -> bool:
        return "coefs_" in self.__dict__ or "members_" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        for name in ("_packed", "_workspace"):
            state.pop(name, None)
        if state.get("callback") is not None:  # no part of a fitted model's state
            state["callback"] = None
        state["_jitmlp_version"] = __version__
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_jitmlp_version", "unknown")
        if version != __version__:
            warn_user(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"jitmlp {__version__}",
                    original_sklearn_version=f"jitmlp {version}",
                )
            )
        super().__setstate__(state)
        if "coefs_" in self.__dict__:
            for array in self._contents()[1:]:
                if array is not None:
                    array.flags.writeable = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.categorical_features is None
        tags.input_tags.categorical = tags.input_tags.string = self.categorical_features is not None
        return tags
