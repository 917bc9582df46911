"""What pyproject.toml cannot say: README's links as they lead somewhere outside of the repository."""

import re
from pathlib import Path

from setuptools import setup

REPOSITORY = "https://github.com/jitmlp/jitmlp"


def absolute(match):
    """A link to a page, or a picture's address."""
    kind = "raw" if match.group(1).startswith("!") else "blob"
    return f"{match.group(1)}({REPOSITORY}/{kind}/main/{match.group(2)})"


text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
setup(
    long_description=re.sub(r"(!?\[[^\]]*\])\((?!https?:|#)([^)\s]+)\)", absolute, text),
    long_description_content_type="text/markdown",
)
