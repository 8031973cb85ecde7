"""What the published scripts took as options is answered with what takes its place."""

import re
import shlex
from argparse import Namespace
from inspect import signature
from pathlib import Path

import pytest
from mmengine.runner import Runner

from mmseg_uvpt.correction.offline import OfflineLabelCorrectionHook
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, published, test, train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.segmentors.uni_uvpt import UniUVPT
from mmseg_uvpt.models.tuners.prompts import Prompts
from mmseg_uvpt.sweep.cli import make_parser

SCRIPTS = {
    'pretrain.py': (pretrain, 'configs/pretrain/sss_swin-b_gta5.py'),
    'train.py': (train, 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'),
    'test.py': (test, 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'),
    'generate_pseudo_label.py': (generate_pseudo_label, None),
}
DEFAULTS = {  # what may be named and stands in no recipe
    'default_hooks': signature(OfflineLabelCorrectionHook).parameters,
    'model': {**signature(UniUVPT).parameters, **signature(Prompts).parameters},
    'randomness': signature(Runner.set_randomness).parameters,
}
PAGE = (Path(__file__).resolve().parents[2] / 'docs/published-flags.md').read_text()
OPTIONS = [(script, option) for script in SCRIPTS for option in published.OPTIONS[script]]


@pytest.mark.parametrize(('script', 'option'), OPTIONS)
def test_each_option_is_answered_by_its_script(script, option):
    main, config = SCRIPTS[script]
    name, *kind = option.split()
    for words in ([name, '7'], [f'{name}=7'] if kind else [name]):
        with pytest.raises(
            UserError, match=f'^{name} is no option here, (instead|leave)'
        ) as refusal:
            main.main([str(config), *words])
        assert '{' not in str(refusal.value)
        assert '\n' not in str(refusal.value)


def test_a_published_command_is_answered_at_once():
    """The launcher's own, as it was published."""
    command = (
        'X_to_cityscapes.py --data-root /cache/cityscapes/ --work-dir tmp/x --lr 6e-06 '
        '--pretrained_from model/SSS.pth --log-freq 200 --eval-freq 2000 --pseudo-update online '
        '--slope-diff-threshold 0.95 --trustable-quantile 0.80'
    )
    with pytest.raises(UserError) as refusal:
        train.main(shlex.split(command))
    answers = str(refusal.value).split('; ')
    assert len(answers) == 7
    assert '--cfg-options optim_wrapper.optimizer.lr=6e-06' in answers[0]
    assert '--source-checkpoint model/SSS.pth' in answers[1]
    assert answers[-1].endswith('--cfg-options default_hooks.label_correction.quantile=0.80')


@pytest.mark.parametrize('script', ['pretrain.py', 'train.py'])
def test_the_entries_that_answers_name_are_those_of_the_recipes(script):
    """An entry that no recipe has would change nothing."""
    config = SCRIPTS[script][1]
    before = resolve(Namespace(config=config, data_root=None, cfg_options=[]))
    found = 0
    for option, instead in published.OPTIONS[script].items():
        for key in re.findall(r'--cfg-options (\S+)=', instead):
            node = before
            for name in key.split('.')[:-1]:
                node = node[name]
            known = {*node, *DEFAULTS.get(key.split('.')[0], ())}
            assert key.split('.')[-1] in known, (option, key)
            found += 1
    assert found > 2


def help_of(script: str, capsys: pytest.CaptureFixture) -> str:
    if script == 'launcher':
        return make_parser('train', '').format_help()
    with pytest.raises(SystemExit):
        SCRIPTS[script][0].main(['--help'])
    return capsys.readouterr().out


@pytest.mark.parametrize('script', published.OPTIONS)
def test_the_page_has_a_row_for_each_flag(script, capsys):
    """With the entries of the answer and no others; other flags are options of our script."""
    title = 'Launchers' if script == 'launcher' else script
    section = re.search(rf'^## {re.escape(title)}\n(.*?)(?=^## |\Z)', PAGE, re.M | re.S)[1]
    rows = re.findall(r'^\| `(--[\w-]+)` \| [^|]*\| ([^|]+) \| [^|]+ \|$', section, re.M)
    assert len(rows) == section.count('\n| `')  # each was read
    here = dict(rows)
    assert len(here) == len(rows)
    answers = {option.split()[0]: text for option, text in published.OPTIONS[script].items()}
    assert set(answers) <= set(here)
    own = set(re.findall(r'--[\w-]+', help_of(script, capsys)))
    for flag, cell in here.items():
        found = set(re.findall(r'`([a-z_]+\.[\w.]+?)(?:=\w+)?`', cell))
        said = set(re.findall(r'--cfg-options ([\w.]+)=', answers.get(flag, '')))
        assert found == said, flag
        assert set(re.findall(r'`(--[\w-]+)`', cell)) <= own, flag
        assert flag in answers or f'`{flag}`' in cell, flag


def test_several_options_of_a_config_add_up():
    parser = train.options.make_parser('', '')
    train.options.add_config_options(parser)
    args = parser.parse_args(['--cfg-options', 'a=1', 'b=2', '--cfg-options', 'c=3'])
    assert args.cfg_options == ['a=1', 'b=2', 'c=3']
    assert parser.parse_args([]).cfg_options == []
