"""Workflow and issue forms are valid, and what they name exists."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
GITHUB = REPOSITORY / '.github'
FORMS = [GITHUB / f'ISSUE_TEMPLATE/{name}.yml' for name in ('bug_report', 'feature_request')]
TARGETS = re.findall(r'^([a-z-]+):', (REPOSITORY / 'Makefile').read_text(), re.MULTILINE)


def test_each_file_is_yaml():
    files = sorted(GITHUB.rglob('*.yml'))
    assert len(files) == 4
    assert all(isinstance(yaml.safe_load(file.read_text()), dict) for file in files)


def test_the_workflow_runs_what_exists():
    workflow = yaml.safe_load((GITHUB / 'workflows/ci.yml').read_text())
    steps = [step for job in workflow['jobs'].values() for step in job['steps']]
    commands = [step['run'].split() for step in steps if 'run' in step]
    assert ['.ci/run'] in commands
    for program, *arguments in commands:
        if program == 'make':
            assert set(arguments) <= set(TARGETS)
        else:
            assert shutil.which(REPOSITORY / program), f'{program} cannot be run'
    actions = [step['uses'] for step in steps if 'uses' in step]
    assert all(re.fullmatch(r'actions/[\w-]+@v\d+', action) for action in actions)
    for step in steps:
        for pattern in step.get('with', {}).get('cache-dependency-path', '').split():
            assert [*REPOSITORY.glob(pattern)], pattern


@pytest.mark.parametrize('form', FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_asks_for(form):
    """See "Syntax for GitHub's form schema"."""
    described = yaml.safe_load(form.read_text())
    assert {'name', 'description', 'body'} <= described.keys()
    fields = [field for field in described['body'] if field['type'] != 'markdown']
    assert all(field['attributes']['label'] for field in fields)
    names = [field['id'] for field in fields]
    assert len(set(names)) == len(names)


def test_a_bug_report_asks_for_the_environment():
    fields = yaml.safe_load(FORMS[0].read_text())['body']
    asked = {field['id']: field['attributes'].get('description', '') for field in fields}
    assert {'command', 'config', 'log'} <= asked.keys()
    (module,) = re.findall(r'`python -m ([\w.]+)`', asked['environment'])
    assert find_spec(module)
