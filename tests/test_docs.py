"""The documentation points at what exists."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(p for g in ('*.md', '*/*.md', 'docs/*/*.md') for p in REPOSITORY.glob(g))
CODE = re.compile(r'^ {4}[^\n]*$|^```.*?^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\[([^\]]+)\]\(([^)\s]+)[^)]*\)')
WEB = re.compile(r'(https?://[\w-]+(\.[\w-]+)+(/[\w.~%+,;:@!$&=/?#-]*)?|mailto:\S+@\S+)')
HEADING = re.compile(r'^#+ +(.*?) *#*$', re.MULTILINE)
NAME = re.compile(r'`(\w+)`')
IMPORTED = re.compile(r'^from (mmseg_uvpt[\w.]+) import (\w+)', re.MULTILINE)
MENTIONED = re.compile(
    r'`((?:mmseg_uvpt|tests|tools|benchmarks|configs|docs)/[\w./-]+)`|python ((?:\w+/)*\w+\.py)'
)


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(CODE.sub('', page.read_text())):
        text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).lower()
        name = re.sub(r'[^\w\- ]', '', text).replace(' ', '-')
        found.add(f'{name}-{seen[name]}' if seen[name] else name)
        seen[name] += 1
    return found


def wrong_links(page: Path) -> Iterator[str]:
    """Yield what is wrong with a page's links. Of other sites' the syntax alone is looked at."""
    for text, link in LINK.findall(CODE.sub('', page.read_text())):
        if ':' in link:
            if not WEB.fullmatch(link):
                yield f'{link} is no address'
            continue
        target, _, anchor = link.partition('#')
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            yield f'{target} does not exist'
        elif anchor and (path.suffix != '.md' or anchor not in anchors(path)):
            yield f'{target or page.name} has no heading #{anchor}'
        elif path.suffix == '.py' and (name := NAME.fullmatch(text)):
            defined = rf'^\s*(def|class) {name[1]}\b|^{name[1]}\b.* ='
            if not re.search(defined, path.read_text(), re.MULTILINE):
                yield f'{target} does not define {text}'


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_to_what_they_name(page):
    assert not [*wrong_links(page)]


@pytest.mark.parametrize(
    'link',
    ['none.md', '#none', 'other.md#none', 'part.py#L1', 'http:/x.org', 'https://x', 'htps://x.org'],
)
def test_a_wrong_link_is_found(link, tmp_path):
    (tmp_path / 'other.md').write_text('# Of `a_b`, and more\n# Of `a_b`, and more\n')
    (tmp_path / 'part.py').touch()
    right = '[a](other.md#of-a_b-and-more-1), [b](#it), [c](https://x.org/a_b?c=d#e), [d](part.py)'
    page = tmp_path / 'page.md'
    page.write_text(f'# It\n\n{right}\n')
    assert not [*wrong_links(page)]
    page.write_text(f'# It\n\n{right}, [e]({link})\n')
    assert len([*wrong_links(page)]) == 1


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_files_that_are_mentioned_exist(page):
    files = {''.join(match) for match in MENTIONED.findall(page.read_text())}
    assert not [file for file in files if not (REPOSITORY / file).exists()]


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_what_examples_import_exists(page):
    for module, name in IMPORTED.findall(page.read_text()):
        path = REPOSITORY / f'{module.replace(".", "/")}.py'
        assert re.search(rf'^(def|class) {name}\b', path.read_text(), re.MULTILINE), name


def test_the_script_draws_the_figures(tmp_path):
    script = REPOSITORY / 'docs/figures/method.py'
    subprocess.run([sys.executable, script, tmp_path], check=True)
    drawn = {path.name: cv2.imread(str(path)) for path in tmp_path.iterdir()}
    assert set(drawn) == {'method.png', 'interactor.png'}
    for name, image in drawn.items():
        shown = cv2.imread(str(REPOSITORY / 'docs/images' / name))
        assert image.shape == shown.shape, f'python {script}'
        other = (cv2.absdiff(image, shown).max(2) > 128).mean()
        assert other < 0.01, f'python {script}'  # letters differ between releases of matplotlib
