"""The model card of a shared model: made of what its run recorded, and nothing else."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from mmengine.config import Config

from mmseg_uvpt.checkpoints.names import is_adapted
from mmseg_uvpt.engine.config.classes import LOADERS
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.work_folder.claim import (
    CONFIG,
    ENVIRONMENT,
    RUN,
    SOURCE,
    command_words,
    option_values,
    run_record_of,
)
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.score import DEFINITION
from mmseg_uvpt.files import file_hash, read_object
from mmseg_uvpt.importing.mmseg_config import plain_values
from mmseg_uvpt.models.backbones.mit import StagedMiT
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION, VERDICT
from mmseg_uvpt.tables import markdown

_TERMS = {  # where those of a data set stand, by the folder that the recipes expect it in
    'gta': ('GTA', 'https://download.visinf.tu-darmstadt.de/data/from_games/'),
    'synthia': ('SYNTHIA', 'https://synthia-dataset.net/'),
    'cityscapes': ('Cityscapes', 'https://www.cityscapes-dataset.com/license/'),
    'urbansyn': ('UrbanSyn', 'https://www.urbansyn.org/'),
    'acdc': ('ACDC', 'https://acdc.vision.ee.ethz.ch/'),
    'dark_zurich': ('Dark Zurich', 'https://www.trace.ethz.ch/publications/2019/GCMA_UIoU/'),
    **dict.fromkeys(('bdd100k', 'bdd100k_seg'), ('BDD100K', 'https://bdd-data.berkeley.edu/')),
    **dict.fromkeys(
        ('mapillary', 'mapillary_v2'),
        ('Mapillary Vistas', 'https://www.mapillary.com/dataset/vistas'),
    ),
    'idd': ('IDD', 'https://idd.insaan.iiit.ac.in/'),
}
_SEGFORMER = (
    'MiT was published by SegFormer, whose licence is non-commercial: it holds for these weights, '
    'too, where they began with its own.'
)
_MACHINE = ('platform', 'processors', 'GPU 0', 'PyTorch', 'Python', 'mmseg_uvpt')
_CURE = 'name files that test.py wrote of this checkpoint'
_COMMAND = 'python test.py CONFIG CHECKPOINT --work-dir FOLDER'


def card_text(
    model: Predictor,
    weights: Path,
    adapted_from: Sequence[str],
    scores: Sequence[Path],
    licence: str | None,
) -> str:
    """Return a model card: YAML for the hub, then Markdown.

    Args:
        model: what is shared; the work folder of its checkpoint is read.
        weights: the file that is shared.
        adapted_from: hashes of what its checkpoint says that it was adapted from.
        scores, licence: of `pretrained.save_pretrained`.

    Raises:
        UserError: a score is no result of a test, or of another checkpoint.
    """
    if licence is not None and not re.fullmatch(r'[\w.-]+', str(licence)):
        raise UserError(f"licence={licence!r}: give the hub's name of one, such as apache-2.0")
    folder = Path(model.checkpoint).resolve().parent
    record = run_record_of(folder)
    is_adapted_model = bool(adapted_from) or is_adapted(model.model.state_dict())
    found = [_score(path, model) for path in scores] or list(_scores_beside(folder, model))
    roots = _roots(model.cfg)
    of_source = _roots_of_source(folder, record) if is_adapted_model else []
    parts = {
        'How it is used': _usage(),
        'What it does': _task(model, is_adapted_model, roots, of_source),
        'Scores': _scores(found),
        'How this checkpoint was chosen': _choice(folder, record, Path(model.checkpoint).name),
        'How it was trained': _training(folder, record, model, is_adapted_model, adapted_from),
        'Licence': _licence(licence, [*of_source, *roots], model),
        'Files': f'`{weights.name}`: SHA-256 `{file_hash(weights)}`, of '
        f'`{Path(model.checkpoint).name}`.',
    }
    name = folder.name if record else Path(str(model.cfg.filename)).stem
    if (folder / VERDICT).is_file():  # of `uvpt adapt`, whose training lies one folder deeper
        name = (folder.parent if record else folder).name
    data = ModelCardData(
        library_name='mmseg_uvpt',
        pipeline_tag='image-segmentation',
        tags=['semantic-segmentation', 'source-free-domain-adaptation', 'visual-prompt-tuning'],
        license=licence,
        model_name=name,
        eval_results=[_result(s, path) for path, s in found if _is_plain(s)] or None,
    )
    body = '\n\n'.join(f'## {title}\n\n{text}' for title, text in parts.items())
    return str(ModelCard(f'---\n{data.to_yaml()}\n---\n\n# {name}\n\n{body}\n'))


def _usage() -> str:
    return (
        '```python\nimport mmseg_uvpt\n\n'
        "model = mmseg_uvpt.from_pretrained('THIS REPOSITORY OR FOLDER')\n"
        "result = model('street.jpg')\nresult.save('seen.png')\n```\n\n"
        'Nothing that is loaded runs code: weights are safetensors, and `config.py` is read as '
        'plain values.'
    )


def _task(
    model: Predictor, is_adapted_model: bool, roots: Sequence[str], of_source: Sequence[str]
) -> str:
    kind = 'adapted to images without their labels' if is_adapted_model else 'trained on labels'
    text = (
        f'Semantic segmentation, {len(model.classes)} classes: {", ".join(model.classes)}. The '
        f'model was {kind}. Folders of data in its config: {_quoted(roots) or "none"}.'
    )
    if not is_adapted_model:
        return text
    told = f'trained on labels of {_quoted(of_source)}' if of_source else 'not recorded'
    return f'{text} What its source model was trained on: {told}.'


def _quoted(roots: Sequence[str]) -> str:
    return ', '.join(f'`{root}`' for root in roots)


def _scores(found: Sequence[tuple[Path, dict]]) -> str:
    if not found:
        return f'None is recorded. `{_COMMAND}` makes one.'
    head = ('file', 'images', 'predicted', 'mIoU', '95 % of resamples', 'classes counted')
    lines = []
    for path, score in found:
        for name, counted in score['classes_of_mean'].items():
            if score[name] is None:
                continue
            bounds = score.get('intervals', {}).get(name)
            told = f'{bounds[0]:.1f} to {bounds[1]:.1f}' if bounds else ''
            cells = (
                path.name.replace('|', '_'),
                str(score['frames']),
                _how(score),
                f'{score[name]:.2f}',
                told,
                str(len(counted)),
            )
            lines.append(cells)
    classes = found[0][1]['IoU']
    told = ', '.join(f'{c} {"-" if v is None else f"{v:.1f}"}' for c, v in classes.items())
    return f'{markdown(head, lines)}\nIoU of the first one: {told}.\n\n{DEFINITION}'


def _how(score: dict) -> str:
    views = 'over sizes and flips' if score.get('aug_test') else 'once'
    return f'{views}, in half precision' if score.get('amp') else views


def _is_plain(score: dict) -> bool:
    return score['mIoU'] is not None and not score.get('aug_test')


def _choice(folder: Path, record: dict, name: str) -> str:
    path = folder / SELECTION
    if (folder / VERDICT).is_file():
        return read_object(folder / VERDICT, 'delete it')['sentence']
    if re.fullmatch(r'best_.+_iter_\d+\.pth', name) and record:
        return 'It scored best of all evaluations by the labels of the target, as papers do.'
    if not path.is_file():
        return f'`{name}`; nothing says that candidates were compared.'
    found = read_object(path, 'delete it')
    text = found['sentence'] if name == CHECKPOINT else f'`{name}`. Of the run: {found["sentence"]}'
    return f'{text}\n\n**Warning**: {found["warning"]}' if found['warning'] else text


def _training(
    folder: Path,
    record: dict,
    model: Predictor,
    is_adapted_model: bool,
    adapted_from: Sequence[str],
) -> str:
    starts = record.get('starts')
    if not starts:
        return f'Unknown: no {RUN} beside the checkpoint says it.'
    commands = (_without_folders(start['command']).replace('\n', ' ') for start in starts)
    lines = [*(f'    {command}' for command in commands), '']
    if is_adapted_model:
        tuner = model.cfg.model.get('tuner') or {}
        lines.append(f'Method {model.cfg.model.type}, tuner {tuner.get("type", "Prompts")}.')
    if adapted_from:
        lines.append(f'Adapted from weights with SHA-256 `{adapted_from[0]}` (of the tensors).')
    last = starts[-1]
    git = last.get('git') or {}
    changed = ' with uncommitted changes' if git.get('dirty') else ''
    facts = [f'Seed {last["seed"]}', f'commit `{git.get("commit")}`{changed}']
    if 'iterations' in record:
        facts.insert(0, f'The run had {record["iterations"]} iterations')
    if parameters := last.get('parameters'):
        facts.append(f'{parameters["trainable"]:,} of {parameters["total"]:,} parameters trained')
    lines.append(', '.join(facts) + '.')
    machine = folder / ENVIRONMENT
    if machine.is_file():
        known = read_object(machine, 'delete it')
        lines.append(', '.join(f'{key}: {known[key]}' for key in _MACHINE if key in known) + '.')
    return '\n'.join(lines)


def _without_folders(command: str) -> str:
    """Return a command whose absolute paths end in their names: a home is nobody's business."""
    if not (words := command_words(command)):
        return command
    parts = [word.rpartition('=') for word in words]
    bare = [value.strip('\'"') for *_, value in parts]  # as `overrides.option_of` may quote it
    return shlex.join(
        key + equals + (Path(path).name if path.startswith('/') else value)
        for (key, equals, value), path in zip(parts, bare, strict=True)
    )


