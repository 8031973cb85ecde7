"""What a job's log tells: how far it is, and its last words."""

import re
from pathlib import Path

_TAIL = 20_000  # bytes that are enough to find the last line of progress
_LINES = re.compile(r'[\r\n]+')
# mmengine's lines, and ours
_LOGGED = re.compile(
    r'Iter\((?P<phase>\w+)\) +\[ *(?P<done>\d+)/(?P<total>\d+)\]'
    r'(?:.*?eta: (?P<left>(?:\d+ days?, )?[\d:]+))?'
)
_PROGRESS = re.compile(
    r'^(?P<phase>\w[\w, ]*): (?P<done>\d+)/(?P<total>\d+) \w+, (?P<left>.*\d:\d\d) left$'
)
_STAMP = re.compile(r'^\d\d/\d\d \d\d:\d\d:\d\d - mmengine - ')


def progress(log: Path) -> str:
    """Return how far a job is, such as ``'train 50/40000, 3:20:11 left'``; empty if unknown."""
    for line in reversed(_lines(log)):
        found = _LOGGED.search(line) or _PROGRESS.search(line)
        if found:
            left = f', {found["left"]} left' if found['left'] else ''
            return f'{found["phase"]} {found["done"]}/{found["total"]}{left}'
    return ''


def last_lines(log: Path, most: int = 3, width: int = 300) -> str:
    """Return the end of a log without its stamps; the lines of mmengine's warnings included."""
    lines = [_STAMP.sub('', line)[:width] for line in _lines(log)]
    return '\n'.join(lines[-most:])


def _lines(log: Path) -> list[str]:
    try:
        with open(log, 'rb') as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            text = file.read().decode(errors='replace')
    except OSError:
        return []
    lines = [line.rstrip() for line in _LINES.split(text) if line.strip()]
    begins = [i for i, line in enumerate(lines) if line.startswith('$ ')]  # an attempt's command
    return lines[begins[-1] + 1 :] if begins else lines
