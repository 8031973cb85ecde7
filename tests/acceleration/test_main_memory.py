"""Memory of large tensors stays with a program that computes on a CPU."""

import resource
import subprocess
import sys

import pytest
import torch

COUNT_FAULTS = """
import resource, sys, torch
from mmseg_uvpt.acceleration.main_memory import keep_main_memory
if sys.argv[1] == 'kept':
    keep_main_memory()
for _ in range(30):
    torch.empty(10_000_000 + int(1000 * torch.rand(1))).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.empty(10_000_000 + int(1000 * torch.rand(1))).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='glibc only')
@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU the allocator is left alone')
def test_large_tensors_get_the_pages_of_those_before():
    faults = [
        int(
            subprocess.run(
                [sys.executable, '-c', COUNT_FAULTS, how],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for how in ('returned', 'kept')
    ]
    pages = 10 * 4 * 10_000_000 / resource.getpagesize()
    assert faults[0] > pages / 2
    assert faults[1] < pages / 3


FREE = """
import resource, torch
from mmseg_uvpt.acceleration.main_memory import keep_main_memory
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
torch.empty(5_000_000).fill_(1)  # from now on glibc has smaller tensors in one piece of memory
tensors = [torch.ones(250_000) for _ in range(200)]
del tensors[:-1]  # the last one keeps the piece from shrinking
before = resident()
keep_main_memory()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc only')
@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU the allocator is left alone')
def test_what_was_free_before_is_returned():
    command = [sys.executable, '-c', FREE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150e6
