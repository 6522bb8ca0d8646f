"""The documentation site: built by `scripts/site.py`, where every warning is an error."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

project = "file-keeper"
author = "The file-keeper authors"
copyright = author
release = tomllib.loads((ROOT / "packages/core/pyproject.toml").read_text("utf-8"))["project"]["version"]
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
suppress_warnings: list[str] = []
nitpicky = True
# What a reference cannot lead to from here: the standard library (its inventory lies on another machine; a build asks
# nobody), type variables, and names of private modules that a signature shows.
nitpick_ignore_regex = [
    ("py:.*", r"(abc|collections|concurrent|contextlib|datetime|enum|fnmatch|hashlib|io|_io|os)(\..*)?"),
    ("py:.*", r"(pathlib|time|types|typing)(\..*)?"),
    ("py:class", r"(Any|Self|Callable|Mapping|Sequence|Iterable|Iterator|AsyncIterator|(dict|tuple)\[.*)"),
    ("py:class", r"(ReadableBuffer|WriteableBuffer)"),
    ("py:.*", r"(Settings|Storage\.upload|FileData\.etag)"),  # short names that one page resolves and another does not
    ("py:.*", r"(.*\.)?(T|T_co|E|U|P|K|V|S|_T)"),
    ("py:class", r"file_keeper\.(bulk|config|resilience|options|references|storage|aio|backend|reading)\..*"),
    ("py:func", r"file_keeper\.config\..*"),
    ("py:class", r"file_keeper_testing\.conformance\..*"),
]

default_role = "literal"  # docstrings set names in single backticks, as Markdown does
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"file-keeper {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_show_sourcelink = True
html_copy_source = True
html_theme_options = {
    "sidebar_hide_name": False,
    "light_logo": "icon.svg",
    "dark_logo": "icon.svg",
    "light_css_variables": {"color-brand-primary": "#0b6e75", "color-brand-content": "#0b6e75"},
    "dark_css_variables": {"color-brand-primary": "#5fd0d6", "color-brand-content": "#5fd0d6"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """A folder is a page where the sources are read in the repository; here the menu shows what lies in it."""
    app.connect("source-read", _folders)


def _folders(app: Any, page: str, source: list[str]) -> None:
    source[0] = re.sub(r"\[([\w ]+)\]\((?:backends|decisions|guides)/?\)", r"\1", source[0])
