"""``jitmlp info``: what the kernels run on and where they are kept."""

from __future__ import annotations

import argparse
import json
import platform

import numba
import numpy as np
import sklearn

from jitmlp._version import __version__
from jitmlp.engine.threads import available_threads
from jitmlp_kernels.link import folder, store
from jitmlp_kernels.trace.target import VECTOR_BYTES, cpu_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def machine_line(n_threads: int | None = None) -> str:
    """One line on what the kernels run on."""
    return (
        f"kernels: Numba {numba.__version__} for {cpu_name()}, {8 * VECTOR_BYTES}-bit vectors, "
        f"{available_threads(n_threads)} threads"
    )


def run(options: argparse.Namespace) -> int:
    """Print it."""
    place = folder.writable_folder()
    files = store.kept(place) if place else {}
    if options.json:
        facts = {
            "jitmlp": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "scikit_learn": sklearn.__version__,
            "cpu": cpu_name(),
            "vector_bits": 8 * VECTOR_BYTES,
            "threads": available_threads(),
            "cache": str(place) if place else None,
            "cached_pieces": len(files),
        }
        print(json.dumps(facts, indent=2))
        return 0
    print(machine_line())
    print(f"compiled kernels: {place}, {len(files)} of them" if place else "compiled kernels: kept nowhere")
    return 0
