"""How Sphinx builds the site (`make docs`): from the top of the repository, for its README."""

import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

SITE = Path(__file__).resolve().parent
sys.path[:0] = [str(SITE), str(SITE.parents[1])]

from source_pages import linkcode_resolve  # noqa: E402, F401

import mmseg_uvpt  # noqa: E402

project = 'uni-uvpt'
release = mmseg_uvpt.__version__
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.linkcode',
    'source_pages',
]
root_doc = 'README'
include_patterns = ['*.md', 'data/*.md', 'model/*.md', 'docs/*.md', 'docs/*/*.md', 'docs/api/*.rst']
exclude_patterns = ['.*', 'build', 'work_dirs', 'data/[!R]*', 'model/[!R]*']  # not walked through

myst_heading_anchors = 6  # as GitHub names them
default_role = 'any'  # docstrings' single backticks: a link where there is something to link to
suppress_warnings = ['ref.any']

autodoc_default_options = {'members': True, 'show-inheritance': True}
add_module_names = False  # the headings of the reference say them
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False  # those of torch and mmengine have markup of their own
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = 'uni-uvpt'
html_copy_source = False
html_show_copyright = False

NAVIGATION = """

```{toctree}
:hidden:
:glob:
:caption: Pages

docs/method
docs/architecture
docs/training
data/README
model/README
docs/*
CHANGELOG
```
```{toctree}
:hidden:
:glob:
:caption: Reference

docs/api/loading
docs/api/*
```
```{toctree}
:hidden:
:glob:
:caption: Decisions

docs/decisions/*
```
"""


def _add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += NAVIGATION


def _copy_index(app: Sphinx, error: Exception | None) -> None:
    if not error:  # what a server shows first
        shutil.copy(app.outdir / f'{root_doc}.html', app.outdir / 'index.html')


def _skip_fields(app: Sphinx, kind: str, name: str, member: object, skip: bool, *_) -> bool | None:
    """Leave out the fields of named tuples, which the arguments of their classes describe."""
    return True if type(member).__name__ == '_tuplegetter' else None


def setup(app: Sphinx) -> None:
    """Connect what the pages do not say themselves."""
    app.connect('source-read', _add_navigation)
    app.connect('autodoc-skip-member', _skip_fields)
    app.connect('build-finished', _copy_index)
