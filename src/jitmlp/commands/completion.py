"""``jitmlp completion bash|zsh``: a script for the shell, written by shtab."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("shell", choices=SHELLS, help='for bash: eval "$(jitmlp completion bash)"')


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from jitmlp.commands.main import make_parser

    print(shtab.complete(make_parser(), shell=options.shell))
    return 0
