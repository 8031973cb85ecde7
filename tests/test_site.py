"""The site of `make docs`: whole, and for somebody without a network."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = REPOSITORY / 'docs/api'
# rooms whose modules the reference has, each of them
ROOMS = ('methods', 'correction', 'evaluation', 'selection')
ROOMS += tuple(f'models/{room}' for room in ('segmentors', 'prompts', 'tuners', 'losses'))
ROOMS += ('models/backbones', 'models/backbones/timm', 'models/decode_heads')
LINK = re.compile(r'<a [^>]*href="([^"]+)"')
LOADED = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link [^>]*href="([^"]+)"')


def test_the_reference_has_the_modules_that_are_there():
    pages = ''.join(page.read_text() for page in REFERENCE.glob('*.rst'))
    named = {f'{name.replace(".", "/")}.py' for name in re.findall(r'automodule:: ([\w.]+)', pages)}
    there = {
        path.relative_to(REPOSITORY).as_posix()
        for room in ROOMS
        for path in (REPOSITORY / 'mmseg_uvpt' / room).glob('[a-z]*.py')
    }
    assert not there - named
    assert not [name for name in named - {'mmseg_uvpt.py'} if not (REPOSITORY / name).is_file()]


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    if missing := [name for name in ('sphinx', 'myst_parser', 'furo') if not find_spec(name)]:
        pytest.skip(f'{", ".join(missing)} not installed, as `make docs` does')
    folder = tmp_path_factory.mktemp('site')
    options = ('-q', '-W', '--keep-going', '-b', 'html', '-c', 'docs/site', '-d', folder / 'cache')
    command = (sys.executable, '-m', 'sphinx', *options, '.', folder / 'site')
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / 'site'


def targets(page: Path) -> set[str]:
    return set(re.findall(r' id="([^"]+)"', page.read_text()))


@pytest.mark.slow
def test_links_of_the_site_lead_somewhere(site):
    ids = {page: targets(page) for page in site.rglob('*.html')}
    wrong = set()
    for page in ids:
        for link in LINK.findall(page.read_text()):
            path, _, name = unquote(link).partition('#')
            if re.match(r'https?:|mailto:', path):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.is_file() or (name and name not in ids[target]):
                wrong.add(f'{page.relative_to(site)}: {link}')
    assert not wrong


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob('*.html'):
        loaded = {''.join(found) for found in LOADED.findall(page.read_text())}
        assert not [each for each in loaded if re.match(r'(https?:)?//', each)], page
    for style in site.rglob('*.css'):
        assert not re.search(r'(url\(|@import)\s*["\']?(https?:)?//', style.read_text()), style


@pytest.mark.slow
def test_the_site_shows_what_a_user_calls(site):
    assert (site / 'index.html').read_text() == (site / 'README.html').read_text()
    page = (site / 'docs/api/loading.html').read_text()
    for name in ('load', 'from_pretrained', 'engine.inference.predictor.Predictor'):
        assert f'id="mmseg_uvpt.{name}"' in page
    assert re.search(r'href="../../_source/mmseg_uvpt/__init__.py.html#line-\d+"', page)
