"""Sphinx: python -m sphinx -W -b html docs docs/_build/html, without the internet."""

import os
import re
import warnings

os.environ.setdefault("SMALL_EXAMPLES", "1")  # the gallery in a minute; without it as in the lecture
os.environ.setdefault("JITMLP_SILENT", "1")

from sphinx_gallery.sorting import FileNameSortKey

from jitmlp import __version__

project, author, copyright = "jitmlp", "The jitmlp developers", "The jitmlp developers"
release = version = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "pictures/*.py", "*.py"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "attrs_inline"]
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = f"jitmlp {version}"
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("jitmlp",),
    "reference_url": {"jitmlp": None},
}
# labels and terms of scikit-learn's pages in docstrings that are inherited; what the configuration holds is no cache
suppress_warnings = ["ref.ref", "ref.term", "config.cache"]
warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive.*")


def lead_to_the_gallery(app, name, source):
    """On the lecture's pages link to the gallery instead of to files, and show its pictures below each paragraph."""
    if name not in ("lecture", "lectura"):
        return
    paragraphs = source[0].split("\n\n")
    for i, text in enumerate(paragraphs):
        found = re.findall(r"\.\./examples/(plot_\w+)\.py", text)
        thumbs = [
            f"[![{plot}](gallery/images/thumb/sphx_glr_{plot}_thumb.png){{w=250px}}](gallery/{plot}.rst)"
            for plot in found
        ]
        paragraphs[i] = re.sub(r"\.\./examples/(plot_\w+)\.py", r"gallery/\1.rst", text)
        if thumbs:
            paragraphs[i] += "\n\n" + "\n".join(thumbs)
    source[0] = "\n\n".join(paragraphs)


def setup(app):
    """Connect what is done to sources."""
    app.connect("source-read", lead_to_the_gallery)
