"""The steps of ``uvpt adapt``: commands that a user could type, and a record of each."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from mmseg_uvpt.adapting import PUBLISHED
from mmseg_uvpt.adapting.adaptation_verdict import Verdict, verdict_on
from mmseg_uvpt.adapting.command_stages import Stage, run_each
from mmseg_uvpt.adapting.config import ADAPTATION, LABELLED_LIST, LABELS, LIST
from mmseg_uvpt.adapting.inputs import inputs_of
from mmseg_uvpt.adapting.preparation import SOURCE, prepare
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.inference.result import temperature_in
from mmseg_uvpt.engine.sharing.pretrained import CARD, CONFIG, WEIGHTS
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.file_lock import alone
from mmseg_uvpt.files import is_text, read_object, refuse_inputs, write_json
from mmseg_uvpt.report.correction_gain import against_truth, correction_sentence
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION, VERDICT

ADAPT, REPORT = 'adapt.json', 'report.html'
WORK, SCORE, PREDICTIONS = 'adaptation', 'score.json', 'predictions'
_PREPARED = (ADAPTATION, LIST, LABELLED_LIST, SOURCE)  # what precedes the record
_AGAIN = 'call uvpt adapt again'
_LOCK = '.adapt.lock'
_NOT_ASKED = ('out', 'dry_run')  # options that change nothing of what is made


def adapt(args: Namespace, command: str) -> Verdict | None:
    """Adapt a model to photographs; what was done before is not done again.

    Args:
        args: of the command line.
        command: as it was typed, for the record.

    Returns:
        Verdict: on the adapted model; None where nothing but the plan was asked for.

    Raises:
        UserError: the model, the photographs or the labelled ones cannot be used; there is no room
            or no time; the folder holds something else; a step failed.
    """
    out, photographs = Path(args.out).resolve(), Path(args.photographs).resolve()
    for path in (out, photographs):
        if not is_text(path):
            raise UserError(f'{path} has a name that is no UTF-8: rename it')
    for folder in filter(None, (args.photographs, args.labelled)):
        if out.is_relative_to(Path(folder).resolve()):
            raise UserError(f'--out {args.out} lies in {folder}, which is read: name another')
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {args.out} is a file: name a folder')
    record = _record(args, out)
    refuse_inputs(
        [out / name for name in _PREPARED], filter(None, (args.model, args.config)), '--out'
    )
    if args.dry_run:
        above = next(folder for folder in out.parents if folder.is_dir())
        try:
            with TemporaryDirectory(prefix='.dry-run.', dir=above) as made:
                prepare(args, Path(made))
        except PermissionError as error:
            raise UserError(f'--out {args.out}: {above} may not be written to') from error
        return None
    with alone(out / _LOCK, f'another call of uvpt adapt works in {out}: wait for it'):
        return _adapt(args, command, record, out, photographs)


def _adapt(args: Namespace, command: str, record: dict, out: Path, photographs: Path) -> Verdict:
    if not record:
        prepared = prepare(args, out)
        record = {'command': command, 'asked': _asked(args), 'inputs': inputs_of(args)}
        record |= prepared.to_json()
        write_json(out / ADAPT, record)
    else:
        print('\n'.join(record['told']), flush=True)
    method = record['plan']['method']
    total = (method == PUBLISHED) + bool(args.labelled) + 3
    following = run_each(_up_to_the_verdict(args, out, method), out, total)
    score = {}
    if args.labelled:
        score = read_object(out / WORK / SCORE, f'delete {out}/done/score.json, and {_AGAIN}')
    verdict = verdict_on(_selection(out), score.get('comparison'))
    for folder in (out, out / WORK):  # beside whichever checkpoint is to be used
        write_json(folder / VERDICT, asdict(verdict))
    checkpoint = _candidate(out) if verdict.adapted else out / SOURCE
    temperature = _temperature(score, verdict.adapted, out)
    after = _after_the_verdict(out, photographs, checkpoint, temperature)
    run_each(after, out, total, following)
    write_json(out / ADAPT, record | {'verdict': asdict(verdict), 'temperature': temperature})
    if gained := correction_sentence(against_truth(RunFolder(out / WORK, method))):
        print(gained, flush=True)
    return verdict


def _up_to_the_verdict(args: Namespace, out: Path, method: str) -> Iterator[Stage]:
    config, source, work = str(out / ADAPTATION), str(out / SOURCE), out / WORK
    if method == PUBLISHED:
        labelling = (
            *('generate_pseudo_label.py', '--config', config, '--checkpoint', source),
            *('--pseudo_label_dir', str(out / LABELS)),
        )
        yield Stage('labels', 'labelling the photographs by the source model', (labelling,))
    training = ('train.py', config, '--work-dir', str(work), '--seed', str(args.seed))
    if not args.labelled:
        training = (*training, '--no-validate')
    yield Stage('adaptation', 'adapting, and choosing a checkpoint', (training,), work)
    if args.labelled:
        candidate = _candidate(out)
        scoring = (
            *('test.py', config, str(candidate), '--compare', source, '--calibration'),
            *('--out', str(work / SCORE), '--work-dir', str(out / 'test')),
        )
        title = f'scoring the source model and {candidate.name} on the labelled photographs'
        yield Stage('score', title, (scoring,))


def _after_the_verdict(
    out: Path, photographs: Path, checkpoint: Path, temperature: float
) -> Iterator[Stage]:
    """Yield the predictions and the report; write the model that is to be used between them."""
    predicting = (
        *('tools/predict.py', str(out / ADAPTATION), str(checkpoint), str(photographs)),
        *('--list', str(out / LIST), '--out', str(out / PREDICTIONS)),
    )
    yield Stage('predictions', 'predicting the photographs', (predicting,))
    if not all((out / name).is_file() for name in (WEIGHTS, CONFIG, CARD)):  # or as people left it
        cfg = read(out / ADAPTATION)
        cfg.merge_from_dict({'model.test_cfg.temperature': temperature})
        Predictor(cfg, checkpoint).save_pretrained(out)
    report = ('tools/report.py', str(out / WORK), '--out', str(out / REPORT))
    yield Stage('report', 'writing the report', (report,))


def _selection(out: Path) -> dict:
    return read_object(out / WORK / SELECTION, f'delete {out}, and {_AGAIN}')


def _candidate(out: Path) -> Path:
    """Return the checkpoint of `scored_iteration`: where the guard kept the source model, labels
    may know better of the last one."""
    return out / WORK / CHECKPOINT if _selection(out)['selected'] else last_checkpoint(out / WORK)


def _temperature(score: dict, adapted: bool, out: Path) -> float:
    """Return by what logits are divided for confidences: as before unless labels show what helps.

    It was fitted on one half of the labelled photographs, and has to help on the other.
    """
    of_source = score.get('comparison', {}).get('source_calibration')
    found = (score.get('calibration') if adapted else of_source) or {}
    with_it = found.get('ece_with_temperature')
    helps = with_it is not None and with_it < found['ece_of_second_half']
    return found['temperature'] if helps else temperature_in(read(out / ADAPTATION).model.test_cfg)


def _record(args: Namespace, out: Path) -> dict:
    """Return what an earlier call with the same arguments left; empty if none did.

    Raises:
        UserError: the folder holds something else.
    """
    if not (out / ADAPT).is_file():
        found = [path.name for path in out.iterdir()] if out.is_dir() else []
        own = _PREPARED if _LOCK in found else ()  # which precedes them
        others = [name for name in found if name not in own and not name.startswith('.')]
        if others:
            raise UserError(f'--out {out} holds other files, as {others[0]}: name a new folder')
        return {}
    record = read_object(out / ADAPT, f'delete {out}, and {_AGAIN}')
    asked = _asked(args)
    there = record.get('asked', {})
    different = [name for name in asked if asked[name] != there.get(name)]
    if different:
        told = ', '.join(f'{n} was {there.get(n)!r}, now {asked[n]!r}' for n in different)
        raise UserError(
            f'--out {out} holds an adaptation of other arguments ({told}): name another folder, or '
            'delete that one'
        )
    before, now = record.get('inputs', {}), inputs_of(args)
    for name in now:
        if now[name] != before.get(name):
            raise UserError(
                f'{name} {asked[name]} changed after {out} was begun: put back what was there, or '
                'name another --out'
            )
    return record


def _asked(args: Namespace) -> dict:
    asked = {name: value for name, value in vars(args).items() if name not in _NOT_ASKED}
    paths = {
        name: str(Path(asked[name]).resolve())
        for name in ('model', 'config', 'photographs', 'labelled')
        if asked[name] and Path(asked[name]).exists()
    }
    return asked | paths
