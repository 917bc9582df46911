"""Fast multilayer perceptrons on multicore CPUs: a drop-in for scikit-learn's."""

from jitmlp import formulas
from jitmlp._version import __version__
from jitmlp.displays.curves import LearningRateDisplay, LossCurveDisplay
from jitmlp.displays.layers import LayersDisplay, WeightsDisplay
from jitmlp.engine.inspection import NeuralNetwork
from jitmlp.estimators.classifier import MLPClassifier
from jitmlp.estimators.model_file import ModelFileError, load
from jitmlp.estimators.perceptron import Perceptron
from jitmlp.estimators.progress import ProgressBar
from jitmlp.estimators.rate_finder import LearningRateFinder
from jitmlp.estimators.ready_callbacks import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    TimeLimit,
    WeightAverage,
)
from jitmlp.estimators.regressor import MLPRegressor
from jitmlp.files.arrow import ArrowFiles
from jitmlp.model.choices import Activation, Loss, Optimizer
from jitmlp.tabular.classifier import TabularClassifier
from jitmlp.tabular.encoder import TableEncoder
from jitmlp.tabular.regressor import TabularRegressor
from jitmlp.training.divergence import DivergenceError, DivergenceWarning
from jitmlp_kernels.link.folder import KernelCacheWarning
from jitmlp_kernels.link.pieces import FormulaError

__all__ = [
    "Activation",
    "ArrowFiles",
    "CSVLogger",
    "Checkpoint",
    "DivergenceError",
    "DivergenceWarning",
    "EarlyStopping",
    "FormulaError",
    "JSONLogger",
    "KernelCacheWarning",
    "LayersDisplay",
    "LearningRateDisplay",
    "LearningRateFinder",
    "Loss",
    "LossCurveDisplay",
    "MLPClassifier",
    "MLPRegressor",
    "ModelFileError",
    "NeuralNetwork",
    "Optimizer",
    "Perceptron",
    "ProgressBar",
    "TableEncoder",
    "TabularClassifier",
    "TabularRegressor",
    "TimeLimit",
    "WeightAverage",
    "WeightsDisplay",
    "__version__",
    "formulas",
    "load",
]
