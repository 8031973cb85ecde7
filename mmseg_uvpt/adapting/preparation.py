"""What precedes an adaptation: the model is read, photographs are looked at, a plan is tried."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from prettytable import PrettyTable

from mmseg_uvpt.adapting.adaptation_plan import Plan, derive
from mmseg_uvpt.adapting.config import ADAPTATION, write_config
from mmseg_uvpt.adapting.labelled import Labelled, find_labelled
from mmseg_uvpt.adapting.named_model import read_model
from mmseg_uvpt.adapting.photographs import Survey, survey
from mmseg_uvpt.adapting.trial import TRIAL, Costs, duration, try_plan
from mmseg_uvpt.engine.config.resolve import read as read_config
from mmseg_uvpt.engine.sharing.shared_config import require_shareable
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.bootstrap import FEWEST
from mmseg_uvpt.importing.config_files import write_checkpoint
from mmseg_uvpt.importing.source_model import SourceModel, build
from mmseg_uvpt.models.segmentors.source import norms_of_source
from mmseg_uvpt.processes import share_of_processors

SOURCE = 'source.pth'
_FEW = 10  # photographs, of which nobody can say much without labels
_FEWEST_IN_TIME = 30  # iterations that --hours may leave
_NOTHING_TELLS = (
    'nothing but labels can tell whether the model became better, so the source model will be '
    'kept: --labelled DIR with ten photographs is enough to ask'
)


@dataclass(frozen=True)
class Prepared:
    """What was found and decided.

    Attributes:
        plan: how the model is adapted.
        costs: what was measured of it.
        found: the photographs.
        told: the same for people, a line each.
    """

    plan: Plan
    costs: Costs
    found: Survey
    told: list[str]

    def to_json(self) -> dict:
        """Return plain JSON values."""
        return {
            'plan': asdict(self.plan),
            'costs': asdict(self.costs),
            'photographs': {'used': len(self.found.used), 'left_out': dict(self.found.left_out)},
            'told': self.told,
        }


def prepare(args: Namespace, folder: Path) -> Prepared:
    """Read the model, look at the photographs, derive a plan, try it, and print all of that.

    Args:
        args: of the command line.
        folder: takes the source model, the config and the lists of photographs.

    Raises:
        UserError: something cannot be used; there is no room or no time for it.
    """
    labelled = find_labelled(Path(args.labelled)) if args.labelled else None
    source = read_model(args.model, args.config)
    model = build(source)
    absent = labelled.check(source.classes) if labelled else []
    if absent:
        source.notes.append(f'no label map has {", ".join(absent)}, so no score speaks of them')
    for left in folder.glob(f'.{TRIAL}.*'):  # of a call that was killed
        shutil.rmtree(left, ignore_errors=True)
    found = survey(Path(args.photographs), share_of_processors(), labelled)
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(source, model, folder / SOURCE)
    if not (labelled or norms_of_source(model)):
        source.notes.append(f'of a model without batch norms {_NOTHING_TELLS}')
    del model

    def planned(asked: Namespace) -> Plan:
        plan = derive(source, found, torch.cuda.is_available(), asked)
        write_config(folder, source, folder / SOURCE, plan, found, labelled)
        return plan

    plan = planned(args)
    require_shareable(read_config(folder / ADAPTATION), args.model)  # what it all ends with
    print('trying three iterations and four predictions', flush=True)
    classes = len(source.classes)
    costs = try_plan(plan, folder, folder / SOURCE, found.folder, found.used, classes)
    scored = len(labelled.names) if labelled else 0
    if args.hours and (shorter := _within(plan, costs, len(found.used), scored, args.hours)):
        plan = planned(Namespace(**(vars(args) | {'iterations': shorter})))
        source.notes.append(f'--hours {args.hours:g} leave time for {shorter} iterations')
        args = Namespace(**(vars(args) | {'iterations': None}))
    rooms = [*costs.rows(plan, len(found.used), scored, folder)]
    told = [*_told(source, found, labelled, plan, rooms, args)]
    print('\n'.join(told), flush=True)
    for name, needed, free, fits in rooms:
        if not fits:
            raise UserError(
                f'it takes {needed} of {name}, and {free}. Smaller crops (--crop W H) and '
                '--batch-size 1 take less memory, another --out may have more disk'
            )
    return Prepared(plan, costs, found, told)


def _within(plan: Plan, costs: Costs, used: int, labelled: int, hours: float) -> int | None:
    """Return how many iterations there is time for; None where it suffices for all.

    Raises:
        UserError: hardly any.
    """

    def seconds(iterations: int) -> float:
        interval = max(1, plan.interval * iterations // plan.iterations)
        shorter = replace(plan, iterations=iterations, interval=interval)
        return sum(costs.seconds(shorter, used, labelled).values())

    spare = hours * 3600 - seconds(plan.iterations)
    if spare >= 0:
        return None
    left = plan.iterations + int(spare / costs.iteration)
    least = min(_FEWEST_IN_TIME, plan.iterations)
    if left < least:
        raise UserError(
            f'--hours {hours:g} do not suffice: {plan.iterations} iterations take about '
            f'{duration(seconds(plan.iterations))}, and {least} still '
            f'{duration(seconds(least))}. Give it more, or smaller images (--size W H)'
        )
    return left


def _of_few(used: int, distinct: int) -> str:
    """Say what the guard can make of so few photographs; nothing of enough of them."""
    if used < FEWEST:
        return f'of fewer than {FEWEST} photographs {_NOTHING_TELLS}'
    if used < _FEW:
        return (
            f'of {used} photographs the guard can hardly be sure: it will rather keep the source '
            'model'
        )
    if distinct < _FEW:
        return (
            f'of {used} photographs {distinct} look different. The others count as much, so the '
            'guard is surer than it should be: ten labelled ones of other places can tell '
            '(--labelled DIR)'
        )
    return ''


def _told(
    source: SourceModel,
    found: Survey,
    labelled: Labelled | None,
    plan: Plan,
    rooms: list[tuple],
    args: Namespace,
) -> Iterator[str]:
    table = PrettyTable(['', 'value', 'why', 'other values by'], align='l')
    table.add_row(['model', source.what, f'{len(source.classes)} classes', ''])
    for row in plan.rows(found.distinct, args):
        table.add_row(row)
    table.add_divider()
    for name, needed, free, fits in rooms:
        table.add_row([name, needed, free if fits else f'{free}: not enough', ''])
    used, *left_out = found.lines()
    yield f'photographs in {found.folder}: {used}'
    yield from left_out
    if labelled:
        without = f'; {labelled.without} without a label map' if labelled.without else ''
        yield f'labelled, for scoring alone: {len(labelled.names)} in {labelled.root}{without}'
    numbered = ', '.join(f'{number} {name}' for number, name in enumerate(source.classes))
    yield f'classes: {numbered}'
    yield from (f'note: {note}' for note in source.notes)
    if source.not_staged:
        yield f'note: {source.not_staged}. The head alone is tuned'
    if not labelled and (note := _of_few(len(found.used), found.distinct)):
        yield f'note: {note}'
    yield table.get_string()
