"""What the benchmark of tables prints, of results that are known."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("no benchmarks beside", allow_module_level=True)
pytest.importorskip("pandas")
sys.path.insert(0, str(ROOT))
from benchmarks.lab import data_parallel  # noqa: E402
from benchmarks.suites.common import Steps, first_calls  # noqa: E402
from benchmarks.tables import ablation, data, report  # noqa: E402

from jitmlp.engine.workspace import Constraints  # noqa: E402

BASE = report.BASE
RESULTS = {
    "a|0|x": {"error": 0.1, "log_loss": 0.2, "cpu": 1.0}, f"a|0|{BASE}": {"error": 0.2, "log_loss": 0.4, "cpu": 2.0},
    "a|1|x": {"error": 0.3, "log_loss": 0.2, "cpu": 1.0}, f"a|1|{BASE}": {"error": 0.2, "log_loss": 0.4, "cpu": 2.0},
    "b|0|x": {"error": 0.0, "log_loss": 0.1, "cpu": 3.0}, f"b|0|{BASE}": {"error": 0.0, "log_loss": 0.4, "cpu": 4.0},
    "b|1|x": {"error": 0.0, "log_loss": 0.1, "cpu": 3.0}, f"b|1|{BASE}": {"error": 0.0, "log_loss": 0.4, "cpu": 4.0},
    "c|0|x": {"rmse": 3.0, "cpu": 1.0}, f"c|0|{BASE}": {"rmse": 1.0, "cpu": 1.0},
    "c|1|x": {"rmse": 3.0, "cpu": 1.0}, f"c|1|{BASE}": {"rmse": 2.0, "cpu": 1.0},
    "d|0|x": {"rmse": 9.0, "cpu": 9.0},  # which the other has not run on
}  # fmt: skip


def test_means_over_splits_then_geometric_over_tables_ranks_and_seconds():
    lines = report.of(RESULTS, ["a", "b", "c", "d"], 2).splitlines()
    ratio = np.sqrt(0.5 * 0.25)
    assert lines[2] == f"| x | 1.000 (1.50) | {ratio:.3f} (1.00) | 2.000 (2.00) | 5 |"
    assert lines[3] == f"| {BASE} | 1.000 (1.50) | 1.000 (2.00) | 1.000 (1.00) | 7 |"
    assert lines[-1] == "2 tables of classes, 1 of numbers, 2 splits each, one thread."


def test_the_picture_has_the_numbers_of_the_report():
    figure = report.draw(RESULTS, ["a", "b", "c", "d"], 2)
    for ax, x in zip(figure.axes, (1.0, np.sqrt(0.5 * 0.25), 2.0)):
        assert ax.get_xscale() == "log"
        points = {line.get_gid(): line.get_xydata().tolist() for line in ax.lines}
        assert points == {"x": [[5.0, pytest.approx(x)]], BASE: [[7.0, 1.0]]}
        assert {text.get_text() for text in ax.texts} == {"x", BASE}
    figure.savefig(io.BytesIO())


def test_names_in_the_picture_meet_neither_each_other_nor_points():
    close = {name: 1 + 0.02 * k for k, name in enumerate(("first", "second", "third", BASE))}
    results = {f"c|0|{name}": {"rmse": value, "cpu": 10 * value} for name, value in close.items()}
    figure = report.draw(results, ["c"], 1)
    figure.draw_without_rendering()
    ax = figure.axes[-1]
    boxes = [text.get_window_extent() for text in ax.texts]
    points = ax.transData.transform([line.get_xydata()[0] for line in ax.lines])
    assert len(boxes) == len(points) == 4
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
        assert not box.count_contains(points)


def test_the_command_knows_the_tables_that_the_documentation_names():
    text = (ROOT / "docs" / "performance.md").read_text().split("## Tables")[1].split("## ")[0]
    named = re.search(r"--tables ([\w\s]+)`", text).group(1).split()
    assert len(named) == 19 and set(named) <= {table.name for table in data.TABLES}
    assert f"takes all {len(data.TABLES)}." in " ".join(text.split())


@pytest.mark.parametrize(
    "name, classes", [(name, kind) for name, part in ablation.PARTS.items() for kind in part.kinds]
)
def test_each_part_of_the_recipe_can_be_changed_and_says_for_which_tables(name, classes):
    part = ablation.PARTS[name]
    short = part._replace(given={"n_members": 1, **part.given, "max_iter": 3})
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int) if classes else X[:, 0]
    rows = data.Split(X, y, X, y)
    model, base = (
        ablation.methods_of({name: each})[name](classes, rows, 0) for each in (short, ablation.Part({"max_iter": 3}))
    )
    assert len(model.members_) == short.given["n_members"]
    for member in model.members_:
        for key, value in part.of_member.items():
            assert member.get_params()[key] == value or value is None is member.get_params()[key]
    ask = "predict_proba" if classes else "predict"
    same = np.array_equal(getattr(model, ask)(X), getattr(base, ask)(X))
    # the best epoch by either score, and the last one, may be the same of three
    assert same == (name == ablation.BASE) or name in ("last epoch", "epoch of best accuracy", "beta_2 of 0.999")


def test_the_ablation_reports_ratios_to_a_member_as_it_is():
    values = {ablation.BASE: (0.1, 0.2), "ReLU": (0.2, 0.2)}
    results = {f"{t}|0|{name}": {"error": own[k], "log_loss": 1.0, "cpu": 2.0 + k}
               for name, own in values.items() for k, t in enumerate("ab")}  # fmt: skip
    results["c|0|as it is"] = {"rmse": 1.0, "cpu": 1.0}  # on which the other has not run
    lines = ablation.report(results, ["a", "b", "c"], 1).splitlines()
    logs = np.log([2.0, 1.0])
    mean = np.exp(logs.mean())
    assert lines[2] == f"| {ablation.BASE} | 1.000 ± 0.000 | 1.000 ± 0.000 | 1.000 ± 0.000 | 1.00 |"
    assert lines[3] == f"| ReLU | {mean:.3f} ± {mean * logs.std(ddof=1) / 2**0.5:.3f} | 1.000 ± 0.000 | - | 1.00 |"


@pytest.mark.parametrize("wrong", [["nobody"], ["--tables", "nothing"]], ids=str)
def test_an_unknown_method_or_table_is_named(wrong):
    command = [sys.executable, "-m", "benchmarks.tables", *wrong]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and f"unknown {'table' if len(wrong) > 1 else 'method'} {wrong[-1]!r}" in done.stderr


def test_the_page_of_many_processes_has_the_numbers_of_its_model():
    """The table, and the picture: each line is what the formula gives, and crosses 80 % where the table says."""
    text = (ROOT / "docs" / "scaling.md").read_text().split("## A model")[1]
    rate = float(re.search(r"nodes of (\d+) GFLOP/s", text).group(1)) * 1e9
    lines = re.findall(r"^\| ([\w ]+), (\d+) \| (.*) \|$", text, re.MULTILINE)
    assert len(lines) == 3 * len(data_parallel.MODELLED)
    for (name, gbit, cells), layers in zip(lines, [v[0] for v in data_parallel.MODELLED.values() for _ in range(3)]):
        for nodes, rows in zip(data_parallel.NODES, cells.split(" | ")):
            expected = data_parallel.batch_for(layers, nodes, rate, int(gbit))
            assert abs(int(rows.replace(",", "")) - expected) <= 1e-3 * expected, (name, gbit, nodes)
            step = data_parallel.model_of_step(layers, expected, nodes, rate, int(gbit))
            assert 0.8 <= 6 * data_parallel.parameters(layers) * expected / nodes / rate / step < 0.81 or expected < 60


def test_the_picture_of_many_processes_draws_its_model(tmp_path):
    pytest.importorskip("matplotlib")
    figure = data_parallel.draw(str(tmp_path / "scaling.svg"), 69e9)
    for axes, (name, (layers, batch)) in zip(figure.axes, data_parallel.MODELLED.items()):
        assert axes.get_title() == f"{name}, {batch} rows a step"
        for line, gbit in zip(axes.lines, data_parallel.GBITS):
            assert line.get_label() == f"{gbit} Gbit/s"
            for n, share in zip(*line.get_data()):
                step = data_parallel.model_of_step(layers, batch, n, 69e9, gbit)
                assert np.isclose(share, 6 * data_parallel.parameters(layers) * batch / n / 69e9 / step)
    assert (tmp_path / "scaling.svg").stat().st_size > 1000


@pytest.mark.parametrize("units, batch", [((9, 7, 3), 6), ((9, 7, 3), 200)], ids=["steps", "quarters"])
def test_a_profile_makes_the_calls_that_it_names_and_no_others(units, batch):
    """The weights of a layer change if and only if the call that updates them is among the first ones."""
    steps = Steps(units, batch, n_threads=1, n_steps=2)
    steps.run()
    job = steps.workspace.training_job(steps.data, Constraints(1e-4))
    labels, whole = [wanted.label for wanted in job.wanted], job.phases.copy()
    assert any("in_quarters" in label for label in labels) == (batch == 200)
    for count in (*range(len(labels) + 1), len(labels) + 9):
        before = [weights.copy() for weights in steps.workspace.parameters().weights]
        with first_calls(job, count):
            steps.run()
        changed = sum((a != b).any() for a, b in zip(before, steps.workspace.parameters().weights))
        assert changed == sum(label.startswith(("step_weights", "update_weights")) for label in labels[:count])
        np.testing.assert_array_equal(job.phases, whole)
