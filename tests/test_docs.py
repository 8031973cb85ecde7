"""The documentation points at what exists."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    p for p in (*REPOSITORY.glob('*.md'), *REPOSITORY.glob('*/*.md')) if '.venv' not in p.parts
)
CODE = re.compile(r'^ {4}[^\n]*$|^```.*?^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'(?<!!)\[([^\]]+)\]\(([^)#\s]+)(?:#L(\d+))?[^)]*\)')


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_lines(page):
    wrong = []
    for text, target, line in LINK.findall(CODE.sub('', page.read_text())):
        if target.startswith(('http:', 'https:', 'mailto:')):
            continue
        path = (page.parent / target).resolve()
        if not path.exists():
            wrong.append(f'{target} does not exist')
        elif line:
            name = re.escape(text.strip('`'))
            lines = path.read_text().splitlines()
            defined = [
                i for i, s in enumerate(lines, 1) if re.match(rf'\s*(def|class) {name}\b', s)
            ]
            if int(line) not in defined:
                wrong.append(f'{target}#L{line}: {text} is at line {defined}')
    assert not wrong, '\n'.join(wrong)
