"""What a trial says where it fails."""

import signal

from mmseg_uvpt.adapting.trial import _reason


def test_why_it_failed(tmp_path):
    log = tmp_path / 'log'
    log.write_text('')
    assert _reason(log, 3) == 'exit status 3'
    assert _reason(log, -signal.SIGKILL).startswith('SIGKILL ended it, as the system does')
    log.write_text('begins\nerror: no room\nends\n')
    assert _reason(log, 1) == 'no room'
