"""What a search of settings gains over the defaults, on the phantom. Everything here is synthetic.

    python benchmarks/tune_phantom.py WORK [--trials 12] [--epochs 8] [--size 96] [--n 2000] [--jobs 2]

Draws `standard` with seed 0 and seed 1, searches with `cxr_nb.cnn_tuning.tune` on the training and validation rows of the first, trains the default and the best configuration anew with the same number of epochs, and compares them on
patients that neither the search nor the training has seen: the first's test split, and all films of the second. Started again it goes on where it stopped. Writes results/tune_phantom.csv, and the trials to results/tune_phantom_trials.csv.
"""
import argparse
from pathlib import Path
import pandas as pd
from phantom_learn import drawn
from cxr_nb.cnn_train_test import test, train
from cxr_nb.cnn_tuning import tune
from cxr_nb.core import read_json, wide_predictions, write_table
from cxr_nb.metrics import paired_difference, score_table

SPACE = dict(lr=dict(range=[3e-4, 3e-3], log=True), body_lr=dict(range=[.05, 1.], log=True), wd=dict(range=[1e-3, .1], log=True), bs=[16, 32], dropout=dict(range=[0., .7]), pool=['avg', 'catavgmax'], mixup=[0., .4], freeze=[0, 2, 4],
             loss=['bce', 'weighted', 'focal', 'asymmetric'], strength=dict(range=[0., 1.5]))

def main(work, n, size, trials, epochs, jobs):
    results = Path(__file__).parent/'results'
    c, more = drawn(work, 'all', n, size, jobs, seed=0), drawn(work, 'more', n, size, jobs, others=50_000_000, seed=1)
    write_table(results/'tune_phantom_trials.csv', tune(c, work/'study', trials=trials, epochs=epochs, space=SPACE, seed=0).round(5))
    best = read_json(work/'study'/'best.json')['train'] | dict(epochs=16)
    runs, rows = {'default': train(c, work/'run_default'), 'best of the search': train(c, work/'run_best', **best)}, []
    for on, (d, split) in {'test split of seed 0': (c, 'test'), 'seed 1': (more, 'all')}.items():
        ev = {k: test(r, d, split=split) for k, r in runs.items()}; first = next(iter(ev.values()))
        y, group = wide_predictions(first.predictions, 'y')[c.labels].to_numpy(), first.rows.subject_id.to_numpy()
        p = {k: wide_predictions(e.predictions)[c.labels].to_numpy() for k, e in ev.items()}; how = dict(labels=c.labels, groups=group, metrics=('auroc',))
        tables = {k: score_table(y, v, **how) for k, v in p.items()} | {'best - default (paired)': paired_difference(y, p['best of the search'], p['default'], **how)}
        for k, t in tables.items():
            m = t[(t.metric == 'auroc') & (t.label == 'macro')].iloc[0]; rows.append(dict(on=on, what=k, films=len(first.rows), patients=len(set(group)), macro_auroc=m.value, lo=m.lo, hi=m.hi))
    out = pd.DataFrame(rows).round(4); write_table(results/'tune_phantom.csv', out); print(out.to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for phantoms, cohorts, the study and the runs'); a.add_argument('--n', type=int, default=2000, help='films')
    a.add_argument('--size', type=int, default=96, help='pixels a side of what is learnt from'); a.add_argument('--trials', type=int, default=12, help='of the search')
    a.add_argument('--epochs', type=int, default=8, help='at most, a trial'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    a = a.parse_args(); main(a.work, a.n, a.size, a.trials, a.epochs, a.jobs)
