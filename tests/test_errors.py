"""How a script ends when something is wrong."""

import pytest

from mmseg_uvpt.errors import UserError, readable, run_cli
from mmseg_uvpt.file_lock import acquire, is_held


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (UserError('x.png is damaged'), 'error: x.png is damaged\n'),
        (OSError(13, 'Permission denied', 'a b'), 'error: cannot use a b: Permission denied\n'),
    ],
)
def test_one_line(error, line, capsys):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run_cli(main)
    assert end.value.code == 1
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (OSError(28, 'No space left on device'), 'error: cannot write: No space left on device\n'),
        (BrokenPipeError(32, 'Broken pipe'), ''),  # whoever read the output has seen enough
        (ValueError('five'), 'error: config mine.py cannot be run: ValueError: five. Mend it\n'),
    ],
)
def test_a_config_is_at_fault_where_nothing_else_is(error, line, capfd, monkeypatch):
    def main(_) -> None:
        raise error

    monkeypatch.setattr('os.dup2', lambda *_: None)
    with pytest.raises(SystemExit) as end:
        run_cli(lambda: readable(main)(['mine.py']))
    assert end.value.code == 1
    assert capfd.readouterr().err == line


def test_a_config_is_named_as_it_was_typed():
    def main(_) -> None:
        raise ValueError('five')

    with pytest.raises(UserError, match=r'config demo/pretrain_swin-nano cannot be run'):
        readable(main)(['demo/pretrain_swin-nano', '--seed', '3'])


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def flock(*_) -> None:
        raise OSError(37, 'No locks available')

    (tmp_path / 'a').touch()
    monkeypatch.setattr('fcntl.flock', flock)
    for ask in (lambda path: acquire(path, 0), is_held):
        with pytest.raises(UserError, match=r'a lies where files cannot be locked \(No locks'):
            ask(tmp_path / 'a')


def test_a_fault_of_ours_keeps_its_traceback():
    def main() -> None:
        raise OSError('no file has to do with it')

    with pytest.raises(OSError, match='no file'):
        run_cli(main)
