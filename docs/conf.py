"""Configuration of the site of `make docs`, which opens without a network."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

from m2v_bench import __version__

project = "m2v_bench"
release = __version__
project_copyright = "the m2v_bench authors"

# sources lie in the whole repository, so that their links lead to the same places there and in the site
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "experiments/*.md", "notebooks/README.md"]
exclude_patterns = [".*", "build", "conf", "dist", "m2v_bench", "mlruns", "results", "site", "tests"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
default_role = "code"  # single backticks of docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures stay short; docstrings say what an argument may be
napoleon_use_rtype = False
napoleon_use_ivar = True
smartquotes = False  # quotes of commands are to be copied

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_title = f"m2v_bench {release}"
# index.html, which leads to docs/index.html, and the leaderboard that `make docs` makes before
html_extra_path = ["extra", *(["../build/site"] if Path("../build/site").is_dir() else [])]
html_copy_source = False
html_show_search_summary = False  # it fetches the pages found, which browsers forbid for files
html_use_index = False
html_show_sphinx = False
html_math_renderer = "mathml"


def _inline(visitor: Any, node: nodes.math) -> None:
    visitor.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(visitor: Any, node: nodes.math_block) -> None:
    visitor.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def _without_private(*details: Any) -> tuple[str | None, str | None]:
    """Drop parameters that begin with an underscore from a signature."""
    signature, returns = details[-2:]
    return signature and re.sub(r", _\w+=[^,)]*", "", signature), returns


def setup(app: Any) -> None:
    """Show formulae as MathML, which browsers render themselves; Sphinx's own way loads a script from the network."""
    app.connect("autodoc-process-signature", _without_private)
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
