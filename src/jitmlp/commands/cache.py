"""``jitmlp cache``: the compiled kernels on disk."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

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
        kernels = [{"kernel": label, "bytes": path.stat().st_size} for path, label in files.items()]
        facts: dict[str, Any] = {"folder": str(place), "kernels": kernels}
        words = [*(f"{k['bytes']:9d}  {k['kernel']}" for k in kernels), f"{len(files)} kernels in {place}"]
    else:
        facts = {"folder": str(place), "removed": store.clean(place)}
        words = [f"{facts['removed']} kernels removed from {place}"]
    print(json.dumps(facts) if options.json else "\n".join(words))
    return 0
