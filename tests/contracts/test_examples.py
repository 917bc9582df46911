"""The gallery: every example runs on small settings and draws something."""

import re
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))


def lines(drawn, axes=0):
    """The y values of the lines of a picture's axes, by label."""
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in drawn[axes].lines}


def last(drawn, axes=0):
    """The last y value of each line, by the first word of its label, or what comes behind ``=`` in it."""
    return {label.split("=")[-1].split(",")[0]: values[-1] for label, values in lines(drawn, axes).items()}


def slopes_fit(drawn):
    """Whether the dashed line of every picture is the slope of the other, away from kinks."""
    for axes in drawn:
        if len(axes.lines) == 2:
            x, activation, slope = (np.ravel(a) for a in (*axes.lines[0].get_data(), axes.lines[1].get_ydata()))
            near = np.abs(np.gradient(activation, x) - slope) < 2e-3
            assert near.mean() > 0.98, axes.get_title()
    return True


def share(title):
    return float(title.split(": ")[1].split("%")[0]) / 100


# What the pictures say, held against the numbers that they draw: of the script's names, and of its axes
CLAIMS = {
    "plot_01_perceptron": [
        lambda f, d: [axes.get_title()[-12:] for axes in d[:2]] == ["4 of 4 right"] * 2,
        lambda f, d: int(d[2].get_title()[5]) < 4,
    ],
    "plot_02_probabilistic_answer": [
        lambda f, d: np.all(np.diff(lines(d)["sigmoid unit"]) >= 0) and 0 < lines(d)["sigmoid unit"].max() < 1,
        lambda f, d: set(lines(d)["threshold unit"]) == {0.0, 1.0},
        lambda f, d: ((f["unit"].predict(f["x"]) == f["virginica"]).mean()) > 0.9,
    ],
    "plot_03_xor_network": [
        lambda f, d: f["given"].forward(f["inputs"]).ravel().round().tolist() == [0, 1, 1, 0],
        lambda f, d: f["learned"].predict_proba(f["inputs"])[:, 1].round().tolist() == [0, 1, 1, 0],
    ],
    "plot_04_structure": [
        lambda f, d: f["values"][-1].sum() == pytest.approx(1.0),
        lambda f, d: all(
            np.allclose(points.get_array(), a[0]) for points, a in zip(d[0].collections[-4:], f["values"])
        ),
    ],
    "plot_05_cost": [
        lambda f, d: f["scores"]["log_loss"][4] > f["scores"]["squared_error"][4],
        lambda f, d: np.array_equal(lines(d, 1)["log_loss"], f["scores"]["log_loss"]),
    ],
    "plot_06_gradient_descent": [lambda f, d: np.allclose(f["theta"], f["closed_form"], atol=0.1)],
    "plot_07_backpropagation": [lambda f, d: np.allclose(f["differences"], f["backpropagated"], atol=1e-6)],
    "plot_08_batches": [
        lambda f, d: list(lines(d).values())[2][3] < list(lines(d).values())[0][3],  # many steps an epoch
        lambda f, d: [bar.get_height() for bar in d[1].patches] == f["seconds"],
    ],
    "plot_09_initialization": [
        lambda f, d: 0.3 < lines(d)["he_normal"][-1] / lines(d)["he_normal"][0] < 3,
        lambda f, d: lines(d)["('normal', 0.01)"][-1] < 1e-6 * lines(d)["('normal', 0.01)"][0],
    ],
    "plot_10_learning_rate": [
        lambda f, d: last(d)["constant 0.05"] < min(last(d)["constant 0.001"], last(d)["constant 3.0"]),
        lambda f, d: lines(d, 1)["invscaling"][0] == 0.3 and np.all(np.diff(lines(d, 1)["invscaling"]) < 0),
        lambda f, d: np.allclose(
            lines(d, 1)["invscaling"][1:], 0.3 / np.sqrt(1797 * np.arange(1, f["epochs"]) + 1), rtol=1e-6
        ),
        lambda f, d: np.argmax(lines(d, 1)["one_cycle"]) not in (0, f["epochs"] - 1),
        lambda f, d: all(lines(d, 1)[n][-1] < 0.3 / 2 for n in ("step", "exponential", "cosine")),
    ],
    "plot_11_normalization": [lambda f, d: 2 * max(v for k, v in last(d).items() if k != "None") < last(d)["None"]],
    "plot_12_batch_normalization": [lambda f, d: last(d)["True"] < 0.7 * last(d)["False"]],
    "plot_13_l1_l2": [
        lambda f, d: share(d[2].get_title()) > 0.2 and share(d[1].get_title()) == share(d[0].get_title()) == 0,
    ],
    "plot_14_dropout": [lambda f, d: last(d)["0.5"] > last(d)["0.25"] > last(d)["0.0"]],
    "plot_15_activations": [lambda f, d: slopes_fit(d)],
    "plot_16_optimizers": [lambda f, d: all(float(axes.get_title().split("cost ")[1]) < 0.05 for axes in d)],
    "plot_17_mnist_from_scratch": [
        lambda f, d: "not MNIST" in d[0].get_title() and list(d[0].lines[0].get_ydata()) == f["scores"],
        lambda f, d: f["scores"][-1] > 0.6,
    ],
    "plot_18_scikit_learn_slide": [
        lambda f, d: [int(axes.get_title()[6:]) for axes in d] == f["y_pred"][:5].tolist(),
        lambda f, d: (f["y_pred"] == f["y_test"]).mean() > 0.9,
    ],
    "plot_19_activation_of_ones_own": [
        lambda f, d: f["errors"]["snake"] < 0.5 * min(f["errors"]["tanh"], f["errors"]["relu"]),
    ],
    "plot_20_focal_loss": [lambda f, d: f["recalls"]["focal loss"][1:].sum() > f["recalls"]["log loss"][1:].sum()],
    "plot_21_asymmetric_loss": [
        lambda f, d: f["below"]["squared error"] > 0.4,
        lambda f, d: f["below"]["asymmetric"] < 0.3,
    ],
    "plot_22_optimizer_of_ones_own": [lambda f, d: max(f["final"].values()) < 2.0],
    "plot_23_table": [
        lambda f, d: [bar.get_width() for bar in d[0].patches] == f["importance"].importances_mean.tolist(),
        lambda f, d: f["importance"].importances_mean.min() > 0.02 and f["model"].oof_score_ > 0.75,
        lambda f, d: d[0].get_title()[9:13] == f"{f['model'].score(f['X_test'], f['y_test']):.2f}",
    ],
    "plot_24_mnist_recipe": [
        lambda f, d: np.allclose(d[0].lines[0].get_ydata(), 100 * np.array(f["errors"])),
        lambda f, d: f"{100 * (f['predicted'] == f['y_test']).mean():.2f} % right" in d[0].get_title(),
        lambda f, d: all(f"{f['y_test'][k]}, not" in axes.get_title() for axes, k in zip(d[1:], f["wrong"])),
        lambda f, d: f["errors"][-1] < 0.15,
    ],
}


def test_every_picture_has_a_claim_that_is_tested():
    assert set(CLAIMS) == {path.stem for path in SCRIPTS}


def test_there_is_one_for_every_row_of_the_lecture():
    assert [int(path.name[5:7]) for path in SCRIPTS] == list(range(1, len(SCRIPTS) + 1)) and len(SCRIPTS) >= 18


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_example(path, monkeypatch, tmp_path):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    pictures, drawn = [], []

    def show():
        drawn.extend(axes for number in plt.get_fignums() for axes in plt.figure(number).axes)
        plt.savefig(tmp_path / "picture.png")
        pictures.append(plt.imread(tmp_path / "picture.png"))
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    monkeypatch.setenv("SMALL_EXAMPLES", "1")
    monkeypatch.delenv("MNIST_DIR", raising=False)
    found = runpy.run_path(str(path))
    for number, claim in enumerate(CLAIMS[path.stem]):
        assert claim(found, drawn), number
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