def _licence(licence: str | None, roots: Sequence[str], model: Predictor) -> str:
    own = f'Of the weights: {licence}.' if licence else 'Nobody has said which the weights have.'
    terms = dict.fromkeys(_TERMS[root] for root in roots if root in _TERMS)
    told = ''.join(f'\n- {name}: {link}' for name, link in terms)
    if told:
        own += f' If the folders above hold these data sets, they have terms:\n{told}'
    if any(isinstance(module, StagedMiT) for module in model.model.modules()):
        own += f'\n\n{_SEGFORMER}'
    return own


def _roots(cfg: Config, loaders: Sequence[str] = LOADERS) -> list[str]:
    """Return the last part of each data root of a config, in its order."""
    roots = {
        Path(root).name: None
        for name in loaders
        if (root := ((cfg.get(name) or {}).get('dataset') or {}).get('data_root'))
    }
    return list(roots)


def _roots_of_source(folder: Path, record: dict) -> list[str]:
    """Return the data roots that the source model was trained with, as far as its run is there.

    Its config is read as plain values: it may be somebody else's, and nothing of it is run.
    """
    named = []
    if (asked := folder.parent / 'adapt.json').is_file():  # `uvpt adapt` copies its model
        named.append(read_object(asked, 'delete it').get('asked', {}).get('model', ''))
    for start in record.get('starts', []):
        named += option_values(start['command'], SOURCE)
    for name in map(Path, filter(None, named)):
        config = (name if name.is_dir() else name.parent) / CONFIG
        try:
            found = plain_values(config.read_text())
        except (OSError, ValueError, SyntaxError, RecursionError):  # none, or more than a record
            continue
        is_of_source = 'tuner' not in found.get('model', {'tuner': None})
        if is_of_source and name.is_absolute():
            return _roots(Config(found), LOADERS[:1])
    return []


