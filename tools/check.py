"Everything `make test` checks: in sync and clean, every notebook runs, the docs render and link; slow: the README's commands, and the tutorials from the wheel; the last line counts"
import subprocess, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import notebooks, sync

def main(slow):
    changed = sync.sync()
    print(f"{'FAIL' if changed else 'ok  '} library, notebooks and README in sync and clean", flush=True)
    if changed: print('were out of line and have been brought in line; look at them and commit:', ', '.join(changed))
    nbs = notebooks.listed(slow)
    passed, failed = notebooks.run_all(nbs, slow)
    if not {'index.ipynb', *(f.name for f in (notebooks.ROOT/'nbs').glob('[0-9]*.ipynb'))} <= {n.name for n in nbs}: failed += 1; print('FAIL a numbered notebook was left out')
    docs = subprocess.run([sys.executable, str(notebooks.ROOT/'tools'/'docs.py')], cwd=notebooks.ROOT, capture_output=True, text=True)
    print(f"{'FAIL' if docs.returncode else 'ok  '} docs: {docs.stdout.strip().splitlines()[-1] if docs.stdout.strip() else 'nothing rendered'}")
    if docs.returncode: print(docs.stdout, docs.stderr)
    more = [] if not slow else [subprocess.run([sys.executable, str(notebooks.ROOT/'tools'/f'{k}.py')], cwd=notebooks.ROOT).returncode == 0 for k in ('readme','colab')]
    for ok in (not changed, docs.returncode == 0, *more): passed, failed = passed+ok, failed+(not ok)
    print(f'{passed} passed, {failed} failed')
    return failed

if __name__ == '__main__': sys.exit(main('--slow' in sys.argv) > 0)
