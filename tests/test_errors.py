"""How a script ends when something is wrong."""

import pytest

from mmseg_uvpt.errors import UserError, run_cli


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


def test_a_fault_of_ours_keeps_its_traceback():
    def main() -> None:
        raise OSError('no file has to do with it')

    with pytest.raises(OSError, match='no file'):
        run_cli(main)