def _scores_beside(folder: Path, model: Predictor) -> Iterator[tuple[Path, dict]]:
    for path in sorted(folder.glob('*.json')):
        try:
            found = read_object(path, _CURE)
        except UserError:  # it is somebody else's
            continue
        if _is_score(found) and _is_of(found, model):
            yield path, found


def _score(path: Path, model: Predictor) -> tuple[Path, dict]:
    found = read_object(path, _CURE)
    if not _is_score(found):
        raise UserError(f'{path} is no result of a test: {_CURE}')
    if not _is_of(found, model):
        raise UserError(f'{path} is the score of {found.get("checkpoint")}: {_CURE}')
    return path, found


def _is_score(found: dict) -> bool:
    has_means = isinstance(found.get('classes_of_mean'), dict) and 'mIoU' in found
    return has_means and isinstance(found.get('checkpoint'), str)


def _is_of(score: dict, model: Predictor) -> bool:
    if 'checkpoint_sha256' in score:  # the name may be that of other weights by now
        return score['checkpoint_sha256'] == file_hash(model.checkpoint)
    return Path(score['checkpoint']).resolve() == Path(model.checkpoint).resolve()


def _result(score: dict, path: Path) -> EvalResult:
    return EvalResult(
        task_type='image-segmentation',
        dataset_type='target',
        dataset_name=path.stem,
        metric_type='mean_iou',
        metric_value=round(score['mIoU'], 2),
    )
