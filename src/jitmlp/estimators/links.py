"""Where scikit-learn's HTML view of an estimator links to."""

from __future__ import annotations

DOCUMENTATION = "https://jitmlp.readthedocs.io/en/stable"


class DocumentationLink:
    """The page of a class in the API reference, by scikit-learn's protocol."""

    _doc_link_module = "jitmlp"
    _doc_link_template = DOCUMENTATION + "/generated/jitmlp.{name}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        return {"name": type(self).__name__}
