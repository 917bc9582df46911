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
    for page, count in (("lecture", "Twenty-four"), ("lectura", "Veinticuatro")):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        assert sorted(set(re.findall(r"plot_\w+\.py", text))) == examples
        assert len(examples) == 24 and count in text.split("##")[0]


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


def test_the_distributions_description_has_no_link_that_breaks_outside():
    from importlib.metadata import metadata

    found = metadata("jitmlp")
    text = found.get_payload() or found["Description"]
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) >= 10 and all(link.startswith("https://") for link in links)
    relative = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", (ROOT / "README.md").read_text())
    for link in relative:
        assert any(other.endswith(f"/main/{link}") for other in links), f"{link}: pip install -e . again"
    for kind, suffix in (("raw", ".svg"), ("blob", ".md")):
        assert all(f"/{kind}/main/" in link for link in links if link.endswith(suffix))


def test_the_picture_of_times_is_that_of_the_table():
    sys.path.insert(0, str(ROOT / "docs" / "pictures"))
    import json

    import draw
    from matplotlib import pyplot

    rows = json.loads((ROOT / "docs" / "pictures" / "bench.json").read_text())["rows"]
    axes = draw.draw_bench().axes[0]
    assert [bar.get_width() for bar in axes.patches] == [row["ratio"] for row in rows[::-1]]
    for row in rows:
        assert row["ratio"] == row["scikit_learn_seconds"] / row["jitmlp_seconds"]
        assert f"| {row['work']} |" in (ROOT / "README.md").read_text()
    pyplot.close("all")
