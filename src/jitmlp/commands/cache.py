"""``jitmlp cache``: the compiled kernels on disk."""

from __future__ import annotations

import argparse
import sys

from jitmlp_kernels.link import folder, store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("action", choices=["list", "clean"], help="show them, or remove them")


def run(options: argparse.Namespace) -> int:
    """List or remove the files."""
    place = folder.writable_folder()
    if place is None:
        print("jitmlp cache: there is no folder for compiled kernels", file=sys.stderr)
        return 1
    if options.action == "list":
        files = store.kept(place)
        for path, label in files.items():
            print(f"{path.stat().st_size:9d}  {label}")
        print(f"{len(files)} kernels in {place}")
    else:
        print(f"{store.clean(place)} kernels removed from {place}")
    return 0
