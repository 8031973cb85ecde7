"""Run the coverage-guided fuzzers: ``make fuzz``, or ``python tests/fuzz/run.py image 60``.

Needs atheris (`pip install atheris`). Each target runs in a process of its own; what it found,
one smallest input for each place that failed, goes below tests/fuzz/corpus/<target>, where
`test_corpus.py` replays it; what it learned goes below work_dirs/fuzz, where the next run begins.
Python code is instrumented, ours and that of the readers below it; C libraries are not.
"""

import argparse
import hashlib
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY, CORPUS = HERE.parents[1], HERE / 'corpus'
INSTRUMENTED = ['mmseg_uvpt', 'PIL', 'readers']
sys.path.insert(0, str(REPOSITORY))
import mmseg_uvpt  # noqa: E402, F401  # before anything imports mmseg

LONGEST = 4096  # bytes of an input


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('target', help='a name in targets.py, or all')
    parser.add_argument('seconds', type=int, help='for each target')
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Fuzz one target, or all of them one after the other; return 1 if something was found."""
    args = parse_arguments()
    if args.here:
        return _fuzz(args.target, args.seconds)
    from targets import TARGETS

    before = set(CORPUS.glob('*/*'))
    for name in TARGETS if args.target == 'all' else [args.target]:
        command = [sys.executable, __file__, name, str(args.seconds), '--here']
        subprocess.run(command, cwd=REPOSITORY)
    found = sorted(set(CORPUS.glob('*/*')) - before)
    print(f'{len(found)} inputs that fail were added to {CORPUS}', *found, sep='\n  ')
    return int(bool(found))


def _fuzz(name: str, seconds: int) -> None:
    import atheris
    import mmseg.apis  # noqa: F401
    import torch
    from torch._weights_only_unpickler import Unpickler

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from targets import TARGETS
    Unpickler.load = atheris.instrument_func(Unpickler.load)
    torch.set_num_threads(1)

    target, findings = TARGETS[name], Findings(name)

    def run(data: bytes) -> None:
        data = target.repair(data)
        try:
            target.run(data)
        except Exception as error:
            findings.add(data, error)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        return target.repair(atheris.Mutate(data, longest))[:longest]

    learned = REPOSITORY / 'work_dirs/fuzz' / name
    learned.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (learned / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    options = [f'-max_total_time={seconds}', f'-max_len={LONGEST}', '-timeout=20']
    options += ['-rss_limit_mb=6000', '-print_final_stats=1', '-verbosity=0']
    options += [f'-artifact_prefix={findings.folder}/']
    atheris.Setup([__file__, *options, str(learned)], run, custom_mutator=mutate)
    atheris.Fuzz()  # libFuzzer ends the process itself


class Findings:
    """Keeps the smallest input for each place that failed."""

    def __init__(self, name: str):
        self.name = name
        self.folder = CORPUS / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, int] = {}

    def add(self, data: bytes, error: Exception) -> None:
        """Note an input with what it raised."""
        frames = [
            f'{Path(f.filename).name}:{f.lineno}' for f in traceback.extract_tb(error.__traceback__)
        ]
        place = f'{type(error).__name__} {" ".join(frames[-3:])}'
        if len(data) < self.found.get(place, 1 << 62):
            if place not in self.found:
                print(f'{self.name}: found {place}: {str(error)[:200]}', flush=True)
            self.found[place] = len(data)
            name = hashlib.sha1(place.encode()).hexdigest()[:12]
            (self.folder / name).write_bytes(data)


if __name__ == '__main__':
    sys.exit(main())
