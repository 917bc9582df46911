"""Fast multilayer perceptrons on multicore CPUs: a drop-in for scikit-learn's."""

from jitmlp._version import __version__
from jitmlp.classifier import MLPClassifier
from jitmlp.neural_network import NeuralNetwork
from jitmlp.options import Activation
from jitmlp.perceptron import Perceptron
from jitmlp.regressor import MLPRegressor

__all__ = ["Activation", "MLPClassifier", "MLPRegressor", "NeuralNetwork", "Perceptron", "__version__"]
