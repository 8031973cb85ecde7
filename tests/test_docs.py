"""The documentation points at what exists."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    p for p in (*REPOSITORY.glob('*.md'), *REPOSITORY.glob('*/*.md')) if '.venv' not in p.parts
)
CODE = re.compile(r'^ {4}[^\n]*$|^```.*?^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'(?<!!)\[([^\]]+)\]\(([^)#\s]+)[^)]*\)')
NAME = re.compile(r'`(\w+)`')


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
