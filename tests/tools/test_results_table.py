"""The table takes the place of an earlier one, and of nothing else."""

from functools import partial

import pytest

from mmseg_uvpt.commands.benchmark_table import BEGINS
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY
from mmseg_uvpt.sweep.results_table import collect
from mmseg_uvpt.sweep.table_formats import to_csv, to_json, to_markdown
from mmseg_uvpt.tables import refuse_other_file


def test_a_table_takes_the_place_of_an_earlier_one_alone(tmp_path):
    refuse = partial(refuse_other_file, begins=BEGINS)
    results = collect(REPOSITORY / 'configs', [])
    file = tmp_path / 'table'
    refuse(file)
    for form in (to_json, to_csv, to_markdown):
        file.write_text(form(results))
        refuse(file)
    file.write_text('mine')
    with pytest.raises(UserError, match='table exists, was not made here'):
        refuse(file)
