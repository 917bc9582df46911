"""The gallery: every example runs on small settings and draws something."""

import re
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))


# What the pictures say, held against the numbers that they draw
CLAIMS = {
    "plot_19_activation_of_ones_own": [
        lambda f: f["errors"]["snake"] < 0.5 * min(f["errors"]["tanh"], f["errors"]["relu"]),
    ],
    "plot_20_focal_loss": [lambda f: f["recalls"]["focal loss"][1:].sum() > f["recalls"]["log loss"][1:].sum()],
    "plot_21_asymmetric_loss": [
        lambda f: f["below"]["squared error"] > 0.4,
        lambda f: f["below"]["asymmetric"] < 0.3,
    ],
    "plot_22_optimizer_of_ones_own": [lambda f: max(f["final"].values()) < 2.0],
}


def test_there_is_one_for_every_row_of_the_lecture():
    assert [int(path.name[5:7]) for path in SCRIPTS] == list(range(1, len(SCRIPTS) + 1)) and len(SCRIPTS) >= 18


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_example(path, monkeypatch, tmp_path):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pictures = []

    def show():
        plt.savefig(tmp_path / "picture.png")
        pictures.append(plt.imread(tmp_path / "picture.png"))
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    monkeypatch.setenv("SMALL_EXAMPLES", "1")
    monkeypatch.delenv("MNIST_DIR", raising=False)
    found = runpy.run_path(str(path))
    for claim in CLAIMS.get(path.stem, ()):
        assert claim(found)
    assert pictures and all(np.ptp(picture) > 0.5 for picture in pictures)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_example_has_the_gallerys_form(path):
    title, line, text = re.match(r'"""\n(.+)\n(=+)\n\n(.+?)\n"""', path.read_text(), re.S).groups()
    assert len(title) == len(line) and 1 <= text.count(". ") + text.count(".\n") + 1 <= 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nielsens_network_reaches_95_percent(mnist_folder, monkeypatch, capsys):
    """Row 17 on the real MNIST, all 30 epochs."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    monkeypatch.delenv("SMALL_EXAMPLES", raising=False)
    script = runpy.run_path(str(EXAMPLES / "plot_17_mnist_from_scratch.py"))
    assert script["scores"][-1] > 0.94
