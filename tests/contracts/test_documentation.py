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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    for name in re.findall(
        r"`((?:src|kernels|tests|docs|benchmarks|examples)/[\w/.]+\.(?:py|md|svg))`", page.read_text()
    ):
        assert (ROOT / name).exists(), name
