"""The comparison with the peers, in one run.

    MNIST_DIR=... python -m benchmarks.peers [W1 W2 ...] [--repeats 5] [--output FILE]

Every peer has a process of its own. Within a workload they take turns, a warm-up first,
and the medians are compared; between them the machine's own matrix product is timed.
A peer that is not installed, or fails, is left out with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np

from benchmarks.peers.workloads import ROWS, WORKLOADS

# The threads of OpenBLAS and OpenMP go on spinning for some 100 ms after their work, on the
# cores that the next one needs.
SETTLE_SECONDS = 0.5


def peak(dtype: str, n: int = 2048) -> float:
    """GFLOP/s of NumPy's matrix product, the best of several."""
    a = np.ones((n, n), dtype)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


class Peer:
    """A worker process, and the seconds it has measured."""

    def __init__(self, name, workload, threads):
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = {**os.environ, **{limit: str(threads) for limit in limits}}
        self.name, self.seconds = name, []
        command = [sys.executable, "-m", "benchmarks.peers.worker", name, workload.name, str(threads)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.error = None

    def ask(self, what):
        """One answer, or None once the worker has failed."""
        if self.error is None:
            try:
                self.process.stdin.write(what + "\n")
                self.process.stdin.flush()
                return json.loads(self.process.stdout.readline())
            except (OSError, ValueError):
                self.process.wait()
                lines = self.process.stderr.read().strip().splitlines()
                self.error = lines[-1] if lines else "no answer"
        return None

    def close(self):
        with suppress(OSError):  # what was written to a worker that has failed
            self.process.stdin.close()
        self.process.terminate()
        self.process.wait()


def compare(workload, repeats, threads):
    """Median seconds, scores and failures of every peer on a workload, and the peak."""
    peers = [Peer(name, workload, threads) for name in ("jitmlp", *workload.peers)]
    for peer in peers:
        peer.ask("run")
    peaks = []
    for _ in range(repeats):
        peaks.append(peak(workload.dtype))
        for peer in peers:
            time.sleep(SETTLE_SECONDS)
            seconds = peer.ask("run")
            if seconds is not None:
                peer.seconds.append(seconds)
    scores = {peer.name: peer.ask("score") for peer in peers}
    for peer in peers:
        peer.close()
    medians = {p.name: statistics.median(p.seconds) for p in peers if p.seconds}
    failures = {p.name: p.error for p in peers if p.error}
    return medians, scores, failures, statistics.median(peaks)


def rows_of(workload):
    """Rows that one measurement goes through."""
    if workload.name in ROWS:
        return ROWS[workload.name] * workload.epochs
    n = {"mnist": 60_000, "expm": 10_000, "table": 100_000}.get(workload.kind, workload.batch)
    return n * workload.epochs


def report(workload, medians, scores, failures, top):
    """Markdown lines of one workload."""
    mine = medians.get("jitmlp", float("nan"))
    for name, seconds in medians.items():
        rate = workload.flops * rows_of(workload) / seconds / 1e9
        unit = seconds / workload.epochs
        shown = f"{unit * 1e6:.1f} us" if unit < 1e-3 else f"{unit * 1e3:.1f} ms"
        score = "" if workload.kind == "predict" else f"{scores[name]:.4f}"
        yield (
            f"| {workload.name} | {name} | {shown} | {seconds / mine:.2f} | {rate:.0f} | "
            f"{100 * rate / top:.0f} % | {score} |"
        )
    for name, error in failures.items():
        yield f"| {workload.name} | {name} | failed: {error[:80]} | | | | |"


def machine(threads):
    """One line that names the machine."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    from jitmlp.commands.demo import machine_line

    return f"{model}, {os.cpu_count()} CPUs; {machine_line(threads)}"


def main():
    """Run the comparison and print, and optionally save, its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = ", ".join(WORKLOADS)
    parser.add_argument("workloads", nargs="*", metavar="W", help=f"{names} (default: all)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", help="Markdown file for the table")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; choose from {names}")
    lines = [
        machine(options.threads),
        "",
        "| workload | | time | ratio | GFLOP/s | of gemm | score |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name in options.workloads or WORKLOADS:
        workload = WORKLOADS[name]
        for line in report(workload, *compare(workload, options.repeats, options.threads)):
            print(line, flush=True)
            lines.append(line)
    if options.output:
        with open(options.output, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
