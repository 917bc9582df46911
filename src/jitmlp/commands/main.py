"""The ``jitmlp`` command."""

from __future__ import annotations

import argparse
import sys

from jitmlp._version import __version__


def _parser():
    parser = argparse.ArgumentParser(prog="jitmlp", description="Fast multilayer perceptrons on CPUs.")
    parser.add_argument("--version", action="version", version=f"jitmlp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train on digits, report, draw and save")
    demo.add_argument("--mnist", metavar="FOLDER", help="train on the MNIST files of this folder")
    demo.add_argument("--output", metavar="FOLDER", default="jitmlp-demo", help="for the picture and the model")
    demo.add_argument("--threads", type=int, metavar="N", help="threads, by default all")
    demo.add_argument("--no-compare", action="store_true", help="leave scikit-learn's estimator out")
    commands.add_parser("info", help="say what the kernels run on and where they are kept")
    return parser


def main(arguments=None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "info":
        from jitmlp.commands.demo import machine_line
        from jitmlp_kernels.link.folder import writable_folder

        print(machine_line())
        print(f"compiled kernels: {writable_folder()}")
        return 0
    try:
        import matplotlib  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        print(f"jitmlp demo needs {error.name}: pip install 'jitmlp[demo]'", file=sys.stderr)
        return 1
    from jitmlp.commands.demo import run_demo

    try:
        run_demo(options.mnist, options.output, options.threads, not options.no_compare)
    except (FileNotFoundError, ValueError) as error:
        print(f"jitmlp demo: {error}", file=sys.stderr)
        return 1
    return 0
