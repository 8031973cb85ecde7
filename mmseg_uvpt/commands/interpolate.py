"""Interpolate between a source model and an adapted one: weights of which part is adapted."""

from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.arguments import from_0_to_1
from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.errors import readable

EXAMPLE = """\
  python tools/interpolate.py model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth \\
      work_dirs/adapted/iter_80000.pth half.pth --alpha 0.5 --config work_dirs/adapted/config.py
  python test.py work_dirs/adapted/config.py half.pth"""


@readable
def main(argv: Sequence[str]) -> None:
    """Write the checkpoint and say how large it is."""
    parser = options.make_parser(
        'Write (1 - alpha) source + alpha adapted, tensor by tensor (WiSE-FT; Wortsman et al., '
        'CVPR 2022): with alpha 0 it predicts as the source model does, with 1 as the adapted one. '
        'What the tuner of the config adds is interpolated from its initial value where that is a '
        'constant (LoRA: B of 0; prompts: gamma of 1e-6), and is as adapted where it is drawn at '
        "random; so are integers. TokenPrompts' tokens are random and always have an effect: with "
        'them alpha 0 is not the source model. ',
        EXAMPLE,
    )
    parser.add_argument('source', type=Path, metavar='SOURCE', help='file of the source model')
    parser.add_argument('adapted', type=Path, metavar='ADAPTED', help='file of the adapted model')
    parser.add_argument('out', type=Path, metavar='OUT', help='file to write, .pth or .safetensors')
    parser.add_argument(
        '--alpha', type=from_0_to_1, default=0.5, metavar='0..1', help='[%(default)s]'
    )
    parser.add_argument('--config', required=True, help="the adapted model's, as its work folder's")
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    options.add_config_options(parser)
    args = parser.parse_args(argv)

    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from mmseg_uvpt.checkpoints.interpolation import interpolate
    from mmseg_uvpt.checkpoints.loading import load_file
    from mmseg_uvpt.checkpoints.reading import SUFFIXES, write_file
    from mmseg_uvpt.engine.config.classes import classes_in, require_same
    from mmseg_uvpt.engine.config.normalisation import is_adaptation
    from mmseg_uvpt.engine.config.resolve import resolve
    from mmseg_uvpt.errors import UserError
    from mmseg_uvpt.files import refuse_to_replace

    files = [args.source, args.adapted]
    refuse_to_replace(args.out, files, args.force, SUFFIXES)
    cfg = resolve(args)
    if not is_adaptation(cfg):
        raise UserError(f'config {args.config} describes no adaptation: name that of {files[1]}')
    require_same({str(file): classes_in(load_file(file)) for file in files})
    init_default_scope('mmseg')
    models = MODELS.build(cfg.model), MODELS.build(cfg.model)
    write_file(interpolate(models, *files, args.alpha), args.out)
    print(f'{args.out}: {1 - args.alpha:g} x {args.source} + {args.alpha:g} x {args.adapted}')
