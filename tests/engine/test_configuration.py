"""Where a config's data sets end up."""

from argparse import Namespace
from pathlib import Path

import pytest

from mmseg_uvpt.engine.config.required import require_file
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.errors import UserError

DEMO = 'configs/demo/uni-uvpt_swin-nano.py'


def resolved(config: Path | str, data_root: str | None = None):
    return resolve(Namespace(config=str(config), data_root=data_root, cfg_options=[]))


@pytest.mark.parametrize('chosen', [None, 'data/other', '/elsewhere'])
def test_a_resolved_config_resolves_to_the_same(chosen, tmp_path):
    """The demo's root lies below ``data``, which itself stands for the root in recipes."""
    first = resolved(DEMO, chosen)
    root = chosen or 'data/minicity'
    assert first.val_dataloader.dataset.data_root == f'{root}/cityscapes'
    first.dump(tmp_path / 'config.py')
    again = resolved(tmp_path / 'config.py')
    assert again.to_dict() == first.to_dict()
    moved = resolved(tmp_path / 'config.py', '/new')
    assert moved.val_dataloader.dataset.data_root == '/new/cityscapes'
    hook = moved.default_hooks.label_correction
    assert hook.pseudo_label_dir == '/new/cityscapes/pretrain/demo/train'


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r'checkpoint .* is a folder, not a file: get it'):
        require_file(tmp_path, 'checkpoint', 'get it')


RECIPES = {
    'adapt': 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py',
    'pretrain': 'configs/pretrain/source-gta_swin-b_synthia.py',
}


def places(cfg) -> set[str]:
    """Return all folders of data that a config names."""
    found, nodes = set(), [cfg.to_dict()]
    while nodes:
        node = nodes.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            if isinstance(value, dict | list | tuple):
                nodes.append(value)
            elif key in ('data_root', 'style_dir', 'pseudo_label_dir'):
                found.add(value)
    return found


def expected(recipe: str, whole: str, cityscapes: str) -> set[str]:
    if recipe == 'adapt':
        return {whole, cityscapes, f'{cityscapes}/pretrain/SSS_Swin-B_GTAV_Cityscapes_50.5/train'}
    return {whole, cityscapes, f'{whole}/synthia', f'{whole}/style'}


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize(
    ('given', 'whole', 'cityscapes'),
    [
        ('{}/sets', '{}/sets', '{}/sets/cityscapes'),  # the folder of all
        ('{}/sets/cityscapes', '{}/sets', '{}/sets/cityscapes'),
        ('{}/sets/cityscapes/', '{}/sets', '{}/sets/cityscapes'),
        ('sets/cityscapes', 'sets', 'sets/cityscapes'),
        ('{}/cs', '{}', '{}/cs'),  # of another name
        ('cs', '{}', 'cs'),
        ('{}/links/linked', '{}/links', '{}/links/linked'),  # beside the link, not its target
        ('{}/both', '{}/both', '{}/both/cityscapes'),
        ('{}/nowhere', '{}/nowhere', '{}/nowhere/cityscapes'),
    ],
)
def test_the_data_root_may_be_cityscapes_itself(
    recipe, given, whole, cityscapes, tmp_path, monkeypatch
):
    config = Path(RECIPES[recipe]).resolve()
    for folder in ('sets/cityscapes', 'cs', 'both'):
        (tmp_path / folder / 'leftImg8bit').mkdir(parents=True)
    (tmp_path / 'both/cityscapes').mkdir()
    (tmp_path / 'links').mkdir()
    (tmp_path / 'links/linked').symlink_to(tmp_path / 'cs')
    monkeypatch.chdir(tmp_path)
    given, whole, cityscapes = (text.format(tmp_path) for text in (given, whole, cityscapes))
    first = resolved(config, given)
    assert places(first) == expected(recipe, whole, cityscapes)
    assert places(resolved(config, given)) == places(first)

    first.dump(tmp_path / 'config.py')  # as a work folder records it
    assert resolved(tmp_path / 'config.py').to_dict() == first.to_dict()
    assert resolved(tmp_path / 'config.py', given).to_dict() == first.to_dict()
    moved = resolved(tmp_path / 'config.py', '/new')
    assert places(moved) == expected(recipe, '/new', '/new/cityscapes')
    moved.dump(tmp_path / 'moved.py')
    back = resolved(tmp_path / 'moved.py', given)
    assert places(back) == expected(recipe, whole, cityscapes)


@pytest.mark.parametrize('given', ['.', '../cs', '..'])
def test_the_folder_one_stands_in(given, tmp_path, monkeypatch):
    (tmp_path / 'cs/leftImg8bit').mkdir(parents=True)
    config = Path(RECIPES['pretrain']).resolve()
    monkeypatch.chdir(tmp_path / 'cs' / ('leftImg8bit' if given == '..' else ''))
    cfg = resolved(config, given)
    assert Path(cfg.val_dataloader.dataset.data_root).resolve() == tmp_path / 'cs'
    assert Path(cfg.train_dataloader.dataset.data_root).resolve() == tmp_path / 'synthia'


@pytest.mark.parametrize('chosen', [None, '/new'])
def test_a_config_that_states_the_current_folder(chosen, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = {str(Path(RECIPES['adapt']).resolve())!r}\ndata_root = '.'\n")
    cfg = resolved(config, chosen)
    root = f'{chosen}/' if chosen else ''
    assert cfg.val_dataloader.dataset.data_root == f'{root}cityscapes'
    cfg.dump(tmp_path / 'config.py')
    moved = resolved(tmp_path / 'config.py', '/other')
    assert moved.val_dataloader.dataset.data_root == '/other/cityscapes'


def test_the_default_root_may_be_cityscapes(tmp_path, monkeypatch):
    """Somebody links ``data`` to it."""
    (tmp_path / 'sets/cs/leftImg8bit').mkdir(parents=True)
    (tmp_path / 'data').symlink_to('sets/cs')
    config = Path(RECIPES['adapt']).resolve()
    monkeypatch.chdir(tmp_path)
    cfg = resolved(config)
    assert places(cfg) == expected('adapt', str(tmp_path), 'data')
    cfg.dump(tmp_path / 'config.py')
    assert resolved(tmp_path / 'config.py').to_dict() == cfg.to_dict()
