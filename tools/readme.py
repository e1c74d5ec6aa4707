"""Run the README's commands, line by line, on drawn data that lies where the README says.

NIH's folder is made of the phantom's films (synthetic), so that every command has what it needs. Two things are not run: the `make` targets, which continuous integration runs anyway, and more than two trials of the search.
"""
import os, re, shutil, subprocess, sys, tempfile, time
from pathlib import Path

ROOT, BIN = Path(__file__).resolve().parent.parent, Path(sys.executable).parent
FEWER = {'--trials 20':'--trials 2'} # what would only take longer
NIH = {'Pleural Effusion':'Effusion', 'Lung Lesion':'Nodule', 'Pleural Other':'Pleural_Thickening'}

def lines():
    "The commands of the README's shell blocks"
    blocks = re.findall(r'```sh\n(.*?)```', (ROOT/'README.md').read_text(encoding='utf-8'), re.S)
    return [l.split('  #')[0].strip() for b in blocks for l in b.splitlines() if l.startswith('cxr_')]

def nih(phantom, to):
    "NIH ChestX-ray14's layout, from a phantom's labels.csv"
    import cv2, pandas as pd
    from cxr_nb.core import NIH_LABELS
    from cxr_nb.dicom import read_grey
    d = pd.read_csv(phantom/'labels.csv'); (to/'images').mkdir(parents=True); rows = []
    for i, r in enumerate(d.itertuples(index=False), 1):
        name = f'{i:08}_000.png'; cv2.imwrite(str(to/'images'/name), read_grey(phantom/r.path, size=256)[0])
        found = [NIH.get(l, l) for l, v in zip(d, r) if v == 1 and NIH.get(l, l) in NIH_LABELS and i % 2] # every second one counts as normal: few films must hold both kinds
        rows.append({'Image Index':name, 'Finding Labels':'|'.join(found) or 'No Finding', 'Follow-up #':0, 'Patient ID':i, 'Patient Age':50, 'Patient Gender':'FM'[i % 2], 'View Position':'PA', 'OriginalImage[Width':256, 'Height]':256, 'OriginalImagePixelSpacing[x':.4, 'y]':.4})
    pd.DataFrame(rows).to_csv(to/'Data_Entry_2017.csv', index=False)

def prepare(work):
    "What the README takes for granted: DATA, new films, cohorts of other sources, another run"
    run = lambda *a: subprocess.run([str(BIN/a[0]), *map(str, a[1:])], cwd=work, check=True, capture_output=True)
    run('cxr_phantom', 'DATA/scans', '--n', 80, '--size', 256, '--difficulty', 'easy', '--jobs', 1); nih(work/'DATA'/'scans', work/'DATA'/'nih')
    (work/'new').mkdir(); films = sorted((work/'DATA'/'scans').rglob('*.dcm'))[:3]
    for f in films: shutil.copy(f, work/'new')
    for k in ('vindr','mimic'): run('cxr_preprocess', 'DATA/scans', '--kind', 'mimic', '--out', f'cohorts/{k}', '--size', 64, '--blank', 'zero', '--jobs', 1)

def main():
    "Run them; the count of those that failed"
    bad, todo = 0, lines()
    with tempfile.TemporaryDirectory() as d:
        work = Path(d); prepare(work); env = os.environ | dict(PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
        for l in todo:
            for a, b in FEWER.items(): l = l.replace(a, b)
            if 'runs/other' in l: shutil.copytree(work/'runs'/'nih', work/'runs'/'other')
            start = time.monotonic(); r = subprocess.run(['bash','-c',l], cwd=work, env=env, capture_output=True, text=True)
            print(f"{'FAIL' if r.returncode else 'ok  '} {l} ({time.monotonic()-start:.0f} s)", flush=True)
            if r.returncode: bad += 1; print(r.stdout[-500:], r.stderr[-1000:])
    print(f'{len(todo)-bad} of {len(todo)} commands of the README run')
    return bad

if __name__ == '__main__': sys.exit(main() > 0)
