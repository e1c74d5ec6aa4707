"""Run the tutorials as Colab would: the wheel in a clean environment, each notebook from an empty folder.

    python tools/colab.py [NAME ...]        names of tutorials; default: all

The environment has the locked versions of what the package needs and of the tutorials' extras, and ipykernel; not the repository. Cells with `eval: false` (they install what is installed here) are left out.
"""
import json, os, shutil, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
UV = shutil.which('uv') or str(BIN/'uv')

def run(*args, **kw): return subprocess.run([str(a) for a in args], check=True, **kw)

def environment(folder):
    "A clean environment with the wheel; its python"
    run(UV, 'build', '--quiet', '--wheel', '--out-dir', folder/'dist', ROOT); run(UV, 'venv', '--quiet', '--python', sys.executable, folder/'venv'); python = folder/'venv'/'bin'/'python'
    wheel, = (folder/'dist').glob('*.whl'); locked = folder/'locked.txt'
    locked.write_text(''.join(l for l in (ROOT/'requirements.lock').read_text().splitlines(True) if '--hash' not in l).replace('\\\n', '\n'))
    run(UV, 'pip', 'install', '--quiet', '--python', python, '--constraint', locked, f'{wheel}[tune,triage,reports,onnx]', 'ipykernel', 'nbconvert')
    return python

def runnable(nb):
    "The notebook without the cells that are not to be run"
    nb['cells'] = [c for c in nb['cells'] if '#| eval: false' not in ''.join(c['source'])]
    return nb

def main(names):
    files = [f for f in sorted((ROOT/'nbs'/'tutorials').glob('*.ipynb')) if not names or f.stem in names]; bad = 0
    with tempfile.TemporaryDirectory() as d:
        python = environment(Path(d)); env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH','CXR_DATA')} | dict(OMP_NUM_THREADS='2', PYTHONWARNINGS='ignore')
        for f in files:
            empty = Path(d)/f.stem; empty.mkdir(); (empty/f.name).write_text(json.dumps(runnable(json.loads(f.read_text(encoding='utf-8')))), encoding='utf-8'); start = time.monotonic()
            r = subprocess.run([str(python), '-m', 'nbconvert', '--to', 'notebook', '--execute', '--ExecutePreprocessor.timeout=600', f.name], cwd=empty, env=env, capture_output=True, text=True)
            print(f"{'FAIL' if r.returncode else 'ok  '} {f.name}, from an empty folder ({time.monotonic()-start:.0f} s)", flush=True)
            if r.returncode: bad += 1; print(r.stderr[-2000:])
    print(f'{len(files)-bad} of {len(files)} tutorials run from the wheel')
    return bad

if __name__ == '__main__': sys.exit(main(sys.argv[1:]) > 0)
