"""The documentation's tables are those of the code, and its links lead somewhere."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import tables  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_tables_are_those_of_the_code():
    """Otherwise: python docs/tables.py"""
    assert tables.readme((ROOT / "README.md").read_text()) == (ROOT / "README.md").read_text()
    assert tables.reference() == (ROOT / "docs" / "tables.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_pages_lead_through_all_the_examples_and_count_them():
    examples = sorted(path.name for path in (ROOT / "examples").glob("plot_*.py"))
    assert f"in {len(examples)} short programs" in (ROOT / "README.md").read_text()
    for page, count in (("lecture", "Twenty-two"), ("lectura", "Veintidós")):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        assert sorted(set(re.findall(r"plot_\w+\.py", text))) == examples
        assert len(examples) == 22 and count in text.split("##")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    for name in re.findall(
        r"`((?:src|kernels|tests|docs|benchmarks|examples)/[\w/.]+\.(?:py|md|svg))`", page.read_text()
    ):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page):
    for name, function in re.findall(r"`(?:tests/\w+/)?(test_\w+\.py)(?:::(\w+))?`", page.read_text()):
        found = list((ROOT / "tests").rglob(name))
        assert found, name
        assert not function or f"def {function}(" in found[0].read_text(), function


def test_the_reliability_page_names_tests_that_exist():
    text = "".join(p.read_text() for p in (ROOT / "tests").rglob("*.py"))
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines():
        cells = line.split("|")
        if len(cells) == 5 and cells[1].strip().isdigit():
            for words in re.findall(r"(?<![\w/`.])([a-z]+(?:_[a-z0-9]+)+)", cells[3]):
                assert f"def test_{words}" in text or f"def {words}" in text or words in ("check_estimator",), words
