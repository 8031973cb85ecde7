"""The documentation points at what exists."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(p for g in ('*.md', '*/*.md', 'docs/*/*.md') for p in REPOSITORY.glob(g))
CODE = re.compile(r'^ {4}[^\n]*$|^```.*?^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\[([^\]]+)\]\(([^)#\s]+)[^)]*\)')
NAME = re.compile(r'`(\w+)`')
IMPORTED = re.compile(r'^from (mmseg_uvpt[\w.]+) import (\w+)', re.MULTILINE)
MENTIONED = re.compile(
    r'`((?:mmseg_uvpt|tests|tools|benchmarks|configs|docs)/[\w./-]+)`|python ((?:\w+/)*\w+\.py)'
)


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_to_what_they_name(page):
    wrong = []
    for text, target in LINK.findall(CODE.sub('', page.read_text())):
        if target.startswith(('http:', 'https:', 'mailto:')):
            continue
        path = (page.parent / target).resolve()
        if not path.exists():
            wrong.append(f'{target} does not exist')
        elif path.suffix == '.py' and (name := NAME.fullmatch(text)):
            defined = rf'^\s*(def|class) {name[1]}\b|^{name[1]}\b.* ='
            if not re.search(defined, path.read_text(), re.MULTILINE):
                wrong.append(f'{target} does not define {text}')
    assert not wrong, '\n'.join(wrong)


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
