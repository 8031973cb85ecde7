"""Stages of long work: what is run, what is not run again, and how it stops."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmseg_uvpt.adapting import command_stages as stages
from mmseg_uvpt.errors import UserError

WRITE = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '|')"


def stage(path: Path, *words: str, training: Path | None = None) -> stages.Stage:
    return stages.Stage('one', 'writing', (('-c', WRITE, str(path), *words),), training)


def test_a_stage_is_done_once(tmp_path):
    out = tmp_path / 'out'
    first = stages.run(stage(out, 'a'), tmp_path, '1/1')
    again = stages.run(stage(out, 'a'), tmp_path, '1/1')
    assert out.read_text() == 'a|'
    assert first == again


def test_a_stage_of_other_settings_is_refused(tmp_path):
    stages.run(stage(tmp_path / 'out', 'a'), tmp_path, '1/1')
    with pytest.raises(UserError, match=r'run of other settings.*Choose another folder'):
        stages.run(stage(tmp_path / 'out', 'b'), tmp_path, '1/1')
    assert (tmp_path / 'out').read_text() == 'a|'


def test_a_failed_stage_stops_the_chain_and_is_done_again(tmp_path):
    failing = stages.Stage('one', 'failing', (('-c', 'raise SystemExit(3)'),))
    with pytest.raises(UserError, match=r'stopped at "failing" \(exit status 3'):
        stages.run(failing, tmp_path, '1/1')
    assert not (tmp_path / 'done/one.json').exists()
    stages.run(stage(tmp_path / 'out', 'a'), tmp_path, '1/1')
    assert (tmp_path / 'out').read_text() == 'a|'


def test_what_is_printed_goes_to_a_log_and_the_rest_is_seen(tmp_path, capfd):
    speak = "import sys; print('said'); print('far', file=sys.stderr)"
    log = tmp_path / 'logs/one.log'
    stages.run(stages.Stage('one', 'speaking', (('-c', speak),)), tmp_path, '1/1')
    assert capfd.readouterr() == (f'[1/1] speaking (log: {log})\n', 'far\n')
    typed, said = log.read_text().splitlines()
    assert (typed[0], said) == ('$', 'said')
    failing = stages.Stage('two', 'failing', (('-c', 'raise SystemExit(3)'),))
    with pytest.raises(UserError, match=r'exit status 3, see .*logs/two.log\)'):
        stages.run(failing, tmp_path, '1/1')


def test_what_is_for_the_person_who_waits_is_shown(tmp_path, capfd):
    loud = stages.Stage('one', 'speaking', (('-c', "print('said')"),), shown=True)
    stages.run(loud, tmp_path, '1/1')
    title, typed, said = capfd.readouterr().out.splitlines()
    assert (title, typed[0], said) == ('[1/1] speaking', '$', 'said')


def test_an_interrupted_training_is_resumed(tmp_path):
    work = tmp_path / 'work'
    stages.run(stage(tmp_path / 'fresh', 'a', training=work), tmp_path / '1', '1/1')
    work.mkdir()
    (work / 'config.py').touch()
    stages.run(stage(tmp_path / 'resumed', 'a', training=work), tmp_path / '2', '1/1')
    assert (tmp_path / 'fresh').read_text() == 'a|'
    assert (tmp_path / 'resumed').read_text() == 'a --resume|'


def test_what_stops_a_stage_stops_its_command(tmp_path):
    """A training then writes a checkpoint, and ends with a status of its own."""
    waits = (
        'import pathlib, signal, sys, time; '
        'signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); '
        f'pathlib.Path({str(tmp_path / "began")!r}).touch(); time.sleep(60)'
    )
    program = (
        'import sys; from pathlib import Path\n'
        'from mmseg_uvpt.adapting import command_stages as stages\n'
        f"stage = stages.Stage('one', 'waiting', (('-c', {waits!r}),))\n"
        f'try: stages.run(stage, Path({str(tmp_path)!r}), "1/1")\n'
        'except stages.StageFailed as error: sys.exit(error.status)'
    )
    process = subprocess.Popen([sys.executable, '-c', program])
    while not (tmp_path / 'began').exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 75
