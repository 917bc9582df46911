"""``jitmlp cache``: the compiled kernels on disk."""

from __future__ import annotations

import argparse
import json
import sys

from jitmlp_kernels.link import folder, store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("action", choices=["list", "clean"], help="show them, or remove them")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(options: argparse.Namespace) -> int:
    """List or remove the files."""
    place = folder.writable_folder()
    if place is None:
        print("jitmlp cache: there is no folder for compiled kernels", file=sys.stderr)
        return 1
    if options.action == "list":
        files = store.kept(place)
        if options.json:
            kernels = [{"kernel": label, "bytes": path.stat().st_size} for path, label in files.items()]
            print(json.dumps({"folder": str(place), "kernels": kernels}))
            return 0
        for path, label in files.items():
            print(f"{path.stat().st_size:9d}  {label}")
        print(f"{len(files)} kernels in {place}")
        return 0
    removed = store.clean(place)
    print(
        json.dumps({"folder": str(place), "removed": removed})
        if options.json
        else f"{removed} kernels removed from {place}"
    )
    return 0
