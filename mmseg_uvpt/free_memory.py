"""How much memory is left: of a GPU, of a machine, of what a job or a container may take."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

_MOUNTED, _OF_THIS_PROCESS = Path('/sys/fs/cgroup'), Path('/proc/self/cgroup')
# limit, use, and what of the use is files that the kernel drops when memory is wanted
_VERSION_1 = 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'
_VERSION_2 = 'memory.max', 'memory.current', 'inactive_file'


def free_memory(device: torch.device) -> int:
    """Return how many bytes a device, or the control groups of this process, have free."""
    if device.type == 'cuda':
        free = torch.cuda.mem_get_info(device)[0]
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min([psutil.virtual_memory().available, *_left_to_groups()])


def _left_to_groups() -> Iterator[int]:
    """Yield what is left to each control group that limits this process, of containers and jobs."""
    for folder, (limit, use, files) in _groups():
        try:
            stat = (line.split() for line in (folder / 'memory.stat').read_text().splitlines())
            dropped = next((int(number) for name, number in stat if name == files), 0)
            most, used = (int((folder / name).read_text()) for name in (limit, use))
        except (OSError, ValueError):  # no such group here, or no limit
            continue
        yield max(most - used + dropped, 0)


def _groups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Yield folders of this process's groups and of those above, which limit it, too."""
    try:
        lines = _OF_THIS_PROCESS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers == '':
            top, names = _MOUNTED, _VERSION_2
        elif 'memory' in controllers.split(','):
            top, names = _MOUNTED / 'memory', _VERSION_1
        else:
            continue
        group = Path(path.lstrip('/'))
        for below in (group, *group.parents):  # a container may see only the top
            yield top / below, names
