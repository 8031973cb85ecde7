"""Whether the confidences of a run's models can be believed, as tests measured it."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from mmseg_uvpt.report.charts import SERIES, Chart, chart, legend
from mmseg_uvpt.report.run_folder import RunFolder

_MARKED = 0.6  # of the confidences, as an example of what predict --abstain takes


def coverage(run: RunFolder) -> Chart | None:
    """Return coverage against accuracy of each model whose calibration a test measured."""
    curves = {
        name: [
            tuple(100 * share for share in (row['confidence'], row['coverage'], row['accuracy']))
            for row in found.get('coverage', ())
            if row['coverage'] and row['accuracy'] is not None
        ]
        for name, found in _measured(run).items()
    }
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        for (name, points), colour in zip(curves.items(), SERIES, strict=False):
            _, kept, right = zip(*points, strict=True)
            axes.plot(kept, right, 'o-', ms=3, color=colour, label=name)
            for confidence, x, y in points:
                if round(confidence) == 100 * _MARKED:
                    axes.plot(x, y, 'o', ms=10, mfc='none', mec=colour)
        axes.set(xlabel='pixels that are kept, %', ylabel='of these right, %')
        legend(axes, list(curves))

    told = '; '.join(
        f'{name} from {points[0][2]:.1f} % right of all pixels to {points[-1][2]:.1f} % of the '
        f'{points[-1][1]:.1f} % that it is surest of'
        for name, points in curves.items()
    )
    title = f'Coverage against accuracy; a ring is at a confidence of {_MARKED}'
    rows = [[name, *point] for name, points in curves.items() for point in points]
    return chart(draw, title, told, ('model', 'confidence, %', 'kept, %', 'right, %'), rows)


def calibration_sentences(run: RunFolder) -> list[str]:
    """Return a sentence on the calibration of each model that was measured."""
    return [_sentence(name, found) for name, found in _measured(run).items() if found.get('ece')]


def _sentence(name: str, found: Mapping) -> str:
    text = f'{name}: confidences are {100 * found["ece"]:.1f} points off on average'
    if found.get('ece_with_temperature') is None:
        return f'{text}.'
    return (
        f'{text}; a temperature of {found["temperature"]:.2f}, fitted on one half of the images, '
        f'makes {100 * found["ece_of_second_half"]:.1f} points '
        f'{100 * found["ece_with_temperature"]:.1f} on the other.'
    )


def _measured(run: RunFolder) -> dict[str, Mapping]:
    """Return the calibration of the source model and of the chosen one, as far as known."""
    scores = [score for score in run.scores.values() if score.get('calibration')]
    if not scores:
        return {}
    score = next(filter(run.is_chosen, scores), scores[0])
    name = Path(score['checkpoint']).name  # of a model that is none of the two
    if run.is_source(score['checkpoint']):
        name = 'source'
    elif run.is_chosen(score):
        name = 'adapted' if run.source_checkpoint else 'model'
    of_source = (score.get('comparison') or {}).get('source_calibration')
    both = {'source': of_source, name: score['calibration']}
    return {name: found for name, found in both.items() if found}
