"""What `nih_baseline` reaches on 1,300 NIH images, out of fold, beside what needs no pixel and beside CheXNet.

    cxr_preprocess $CXR_DATA/nih_mini --kind nih --out C --size 224
    cxr_train C --out R --config nih_baseline --folds 5
    python benchmarks/nih_baseline.py R C

Reads the run's out-of-fold evaluation and the tables in CXR_DATA; writes results/nih_baseline.csv, a row a comparison. The metadata controls are
logistic regressions on the same folds; they learn from every row outside a fold, of which the network keeps an eighth to stop by. CheXNet's published predictions are used for comparison only, on the images that both have scored.
"""
import os, sys
from pathlib import Path
import numpy as np, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer
from cxr_nb.core import read_cohort, read_evaluation, read_json, wide_predictions, write_table
from cxr_nb.metrics import paired_difference, score_table
from cxr_nb.preprocessing import fold_of

CONTROLS = {'age, sex, view': ['age'], 'age, sex, view, follow-up number, image size': ['age','meta_follow_up','meta_native_rows','meta_native_cols']}

def control(rows, y, numbers, folds, seed):
    "Out-of-fold probabilities from metadata alone, on the folds of the run"
    fold, p = fold_of(rows.subject_id, folds, seed), np.zeros(y.shape)
    for k in range(folds):
        tr, te = fold != k, fold == k
        for j in range(y.shape[1]):
            pre = make_column_transformer((make_pipeline(SimpleImputer(strategy='median'), SplineTransformer(n_knots=4)), numbers), (OneHotEncoder(handle_unknown='ignore'), ['sex','view']))
            p[te,j] = make_pipeline(pre, LogisticRegression(C=1., max_iter=2000)).fit(rows[tr], y[tr,j]).predict_proba(rows[te])[:,1]
    return p

def line(what, on, table, n):
    "The macro AUROC of a table, as one row"
    m = table[(table.metric == 'auroc') & (table.label == 'macro')].iloc[0]
    return dict(what=what, images=on, n=n, macro_auroc=m.value, lo=m.lo, hi=m.hi)

def main(run, cohort):
    data = Path(os.environ.get('CXR_DATA') or sys.exit('CXR_DATA is not set: the folder that holds nih_mini and chexnet'))
    c = read_cohort(cohort); ev = read_evaluation(Path(run)/'eval'/f'{c.name}-oof'); rows, labels = ev.rows, c.labels
    y, p = wide_predictions(ev.predictions,'y').to_numpy(), wide_predictions(ev.predictions).to_numpy()
    stem = rows.image_id.str.removeprefix('nih:')
    origin = pd.read_csv(data/'nih_mini'/'origin.csv').assign(stem=lambda d: d['Image Index'].str[:-4]).set_index('stem').origin.reindex(stem).to_numpy()
    asked = read_json(Path(run)/'config.json')['request']
    preds = {'nih_baseline': p} | {f'metadata: {k}': control(rows, y, v, asked['folds'], asked['train']['seed']) for k,v in CONTROLS.items()}
    chex = pd.read_csv(data/'chexnet'/'preds.csv.gz').assign(stem=lambda d: d['Image Index'].str[:-4]).set_index('stem').reindex(stem)
    q = chex[[f'prob_{l}' for l in labels]].to_numpy(); both = ~np.isnan(q[:,0])
    table = lambda s,**k: dict(labels=labels, groups=rows.subject_id[s].to_numpy(), metrics=('auroc',), **k)
    out = []
    for on,s in {'all': np.ones(len(rows), bool), 'origin sample': origin == 'sample', 'scored by CheXNet': both, 'scored by CheXNet, origin sample': both & (origin == 'sample')}.items():
        for k,v in preds.items(): out.append(line(k, on, score_table(y[s], v[s], **table(s)), int(s.sum())))
        for k in list(preds)[1:]: out.append(line(f'nih_baseline - {k} (paired)', on, paired_difference(y[s], p[s], preds[k][s], **table(s)), int(s.sum())))
        if 'CheXNet' not in on: continue
        out.append(line('CheXNet, published', on, score_table(y[s], q[s], **table(s)), int(s.sum())))
        out.append(line('nih_baseline - CheXNet (paired)', on, paired_difference(y[s], p[s], q[s], **table(s)), int(s.sum())))
    df = pd.DataFrame(out).round(4); write_table(Path(__file__).parent/'results'/'nih_baseline.csv', df); print(df.to_string(index=False))

if __name__ == '__main__': main(*sys.argv[1:3]) if len(sys.argv) == 3 else sys.exit(__doc__)
