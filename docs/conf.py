"""How Sphinx builds these pages. Strict and without network: see `make docs`."""  # noqa: INP001 - Sphinx's folder, not a package

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

from cowpath import __version__
from docs.reference import expand

project = "Cowpath"
author = "The Cowpath founders"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True
# Python's own documentation is not linked: builds ask nothing of the network.
nitpick_ignore_regex = [("py:class", r"collections\.abc\..*")]

myst_heading_anchors = 3
# Messages and options are quoted as they are: `--store` keeps its two hyphens.
smartquotes = False
highlight_language = "none"
default_role = "literal"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["cowpath.css"]
html_title = f"Cowpath {release}"
html_copy_source = False
html_show_sourcelink = False


def _expand(_app: Sphinx, _name: str, source: list[str]) -> None:
    source[0] = expand(source[0])


def setup(app: Sphinx) -> None:
    """Have the generated parts of a page made when the page is read."""
    app.connect("source-read", _expand)
