"""Options that are wrong in ways nobody thought of: each is one line, or is no fault at all."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train
from mmseg_uvpt.errors import UserError

SCRIPTS = {
    'pretrain': pretrain,
    'pseudo_label': generate_pseudo_label,
    'train': train,
    'test': test,
}
VALUES = (
    *(
        '-1',
        '0',
        '1',
        '1.5',
        '99',
        'nan',
        'inf',
        '-1e-9',
        'abc',
        'None',
        'True',
        'False',
        '..',
        '=',
    ),
    *('[]', '()', '(1,)', '(1,2)', '(1,2,3)', '[a,b]', '[[1,2],[3]]', '(-1,-1)', '(0,0)', '(a,b)'),
    *('(160', '[1,(2]', ')(', '"', "'a", '{}', "{'a':1}", 'ImportError', 'Resize', 'äöü'),
)
HEAVY = ('num_workers', 'prefetch_factor')  # 99 processes are not wrong, only slow


class Begun(BaseException):
    """The training has begun: its first iteration is done."""


def entries(node: object, prefix: str = '') -> Iterator[str]:
    """Yield the dotted key of each entry of a config, dicts and lists included."""
    if prefix:
        yield prefix
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from entries(value, f'{prefix}.{key}' if prefix else str(key))


def mistyped(draw: random.Random, key: str) -> str:
    """Return a key with a letter too many, too few, or in the wrong place."""
    at = draw.randrange(len(key))
    change = draw.randrange(4)
    if change == 0:
        return key[:at] + key[at + 1 :]
    if change == 1:
        return key[:at] + draw.choice('abcxyz._0-') + key[at:]
    if change == 2:
        return key[:at] + key[at:][:2][::-1] + key[at + 2 :]
    return key[:at] + draw.choice('abcxyz') + key[at + 1 :]


def wrong_option(draw: random.Random, keys: list[str]) -> str:
    key = draw.choice(keys)
    kind = draw.randrange(6)
    if kind == 0:
        key = mistyped(draw, key)
    elif kind == 1:
        key = f'{key}.{draw.choice(["x", "0", "7", "type", "_delete_", ""])}'
    elif kind == 2:
        key = draw.choice([key.rpartition('.')[0], key.rpartition('.')[2], key.upper()]) or key
    value = draw.choice(VALUES)
    if key.rpartition('.')[2] in HEAVY and value == '99':
        value = '-99'
    return f'{key}={value}'


@pytest.fixture(scope='module')
def labels(miniature, source_config, finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('labels')
    files = ['--checkpoint', str(finished / 'iter_4.pth'), '--pseudo_label_dir', str(folder)]
    data = ['--data-root', str(miniature / 'data')]
    generate_pseudo_label.main(['--config', str(source_config), *files, *data])
    return folder


@pytest.fixture
def start(
    miniature, source_config, adaptation_config, finished, labels, tmp_path, monkeypatch
) -> Callable:
    """Return what starts a script with options, in a folder of its own, until training begins."""
    from mmengine.runner import IterBasedTrainLoop

    run_iter = IterBasedTrainLoop.run_iter

    def once(loop, batch):
        run_iter(loop, batch)
        raise Begun

    monkeypatch.setattr(IterBasedTrainLoop, 'run_iter', once)
    monkeypatch.chdir(tmp_path)  # where an option may have files written
    checkpoint, data = str(finished / 'iter_4.pth'), ['--data-root', str(miniature / 'data')]
    count = 0

    def main(script: str, *options: str) -> None:
        nonlocal count
        count += 1
        folder = str(tmp_path / f'run{count}')
        arguments = {
            'pretrain': [str(source_config), '--work-dir', folder],
            'pseudo_label': [
                *('--config', str(source_config), '--checkpoint', checkpoint),
                *('--pseudo_label_dir', folder),
            ],
            'train': [
                *(str(adaptation_config), '--source-checkpoint', checkpoint),
                *('--pseudo-label-dir', str(labels), '--work-dir', folder),
            ],
            'test': [str(source_config), checkpoint, '--work-dir', folder],
        }
        SCRIPTS[script].main([*arguments[script], *data, '--cfg-options', *options])

    return main


def unclear(start: Callable, script: str, config: Path, seed: int, number: int) -> list[str]:
    """Return what ended in anything but one line, or in nothing wrong."""
    draw, found = random.Random(seed), []
    keys = list(entries(read(config)._cfg_dict))
    for _ in range(number):
        options = [wrong_option(draw, keys) for _ in range(draw.choice((1, 1, 2)))]
        try:
            start(script, *options)
        except (UserError, OSError) as error:
            if '\n' in str(error) or (isinstance(error, OSError) and error.filename is None):
                found.append(f'{options}: {error!r}')
        except SystemExit as error:
            if error.code != 2:  # of argparse
                found.append(f'{options}: {error!r}')
        except Begun:
            pass
        except Exception as error:
            found.append(f'{options}: {error!r}')
    return found


@pytest.mark.parametrize('script', SCRIPTS)
def test_a_few(start, script, source_config, adaptation_config):
    config = adaptation_config if script == 'train' else source_config
    assert unclear(start, script, config, 17, 4) == []


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('script', SCRIPTS)
def test_hundreds(start, script, seed, source_config, adaptation_config):
    config = adaptation_config if script == 'train' else source_config
    assert unclear(start, script, config, seed, 100) == []
