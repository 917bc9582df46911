"""The documentation as a site: built without the internet and without a warning, all links inside of it lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

import jitmlp
from jitmlp.estimators.links import DOCUMENTATION

ROOT = Path(__file__).parents[2]
MODULES = ("sphinx", "pydata_sphinx_theme", "sphinx_gallery", "numpydoc", "myst_parser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in MODULES), reason="needs the extra 'docs'"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if name != "MNIST_DIR"}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(folder / "trees")]
    done = subprocess.run(
        [*command, "docs", str(folder / "html")], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "html"


def links(page):
    """Targets of the links and pictures of a page."""
    return [unescape(target) for target in re.findall(r'(?:href|src)="([^"]+)"', page.read_text())]


def test_the_site_is_built_without_a_warning_and_every_link_leads_somewhere(site):
    pages = [page for page in site.rglob("*.html") if "_static" not in page.parts]
    names = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in pages}
    assert len(names) > 60
    broken = []
    for page in names:
        for target in links(page):
            if re.match(r"[a-z]+:|//", target) or target in ("#", ""):
                continue
            path, _, anchor = unquote(target).partition("#")
            place = (page.parent / path.split("?")[0]).resolve() if path else page
            if not place.exists() or (anchor and place in names and anchor not in names[place]):
                broken.append((page.name, target))
    assert broken == []


def test_every_exported_name_has_its_page_where_the_estimators_html_links_to(site):
    for name in jitmlp.__all__:
        if not name.startswith("_"):
            assert (site / "generated" / f"jitmlp.{name}.html").is_file(), name
    link = jitmlp.MLPClassifier()._get_doc_link()
    assert (site / link.removeprefix(DOCUMENTATION + "/")).is_file()
    page = (site / "generated" / "jitmlp.MLPClassifier.html").read_text()
    assert "hidden_layer_sizes" in page and "set_callbacks" in page and "to_onnx" in page


def test_the_lecture_has_pictures_in_both_languages(site):
    for page in ("lecture.html", "lectura.html"):
        pictures = [target for target in links(site / page) if "sphx_glr_plot" in target]
        assert len({re.search(r"plot_\d\d", target).group() for target in pictures}) == 24, page
    for number in range(1, 25):
        assert list(site.glob(f"gallery/plot_{number:02d}_*.html")), number
