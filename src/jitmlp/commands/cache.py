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
    files = sorted(place.glob("*.piece"))
    if options.action == "list":
        for path in files:
            print(f"{path.stat().st_size:9d}  {path.name.rsplit('-', 1)[0]}")
        print(f"{len(files)} kernels in {place}")
        return 0
    for path in [*files, *place.glob("locks/*.lock")]:
        path.unlink(missing_ok=True)
    store.sweep(place, age=0)
    print(f"{len(files)} kernels removed from {place}")
    return 0
