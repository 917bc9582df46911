"""The ``jitmlp`` command: one module a subcommand, each with ``add_arguments`` and ``run``.

Results go to standard output, progress to standard error. The exit code is 0 for success, 1 for what
could not be done, 2 for a call that cannot be understood. To add a subcommand, write its module
and add its name to ``SUBCOMMANDS``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jitmlp._version import __version__

SUBCOMMANDS = {
    "demo": "train on digits, report, draw and save",
    "train": "train on a table in a file, report, draw and save",
    "predict": "predict the rows of a file with a saved model",
    "evaluate": "compare a saved model's predictions with the truth",
    "export": "convert a saved model for other programs",
    "info": "say what the kernels run on and where they are kept",
    "compile": "compile kernels ahead of the first fit",
    "cache": "list or remove the compiled kernels on disk",
    "bench": "time fits and predictions beside scikit-learn's on this machine",
    "completion": "print what makes a shell complete this command",
}


def module_of(name: str) -> Any:
    """The module of a subcommand."""
    return import_module(f"jitmlp.commands.{name}")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = argparse.ArgumentParser(prog="jitmlp", description="Fast multilayer perceptrons on CPUs.")
    parser.add_argument("--version", action="version", version=f"jitmlp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{" + ",".join(SUBCOMMANDS) + "}")
    for name, text in SUBCOMMANDS.items():
        module_of(name).add_arguments(commands.add_parser(name, help=text, description=text))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        return module_of(options.command).run(options)
    except BrokenPipeError:  # whoever read the output has enough
        sys.stdout = open(os.devnull, "w")
        return 1
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        print(f"jitmlp {options.command} needs {error.name}: pip install {error.name}", file=sys.stderr)
        return 1
    except (OSError, ValueError, MemoryError) as error:
        print(f"jitmlp {options.command}: {error}", file=sys.stderr)
        return 1
