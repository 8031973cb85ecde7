"""Options of the published scripts, and what takes their place here.

They are refused in one line, all of a command together. ``{}`` stands for the value given.
docs/published-flags.md has a row for each.
"""

from collections.abc import Sequence
from itertools import takewhile

from mmseg_uvpt.errors import UserError

NOTE = 'What only the published script took as an option is answered with what takes its place.'
_UNREAD = 'leave it out, nothing read it'
_GPU = 'put CUDA_VISIBLE_DEVICES={} before the command'
_ALL = {
    '--options KEY=VALUE': '--cfg-options {}',
    '--gpus N': 'put torchrun --nproc_per_node={} in the place of python',
}
_TRAINING = {
    '--gpu-id N': _GPU,
    '--gpu-ids N': _GPU,
    '--resume-from FILE': '--resume, with the --work-dir that holds {}',
    '--auto-resume': '--resume, once the work folder holds a run',
    '--deterministic': '--cfg-options randomness.deterministic=True',
    '--diff_seed': '--cfg-options randomness.diff_rank_seed=True',
}
_HOOK = '--cfg-options default_hooks.label_correction'
_ABLATION = '(nothing read it; it is --cfg-options model.tuner'
_LR = '--cfg-options optim_wrapper'
OPTIONS = {
    'pretrain.py': {
        **_ALL,
        **_TRAINING,
        '--data-root-source DIR': '--cfg-options train_dataloader.dataset.data_root={}',
        '--data-root-target DIR': '--data-root {}, beside which the source is looked for',
        '--load-from FILE': '--cfg-options model.backbone.init_cfg.checkpoint={}',
    },
    'train.py': {
        **_ALL,
        **_TRAINING,
        '--pretrained_from FILE': '--source-checkpoint {} --pseudo-label-dir DIR, which was '
        'pretrain/<name of FILE>/train in the folder of Cityscapes',
        '--load-from FILE': '--source-checkpoint {}',
        '--batch-size N': '--cfg-options train_dataloader.batch_size={}',
        '--train-iter N': '--cfg-options train_cfg.max_iters={}',
        '--eval-freq N': '--cfg-options train_cfg.val_interval={}',
        '--checkpoint-save-freq N': '--cfg-options default_hooks.checkpoint.interval={}',
        '--log-freq N': '--cfg-options default_hooks.logger.interval={}',
        '--lr VALUE': f'{_LR}.optimizer.lr={{}}',
        '--prompt-lr-mult VALUE': f'{_LR}.paramwise_cfg.lr_mult.prompts={{}}',
        '--freeze-backbone': 'leave it out, that is the default (--cfg-options '
        'model.tuner.tune=all trains the backbone too)',
        '--curve-update-interval N': f'{_HOOK}.interval={{}}',
        '--IoU-queue-length N': f'{_HOOK}.queue_length={{}}',
        '--slope-diff-threshold VALUE': f'{_HOOK}.slope={{}}',
        '--trustable-quantile VALUE': f'{_HOOK}.quantile={{}}',
        '--no-update-pseudo': f'{_HOOK}=None',
        '--pseudo-update KIND': 'leave it out for online, give '
        f'{_HOOK}.type=OfflineLabelCorrectionHook and its record for offline, or '
        f'{_HOOK}.type=EarlyLearningHook --cfg-options model.type=EarlyLearning for ELR',
        '--former-train-IOU-record FILE': f'{_HOOK}.record=DIR, the work folder of an online run',
        '--feature-consistency-loss-weight VALUE': '--cfg-options model.prompt_weight={}',
        '--no-feature-consistency-loss': '--cfg-options model.prompt_weight=0',
        '--prediction-consistency-loss-weight VALUE': '--cfg-options model.prediction_weight={}',
        '--no-prediction-consistency-loss': '--cfg-options model.prediction_weight=0',
        '--singlescale-stem': f'{_ABLATION}.generator=single_scale)',
        '--no-level-embedding': f'{_ABLATION}.add_level_embedding=False)',
        '--no-stem': f'{_ABLATION}.generator=convolutions)',
        '--no-PG': f'{_ABLATION}.generator=learned)',
        '--single-PI': f'{_ABLATION}.interactors=1)',
    },
    'test.py': {
        **_ALL,
        '--data_url DIR': '--data-root {}',
        '--test-set': '--format-only --cfg-options test_dataloader.dataset.data_prefix.img_path='
        'leftImg8bit/test: nothing can be scored there without labels',
        '--show': '--show-dir DIR',
        '--opacity VALUE': 'python tools/predict.py --opacity {}: --show-dir paints classes alone',
        '--eval-options KEY=VALUE': 'leave it out, there is one way to evaluate',
        '--gpu-collect': 'leave it out, what several processes count is added up by itself',
        '--tmpdir DIR': 'leave it out, what several processes count is added up by itself',
    },
    'generate_pseudo_label.py': {**_ALL, '--pseudo_thre VALUE': _UNREAD},
    'launcher': {
        '--init_method ADDRESS': f'{_UNREAD}: --gpus-per-job and --engine say where jobs run',
        '--run_test VALUE': f'{_UNREAD}: a short try is --only JOB -- --cfg-options '
        'train_cfg.max_iters=10',
        # version 0.1
        '--models KIND': 'leave it out, each job takes the model that was made in the work root, '
        'else the released one',
    },
}


def refuse(words: Sequence[str], script: str) -> None:
    """Answer the options that only the published script has.

    Args:
        words: of a command line.
        script: a key of `OPTIONS`.

    Raises:
        UserError: some are among the words; names what takes the place of each.
    """
    known = {
        option.split()[0]: (option.split()[1:], text) for option, text in OPTIONS[script].items()
    }
    answers = []
    for place, word in enumerate(words):
        name, _, value = word.partition('=')
        if name in known:
            (kind, text), following = known[name], words[place + 1 :]
            values = takewhile(lambda w: not w.startswith('--'), following)
            given = value or ' '.join(values if kind == ['KEY=VALUE'] else [*values][:1])
            instead = '' if text.startswith('leave it out') else 'instead '
            answer = text.format(given or ''.join(kind))
            answers.append(f'{name} is no option here, {instead}{answer}')
    if answers:
        raise UserError('; '.join(answers))
