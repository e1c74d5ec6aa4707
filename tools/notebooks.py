"""Run the notebooks, each in a process of its own, two at once.

`python tools/notebooks.py` tests them as `nbdev_test` does; `--save` runs them and writes their outputs back.
"""
import argparse, json, os, re, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS, BIN = ROOT/'nbs', Path(sys.executable).parent
TIMEOUT = 300 # s for a notebook; the aim is 60

def listed(slow=False):
    "Notebooks that git knows (or every one, outside a checkout): numbered, index and how-tos; tutorials when slow"
    r = subprocess.run(['git','ls-files','--cached','--others','--exclude-standard','-z','nbs'], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT/p for p in r.stdout.split('\0') if p.endswith('.ipynb')] if r.returncode == 0 else NBS.rglob('*.ipynb')
    return sorted({f for f in files if f.is_file() and '.ipynb_checkpoints' not in f.parts and (slow or 'tutorials' not in f.parts)})

def environment():
    "One thread a process, no progress bars, bytecode kept: two notebooks share two cores"
    env = {k:v for k,v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
    return env | dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', NUMBA_NUM_THREADS='1', OMP_WAIT_POLICY='passive', PYTHONWARNINGS='ignore', IPYTHONDIR=str(ROOT/'.venv'/'ipython'))

def command(nb, slow, save):
    "What runs one notebook"
    if save: return [sys.executable, '-c', SAVE, str(nb)]
    return [str(BIN/'nbdev_test'), '--path', str(nb), '--n_workers', '0', *(['--flags','slow'] if slow else [])]

# The cells that nbdev_test leaves out (`#| eval: false`, the flags of settings.ini) keep the outputs that they have.
SAVE = '''
import sys
from pathlib import Path
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.utils import working_directory
from nbdev.process import NBProcessor
from nbdev.config import get_config
fn = Path(sys.argv[1]); flags = set(get_config().tst_flags.split())
nb = NBProcessor(fn, process=True).nb
def skip(c):
    if c.cell_type != 'code': return True
    d = getattr(c, 'directives_', {}) or {}
    return d.get('eval:', [''])[0].lower() == 'false' or bool(flags & d.keys())
shell = CaptureShell(fn)
with working_directory(fn.parent): shell.run_all(nb, exc_stop=True, preproc=skip)
out = read_nb(fn)
for a,b in zip(out.cells, nb.cells):
    if a.cell_type == 'code': a['outputs'] = b.get('outputs', [])
write_nb(out, fn)
'''

def n_cells(nb):
    "Code cells that a test runs: not `#| eval: false`, not under a flag"
    cells = [''.join(c['source']) for c in json.loads(nb.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    return sum(not re.search(r'^#\|\s*(eval:\s*false|slow|gpu)', c, re.M) for c in cells)

def run(nb, slow=False, save=False):
    "Run one notebook: (passed, seconds, what it printed)"
    start = time.time()
    try:
        r = subprocess.run(command(nb, slow, save), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT*(6 if slow else 1))
        ok, text = r.returncode == 0 and (save or 'Success.' in r.stdout), r.stdout+r.stderr
    except subprocess.TimeoutExpired: ok, text = False, f'stopped after {TIMEOUT} s'
    if 'skip_exec: true' in nb.read_text(encoding='utf-8') or not n_cells(nb): ok, text = False, 'no cell of this notebook would run; a whole notebook is never skipped'
    return ok, time.time()-start, text

def run_all(nbs, slow=False, save=False):
    "Run notebooks two at once, print a line each; returns how many passed and failed"
    passed = 0
    with ThreadPoolExecutor(2) as ex:
        for nb,(ok,secs,text) in zip(nbs, ex.map(lambda n: run(n, slow, save), nbs)):
            print(f"{'ok  ' if ok else 'FAIL'} {nb.relative_to(ROOT)} ({secs:.0f} s)", flush=True)
            if not ok: print(text, flush=True)
            passed += ok
    return passed, len(nbs)-passed

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', help='stems of notebooks, as 04_metrics; default: all')
    p.add_argument('--save', action='store_true', help='write the outputs back'); p.add_argument('--slow', action='store_true', help='run the slow cells as well')
    a = p.parse_args()
    nbs = [n for n in listed(a.slow) if not a.names or n.stem in a.names]
    if not nbs: sys.exit(f"no notebook is called {', '.join(a.names)}")
    sys.exit(run_all(nbs, a.slow, a.save)[1] > 0)

if __name__ == '__main__': main()
