"""Sessions in fresh environments: ``nox -s tests``, ``lint``, ``docs``, ``bench``, ``floors``."""

import nox

nox.options.sessions = ["lint", "tests"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# The oldest releases that pyproject.toml allows
FLOORS = ["numpy==2.0.*", "numba==0.62.*", "scikit-learn==1.7.*", "scipy==1.13.*"]


@nox.session(python=PYTHONS)
def tests(session):
    """The test suite on one Python."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session):
    """Lint, format and types."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session):
    """The pictures drawn anew, the examples of the documentation, the site: docs/_build/html/index.html."""
    session.install("-e", ".[test,docs]")
    session.run("python", "docs/pictures/draw.py")
    session.run("pytest", "src", "README.md", "docs/quick_start.md", "tests/contracts/test_examples.py")
    session.run("python", "-m", "sphinx", "-W", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench(session):
    """What the last commit changed in the kernels' speed."""
    session.install("-e", ".[bench]")
    session.run("asv", "machine", "--yes")  # else it asks
    session.run("asv", "continuous", "HEAD^", "HEAD", *session.posargs)


@nox.session(python="3.11")
def floors(session):
    """The tests with the oldest releases that are allowed."""
    session.install(*FLOORS)
    session.install("-e", ".[test]", *FLOORS)
    session.run("pytest", "-m", "not slow", *session.posargs)
