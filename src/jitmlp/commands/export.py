"""``jitmlp export MODEL --to onnx``: a saved model for other programs."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import joblib

from jitmlp.estimators.model_file import load
from jitmlp_kernels.link.folder import write_whole

ENDINGS = {"onnx": ".onnx", "sklearn": ".joblib"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("model", metavar="MODEL", help="file of a saved model, such as model.jitmlp")
    parser.add_argument("--to", choices=[*ENDINGS], required=True, help="ONNX, or scikit-learn's estimator by joblib")
    parser.add_argument("--output", metavar="FILE", help="by default beside the model")


def run(options: argparse.Namespace) -> int:
    """Load, convert, write."""
    model = load(options.model)
    path = Path(options.output) if options.output else Path(options.model).with_suffix(ENDINGS[options.to])
    if options.to == "onnx":
        model.to_onnx(path)
    else:
        buffer = io.BytesIO()
        joblib.dump(model.to_sklearn(), buffer)
        write_whole(path, buffer.getvalue(), private=False)
    print(path)
    return 0
