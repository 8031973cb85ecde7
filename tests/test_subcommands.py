"""`uvpt`: all scripts under one name, and what it is called in a wheel, which has no scripts."""

import re
import sys
from pathlib import Path

import pytest

from mmseg_uvpt import __main__, shipped, subcommands
from mmseg_uvpt.errors import UserError, run_cli
from mmseg_uvpt.shipped import CHECKOUT, find_config, find_configs
from mmseg_uvpt.subcommands import SUBCOMMANDS, as_typed, module_arguments, typed_command


@pytest.fixture
def installed(monkeypatch):
    """As if from a wheel, whose files are those of the checkout."""
    monkeypatch.setattr(subcommands, 'INSTALLED', True)


def test_all_scripts_are_there():
    scripts = {*CHECKOUT.glob('*.py'), *CHECKOUT.glob('tools/**/*.py')} - {CHECKOUT / 'setup.py'}
    assert {CHECKOUT / each.script for each in SUBCOMMANDS.values()} == scripts


@pytest.mark.parametrize('name', SUBCOMMANDS)
def test_its_help_names_what_a_wheel_has(installed, monkeypatch, capsys, name):
    monkeypatch.setattr(sys, 'argv', ['uvpt', *name.split(), '--help'])
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f'usage: uvpt {name}')
    assert not re.search(r'python \S+\.py|launcher_\w+\.py|tools/\w+\.py', text)


def test_a_word_may_go_on_with_another_subcommand(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['uvpt', 'export', 'strip', '--help'])
    with pytest.raises(SystemExit):
        __main__.main()
    assert capsys.readouterr().out.startswith('usage: uvpt export strip')


def test_without_one_all_are_listed(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['uvpt'])
    assert __main__.main() is None
    text = capsys.readouterr().out
    assert all(f'  {name} ' in text for name in SUBCOMMANDS)


@pytest.mark.parametrize('given', [['convert'], ['convert', '--help'], ['launch', '-h']])
def test_the_first_word_of_several_lists_them(monkeypatch, capsys, given):
    monkeypatch.setattr(sys, 'argv', ['uvpt', *given])
    assert __main__.main() is None
    listed = capsys.readouterr().out.partition('subcommands:\n')[2].splitlines()
    names = [name for name in SUBCOMMANDS if name.startswith(f'{given[0]} ')]
    assert [line.split('  ')[1] for line in listed] == names


@pytest.mark.parametrize(
    ('given', 'nearest'),
    [
        ('traln', 'train'),
        ('convert kitti', 'convert cityscapes, convert gta'),
        ('launch all', 'launch test'),
    ],
)
def test_another_name(monkeypatch, given, nearest):
    monkeypatch.setattr(sys, 'argv', ['uvpt', *given.split()])
    with pytest.raises(UserError, match=f'no uvpt {given.split()[0]}; nearest: .*{nearest}'):
        __main__.main()


def test_errors_name_commands_as_they_are_typed(installed, capsys):
    def fail():
        raise UserError(
            'python tools/check_data.py /x/train.py, launcher_train.py, train.py, or a.py'
        )

    with pytest.raises(SystemExit):
        run_cli(fail)
    assert (
        capsys.readouterr().err
        == 'error: uvpt check /x/train.py, uvpt launch train, uvpt train, or a.py\n'
    )


def test_a_file_of_ones_own_keeps_its_name(installed, monkeypatch, capsys):
    def fail():
        raise UserError('config test.py does not exist; make one by train.py, then python test.py')

    monkeypatch.setattr(sys, 'argv', ['uvpt', 'test.py'])
    with pytest.raises(SystemExit):
        run_cli(fail)
    told = 'config test.py does not exist; make one by uvpt train, then uvpt test'
    assert capsys.readouterr().err == f'error: {told}\n'


def test_pages_are_named_where_a_wheel_has_them(installed):
    found = as_typed(
        'data/README.md shows the trees, docs/decisions/data.md why; my/data/README.md'
    )
    path = found.split(' shows')[0]
    assert Path(path) == shipped.shipped('data/README.md')
    assert Path(path).is_file()
    assert f'{CHECKOUT}/docs/decisions/data.md why; my/data/README.md' in found


def test_a_checkout_names_its_scripts():
    assert as_typed('python train.py') == 'python train.py'
    assert typed_command('train.py', ['x y.py']) == "python train.py 'x y.py'"


def test_a_wheel_runs_itself(installed):
    script = 'tools/convert_datasets/gta.py'
    assert module_arguments(script) == ['-m', 'mmseg_uvpt', 'convert', 'gta']
    assert typed_command(script, ['train.py']) == 'uvpt convert gta train.py'


@pytest.mark.parametrize(
    'name',
    [
        'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py',
        'uni_uvpt/sss_swin-b_gta5-to-cityscapes.py',
        'uni_uvpt/sss_swin-b_gta5-to-cityscapes',
    ],
)
def test_shipped_configs_are_found_by_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    found = find_config(name)
    assert found == shipped.shipped('configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py')
    own = Path(name)
    own.parent.mkdir(parents=True)
    own.write_text('')
    assert find_config(name) == own


def test_a_config_that_is_nowhere_keeps_its_name():
    assert find_config('configs/mine.py') == Path('configs/mine.py')


def test_shipped_folders_of_configs_are_found_by_name(tmp_path, monkeypatch):
    """As the pages that a wheel carries name them, whatever folder it is used in."""
    monkeypatch.chdir(tmp_path)
    assert find_configs('configs/targets/acdc') == find_configs('targets/acdc')
    assert find_configs('targets/acdc').is_dir()
    assert find_configs('targets/typo') == Path('targets/typo')
    (tmp_path / 'configs').mkdir()
    assert find_configs('configs') == Path('configs')
