"""``jitmlp export MODEL --to onnx|sklearn|c``: a saved model for other programs."""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path

import joblib

from jitmlp.estimators.model_file import load
from jitmlp_kernels.link.folder import write_whole

ENDINGS = {"onnx": ".onnx", "sklearn": ".joblib", "c": ".h"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("model", metavar="MODEL", help="file of a saved model, such as model.jitmlp")
    parser.add_argument(
        "--to", choices=[*ENDINGS], required=True, help="ONNX, scikit-learn's estimator by joblib, a C header"
    )
    parser.add_argument("--output", metavar="FILE", help="by default beside the model")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def identifier(name: str) -> str:
    """A name that C accepts."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name[:1].isalpha() else f"m_{name}"


def run(options: argparse.Namespace) -> int:
    """Load, convert, write."""
    model = load(options.model)
    path = Path(options.output) if options.output else Path(options.model).with_suffix(ENDINGS[options.to])
    if options.to == "onnx":
        model.to_onnx(path)
    elif options.to == "c":
        model.to_c(path, name=identifier(path.stem))
    else:
        buffer = io.BytesIO()
        joblib.dump(model.to_sklearn(), buffer)
        write_whole(path, buffer.getvalue(), private=False)
    print(json.dumps({"file": str(path), "format": options.to}) if options.json else path)
    return 0
