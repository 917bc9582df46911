"""Documentation shared by the two estimators, filled in from the tables."""

from __future__ import annotations

import textwrap

from jitmlp.initializers import INITIALIZERS
from jitmlp.options import SOLVERS
from jitmlp.schedules import SCHEDULES
from jitmlp_kernels.activations import ACTIVATIONS
from jitmlp_kernels.losses import LOSSES


def _names(rows):
    return ", ".join(f"'{name}'" for name in rows)


PARAMETERS = f"""\
hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
    Units of each hidden layer; empty for a linear model.
activation : name, tuple or Activation, default='relu'
    Activation of the hidden layers: one of {_names(r.name for r in ACTIVATIONS if r.hidden)},
    ``Activation(name, parameter)``, or a tuple with one of these a hidden layer.
solver : {{{_names(SOLVERS)}}}, default='adam'
    The optimizer. ``sgd`` is the one of ``momentum`` and ``nesterovs_momentum``.
alpha : float, default=0.0001
    L2 penalty: ``alpha / 2`` times the sum of squared weights, divided by the samples of
    the mini-batch, is added to the loss.
batch_size : int, default='auto'
    Rows of a mini-batch; 'auto' is ``min(200, n_samples)``. All rows are full-batch
    gradient descent, 1 is stochastic gradient descent.
learning_rate : {{{_names(r.name for r in SCHEDULES)}}} or callable, default='constant'
    Schedule. ``invscaling`` and ``adaptive`` have no effect on ``adam``, as in
    scikit-learn. A callable maps the step, from 0, to the learning rate.
learning_rate_init : float, default=0.001
    Initial, or largest, learning rate.
power_t : float, default=0.5
    Exponent of ``invscaling``.
max_iter : int, default=200
    Most epochs, or iterations of L-BFGS.
shuffle : bool, default=True
    Whether rows are shuffled before every epoch.
random_state : int, RandomState instance, default=None
    Seed of the initial weights, the validation split and the shuffling.
tol : float, default=1e-4
    Gain in loss or score that counts as an improvement.
verbose : bool, default=False
    Whether to print the loss of every epoch.
warm_start : bool, default=False
    Whether ``fit`` goes on from the parameters of the last call.
momentum : float, default=0.9
    Of ``sgd`` and ``momentum``, ``nesterov``.
nesterovs_momentum : bool, default=True
    Whether the momentum of ``sgd`` is Nesterov's.
early_stopping : bool, default=False
    Whether to hold out rows, stop when their score no longer improves, and restore the
    best parameters.
validation_fraction : float, default=0.1
    Share of the rows held out.
beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
    Of Adam and its relatives; ``epsilon`` of Adagrad and RMSProp too.
n_iter_no_change : int, default=10
    Epochs without improvement before training stops.
max_fun : int, default=15000
    Most evaluations of the loss by L-BFGS."""

ADDITIONS = f"""\
dtype : {{'float32', 'float64'}}, default=None
    Precision of the network. By default that of X if float32, else float64. float32 is
    about twice as fast.
n_threads : int, default=None
    Threads; by default all CPUs that this process may use. The result does not depend
    on it, to the last bit.
initializer : name or (name, parameter), default='auto'
    One of {_names(r.name for r in INITIALIZERS)}.
    ``auto`` is scikit-learn's.
solver_params : dict, default=None
    Hyperparameters of the solver that have no parameter of their own, such as
    ``{{'rho': 0.99, 'centered': True}}`` for ``rmsprop``.
learning_rate_params : dict, default=None
    Parameters of the schedule, such as ``{{'factor': 0.5, 'every': 5}}`` for ``step``.
l1 : float, default=0.0
    L1 penalty: ``l1`` times the sum of the weights' sizes, divided by the samples of the
    mini-batch, is added to the loss. Proximal: some weights become exactly 0.
max_norm : float, default=None
    Largest norm of a unit's incoming weights; longer ones are scaled down after a step.
clip_value, clip_norm : float, default=None
    Largest size of a gradient's element; largest norm of all gradients together.
dropout : float or tuple, default=0.0
    Share of the units of every hidden layer that is dropped in a training step, or a tuple
    with the shares of the inputs and of each hidden layer. The rest is scaled up, so
    prediction uses all units as they are.
batch_norm : bool, default=False
    Whether the preactivations of the hidden layers are normalized over the mini-batch, then
    scaled and shifted by learned values; prediction uses running means and variances.
normalize : {{'minmax', 'standard', 'robust'}}, default=None
    Normalization of the inputs, learned in ``fit`` and applied to each row as it is read:
    to [0, 1]; to mean 0 and deviation 1; to median 0 and interquartile range 1. Sparse
    data stays sparse.
restore_best : bool, default=False
    Without early stopping, end with the parameters of the epoch of lowest loss.
callback : callable, default=None
    Called with the estimator after every epoch; training ends where it returns True."""

ATTRIBUTES = """\
coefs_ : list of ndarray of shape (fan_in, fan_out)
    Weights of each layer; read-only, assign a new array to change one.
intercepts_ : list of ndarray of shape (fan_out,)
    Intercepts of each layer.
loss_ : float
    Loss of the last epoch, penalty included.
best_loss_ : float or None
    Lowest loss of an epoch; None with early stopping.
loss_curve_ : list of float
    Loss of every epoch.
validation_scores_ : list of float or None
    Score of the held-out rows after every epoch, with early stopping.
best_validation_score_ : float or None
    The best of them.
batch_norm_ : list of list of ndarray of shape (fan_out,)
    Gamma, beta, running mean and running variance of every hidden layer; empty without
    ``batch_norm``.
input_shift_, input_scale_ : ndarray of shape (n_features,) or None
    With ``normalize``, inputs become ``(x - input_shift_) * input_scale_``.
t_ : int
    Samples seen in training.
n_iter_ : int
    Epochs, or iterations of L-BFGS.
n_layers_ : int
    Layers, input and output included.
n_outputs_ : int
    Output units.
out_activation_ : str
    Activation of the output layer.
n_features_in_ : int
    Features seen in fit.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Their names, where X had string names."""


def document(cls):
    """Class decorator: fill the shared sections into the docstring."""
    if cls.__doc__:
        sections = {"parameters": PARAMETERS, "additions": ADDITIONS, "attributes": ATTRIBUTES}
        filled = {name: textwrap.indent(text, "    ").lstrip() for name, text in sections.items()}
        losses = _names(row.name for row in LOSSES if row.regression)
        cls.__doc__ = cls.__doc__.format(losses=losses, **filled)
    return cls
