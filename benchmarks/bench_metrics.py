"""Intervals of 14 labels x 22,433 images x 1,000 resamples of patients: a scikit-learn loop against cxr_nb.metrics.

    python benchmarks/bench_metrics.py [--rounds 3] [--loop 4] [--out benchmarks/results/metrics.csv]

Synthetic scores in the shape of ChestX-ray14's test predictions (6,187 patients). Both sides resample patients, run in one thread and are timed in CPU seconds,
turn by turn in one run, so that a busy machine slows both; only the ratio means anything. The loop takes minutes, so only `--loop` resamples of it are timed in each round and
multiplied up to 1,000 (each resample costs it the same); ours is timed whole, with sorting, checking and the table. `cold` is the first call of a fresh process that must compile."""
import argparse, os, subprocess, sys, tempfile, time
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1')
import numpy as np, pandas as pd

N,L,PATIENTS,BOOT = 22_433,14,6_187,1000
LABELS = [f'finding {i}' for i in range(L)]

def data(seed=0):
    "Truth, probabilities and patients; prevalence from 0.2 to 18 %, as in ChestX-ray14"
    rng = np.random.default_rng(seed)
    groups = np.sort(np.r_[np.arange(PATIENTS), rng.integers(0, PATIENTS, N-PATIENTS)])
    y = (rng.random((N,L)) < np.geomspace(.002, .18, L)).astype(float)
    return y, 1/(1+np.exp(-(1.5*y + rng.normal(size=(N,L)) - 3))), groups

def loop(y, p, groups, n, scorers):
    "The usual way: rows of the drawn patients, then scikit-learn, label by label"
    rng,rows = np.random.default_rng(0),np.split(np.arange(N), np.flatnonzero(np.diff(groups))+1)
    out = np.empty((n, L, len(scorers)))
    for b in range(n):
        i = np.concatenate([rows[g] for g in rng.integers(0, PATIENTS, PATIENTS)])
        yb,pb = y[i],p[i]
        for l in range(L): out[b,l] = [f(yb[:,l], pb[:,l]) for f in scorers]
    return out

def scorers(names):
    "scikit-learn's function for each metric that it has (all but the debiased calibration error)"
    from sklearn import metrics as m
    at = lambda f: lambda y,p: f(y, p>=.5)
    known = dict(auroc=m.roc_auc_score, ap=m.average_precision_score, f1=at(m.f1_score), accuracy=at(m.accuracy_score), sensitivity=at(m.recall_score),
                 specificity=lambda y,p: m.recall_score(1-y, p<.5), precision=at(m.precision_score), brier=m.brier_score_loss)
    return [known[k] for k in names if k in known]

def ours(y, p, groups, names):
    from cxr_nb.metrics import score_table
    return score_table(y, p, LABELS, groups, n_boot=BOOT, metrics=names)

def cpu(f, *args): t = time.process_time(); out = f(*args); return time.process_time()-t, out

def cold():
    "CPU seconds of the first call in a process that finds no compiled code"
    with tempfile.TemporaryDirectory() as d:
        code = 'import bench_metrics as b; from cxr_nb import metrics; print(b.cpu(b.ours, *b.data(), ["auroc"])[0])'
        env = {**os.environ, 'NUMBA_CACHE_DIR':d}
        return float(subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parent, env=env, check=True, capture_output=True, text=True).stdout)

def difference(y, p, groups, names, judged):
    "Largest difference from scikit-learn on the very same resamples"
    from cxr_nb.metrics import _Label, _bootstrap, _check
    *_,g,n = _check(y, p, LABELS, groups)
    boot = _bootstrap([[_Label(y[:,l], p[:,l], g, n) for l in range(L)]], LABELS, names, len(judged), 0)[1][:,0]
    return np.abs(boot[...,:judged.shape[-1]]-judged).max()

def row(path, usual, mine, diff, timed):
    return dict(path=path, usual='scikit-learn loop', ours='cxr_nb.metrics.score_table', ratio=round(np.median(usual)/np.median(mine)),
                labels=L, rows=N, patients=PATIENTS, resamples=BOOT, usual_timed=timed, max_difference=f'{diff:.0e}')

def main(rounds, n, out):
    from cxr_nb.metrics import METRICS
    d,table = data(),[]
    for path,names in [('AUROC with intervals', ['auroc']), ('all nine metrics with intervals (usual: eight, no ece)', METRICS)]:
        fs = scorers(names)
        ours(*d, names); loop(*d, 1, fs)                     # imports and compiled code are loaded
        usual,mine = [],[]
        for _ in range(rounds):
            t,judged = cpu(loop, *d, n, fs); usual.append(t*BOOT/n)
            mine.append(cpu(ours, *d, names)[0])
        table.append(row(path, usual, mine, difference(*d, names, judged), f'{rounds} x {n} resamples multiplied up'))
        if len(names)==1: table.append(row('AUROC with intervals, cold', usual, [cold()], difference(*d, names, judged), f'{rounds} x {n} resamples multiplied up'))
    from cxr_nb.core import write_table
    write_table(out, pd.DataFrame(table))
    for r in table: print(f"{r['path']:56}{r['ratio']:6,} times faster than the {r['usual']} ({r['usual_timed']}); they differ by at most {r['max_difference']}")

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=3, help='turns of both sides; the median counts')
    a.add_argument('--loop', type=int, default=4, help='resamples of the scikit-learn loop that are timed in each turn')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'metrics.csv', help='where the table goes')
    a = a.parse_args()
    main(a.rounds, a.loop, a.out)
