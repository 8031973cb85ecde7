"""The page that an adaptation ends with, in a browser: it loads, slides, and names what is seen."""

import json
import shutil
import subprocess

import cv2
import pytest

import mmseg_uvpt
from mmseg_uvpt.datasets.label_encodings import CLASSES, PALETTE
from mmseg_uvpt.engine.scripts import test, train
from mmseg_uvpt.report import page

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
BEFORE = """
<script>
const wrong = [];
for (const kind of ['error', 'unhandledrejection', 'securitypolicyviolation']) {
  addEventListener(kind, ({ message, reason, blockedURI }) => {
    wrong.push(`${kind} ${message || reason || blockedURI}`);
  });
}
</script>
"""
AFTER = """
<script>
function act() {
  const [stage, slider] = ['.stage', '.border'].map((name) => document.querySelector(name));
  const [above, below] = ['.above', '.below'].map((name) => stage.querySelector(name));
  const readout = document.querySelector('.readout');
  const middle = [above.width / 2, above.height / 2, 1, 1];
  slider.value = 20;
  slider.dispatchEvent(new Event('input'));
  const slid = [below.style.clipPath, above.style.clipPath, slider.getAttribute('aria-valuetext')];
  const right = document.querySelector('.right');
  right.value = 'truth';
  right.dispatchEvent(new Event('change'));
  const coloured = [...above.getContext('2d').getImageData(...middle).data];
  stage.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown' }));
  const byKey = [readout.textContent, stage.querySelector('.cross').hidden];
  const box = stage.getBoundingClientRect();
  const corner = { clientX: box.left + 1, clientY: box.top + 1 };
  stage.dispatchEvent(new PointerEvent('pointermove', corner));
  const image = document.querySelector('.frame figcaption').firstChild.textContent.trim();
  return { wrong, slid, coloured, byKey, byPointer: readout.textContent, image };
}
const waiting = setInterval(() => {
  if (document.querySelector('.viewer').dataset.ready || wrong.length) {
    clearInterval(waiting);
    const told = document.createElement('script');
    told.type = 'application/json';
    told.id = 'told';
    told.textContent = JSON.stringify(wrong.length ? { wrong } : act());
    document.body.append(told);
  }
}, 50);
</script>
"""


@pytest.fixture
def adapted(tmp_path, finished, judged_config, data_root, pseudo_labels):
    """Work folder of an adaptation and a test that write their pages."""
    folder = tmp_path / 'adapted'
    places = ['--work-dir', str(folder), '--data-root', str(data_root)]
    asked = ['--cfg-options', 'uvpt.report=True', 'default_hooks.label_correction.interval=1']
    asked.append('default_hooks.selection.select=last')  # never the source model
    source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
    train.main([str(judged_config), *source, *places, *asked])
    assert (folder / page.PAGE).is_file()
    (folder / page.PAGE).unlink()
    compared = [str(folder / 'selected.pth'), '--compare', source[1]]
    test.main([str(judged_config), *compared, *places, *asked])
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason='needs chromium: apt-get install chromium')
def test_the_page_works_in_a_browser(adapted, data_root, tmp_path):
    html = (adapted / page.PAGE).read_text()
    assert len(html.encode()) < page.LIMIT
    changed = tmp_path / 'page.html'
    changed.write_text(html.replace('<title>', f'{BEFORE}<title>', 1) + AFTER)
    told = _dom(changed)
    assert told['wrong'] == []
    assert told['slid'] == [
        'inset(0px 80% 0px 0px)',
        'inset(0px 0px 0px 20%)',
        'source 20 %, adapted 80 %',
    ]

    frame = data_root / f'cityscapes/leftImg8bit/val/bonn/{told["image"]}'
    named = told['image'].replace('leftImg8bit', 'gtFine_labelTrainIds')
    truth = cv2.imread(str(data_root / f'cityscapes/gtFine/val/bonn/{named}'), cv2.IMREAD_UNCHANGED)
    height, width = truth.shape
    assert told['coloured'] == [*PALETTE[truth[height // 2, width // 2]], 255]
    model = mmseg_uvpt.load(adapted / 'config.py', adapted / 'selected.pth')
    seen = model(str(frame))
    for (y, x), text in (
        ((int(0.51 * height), width // 2), told['byKey'][0]),
        ((0, 0), told['byPointer']),
    ):
        assert text.startswith(f'truth: {CLASSES[truth[y, x]]}, source: ')
        assert f', adapted: {CLASSES[seen.classes[y, x]]} ' in text
    sure = float(told['byPointer'].rpartition(' ')[0].rpartition(' ')[2])
    assert sure == pytest.approx(100 * float(seen.as_seen()[1][0, 0]), abs=1)
    assert told['byKey'][1] is False


def _dom(path) -> dict:
    """Return what the script within a page tells, as headless Chromium runs it."""
    options = ('--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=20000')
    done = subprocess.run(
        [CHROMIUM, *options, '--dump-dom', f'file://{path}'],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    _, _, told = done.stdout.rpartition('id="told">')
    return json.loads(told.partition('</script>')[0])
