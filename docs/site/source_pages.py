"""Sphinx extension: files that pages link to become pages of the site.

The Markdown pages link to code, configs and folders, as one reads them in a checkout. Here each
such file becomes a page that shows it, and each folder one that lists what is in it.
"""

import inspect
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = '_source'
LINE = 'line'


class LinksToSources(SphinxTransform):
    """Has links to files and folders that are no pages lead to the pages made of them."""

    default_priority = 10  # before Sphinx copies the files as downloads

    def apply(self) -> None:
        """Replace the links of a page."""
        kinds = (addnodes.pending_xref, addnodes.download_reference)
        for link in [*self.document.findall(lambda node: isinstance(node, kinds))]:
            path = Path(self.env.relfn2path(link['reftarget'], self.env.docname)[1]).resolve()
            if link.get('reftype') == 'myst' and not link.get('refdomain') and path.exists():
                uri = self.app.builder.get_relative_uri(self.env.docname, page_of(path))
                text = link.children[0].children
                link.replace_self(nodes.reference('', '', *text, refuri=uri, source=str(path)))


def page_of(path: Path) -> str:
    """Return the name of the page of a file or folder."""
    return f'{FOLDER}/{path.relative_to(REPOSITORY).as_posix()}'


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """Yield the pages of all that is linked to, of what lies in these folders, and of the API."""
    waiting = [REPOSITORY / 'mmseg_uvpt']
    for name in app.env.found_docs:
        links = app.env.get_doctree(name).findall(nodes.reference)
        waiting += [Path(link['source']) for link in links if 'source' in link]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        body = _listing(app, path, waiting) if path.is_dir() else _code(app, path)
        title = escape(path.relative_to(REPOSITORY).as_posix())
        yield page_of(path), {'title': title, 'body': f'<h1>{title}</h1>{body}'}, 'page.html'


def _listing(app: Sphinx, folder: Path, waiting: list[Path]) -> str:
    items = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name)):
        if path.name.startswith(('.', '__pycache__')) or not _is_shown(path):
            continue
        page = app.env.path2doc(path)
        if page not in app.env.found_docs:
            page = page_of(path)
            waiting.append(path)
        uri = app.builder.get_relative_uri(page_of(folder), page)
        items.append(f'<li><a href="{escape(uri)}">{escape(path.name)}</a></li>')
    return f'<ul>{"".join(items)}</ul>'


def _is_shown(path: Path) -> bool:
    return path.is_dir() or path.suffix in ('.py', '.md', '.json', '.cpp', '.cu', '.cuh', '.h')


def _code(app: Sphinx, path: Path) -> str:
    text = path.read_text()
    try:
        language = get_lexer_for_filename(path.name).aliases[0]
    except ClassNotFound:
        language = 'text'
    return app.builder.highlighter.highlight_block(
        text, language, linenos='inline', lineanchors=LINE
    )


def _share_navigation(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Make the navigation once for all source pages of a folder: it takes most of their time."""
    folder, make = page.rpartition('/')[0], context['toctree']

    def toctree(**options: object) -> str:
        if folder not in app.source_navigation:
            app.source_navigation[folder] = make(**options)
        return app.source_navigation[folder]

    if page.startswith(f'{FOLDER}/'):
        context['toctree'] = toctree


def linkcode_resolve(domain: str, info: dict) -> str | None:
    """Return where the code of an object of the reference (`docs/api`) is shown."""
    if not info.get('module'):
        return None
    found = import_module(info['module'])
    for name in info['fullname'].split('.'):
        found = getattr(found, name, None)
    found = inspect.unwrap(found) if callable(found) else found
    try:
        path, line = Path(inspect.getsourcefile(found)), inspect.getsourcelines(found)[1]
    except TypeError:  # an attribute
        return None
    if not path.is_relative_to(REPOSITORY):
        return None
    return f'../../{page_of(path)}.html#{LINE}-{line}'


def setup(app: Sphinx) -> dict:
    """Add the links and the pages that they lead to."""
    app.add_transform(LinksToSources)
    app.connect('html-collect-pages', source_pages)
    app.source_navigation = {}  # by the folder of the pages
    app.connect('html-page-context', _share_navigation, priority=400)  # before the theme asks
    return {'parallel_read_safe': True}
