"""Fit the view predictor of `cxr_nb.view` and say how good it is.

    cxr_preprocess $CXR_DATA/nih_mini --kind nih --out C --size 224
    python tools/fit_view.py C $CXR_DATA/nih_mini/origin.csv [WEIGHTS] [RESULTS]

Writes cxr_nb/weights/view.safetensors and benchmarks/results/view.csv; the same cohort gives the same bytes. NIH's release squeezes every film into a square, whatever its detector's
shape. So each film is learnt from as it stands, once more in its native proportions, and twice more from each, moved a little and in another contrast. The figures are out of fold by
patient: a film is scored by a model that saw no film of its patient, and the strength of the penalty is chosen, and the probabilities are calibrated, inside the other four folds.
"""
import json, os, sys
for k in 'OMP_NUM_THREADS','OPENBLAS_NUM_THREADS','MKL_NUM_THREADS': os.environ[k] = '1' # sums in one order: the same bytes
from pathlib import Path
import cv2, numpy as np, pandas as pd
from safetensors.numpy import save
from sklearn.linear_model import LogisticRegression
from cxr_nb.core import read_cohort, read_table, write_table, written
from cxr_nb.metrics import score_table
from cxr_nb.preprocessing import fold_of
from cxr_nb.view import BINS, GRID, middle_square, view_features

ROOT = Path(__file__).resolve().parent.parent
CS, FOLDS, EDGE = (3e-3, 1e-2, 3e-2, .1, .3), 5, 2 # penalties to choose from; folds by patient; outer cells (of 16 across) that count as border
METRICS = ['accuracy','auroc','sensitivity','specificity','brier','ece']
SHAPES = {'landscape': lambda a: a > 1.15, 'square': lambda a: (a >= .87) & (a <= 1.15), 'portrait': lambda a: a < .87}

def native(im, ratio):
    "Undo NIH's squeeze: native proportions in a square frame with bars; `ratio` is columns over rows"
    n = len(im); w, h = (n, round(n/ratio)) if ratio >= 1 else (round(n*ratio), n)
    t, l = (n-h)//2, (n-w)//2
    return np.pad(cv2.resize(im, (w,h), interpolation=cv2.INTER_AREA), ((t,n-h-t), (l,n-w-l)))

def varied(im, rng):
    "The middle square, turned, shifted, stretched and brightened a little"
    im = middle_square(im); n = len(im)
    zoom, stretch, turn = rng.uniform(.92, 1.12), np.exp(rng.normal(0, .05)), np.deg2rad(rng.normal(0, 3))
    A = zoom*np.array([[stretch*np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)/stretch]])
    move = n/2 - A@[n/2,n/2] + rng.normal(0, .03, 2)*n
    im = cv2.warpAffine(im, np.c_[A,move].astype('float32'), (n,n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.rint(255*(im/255)**np.exp(rng.normal(0, .25))).astype('uint8')

def stack(f, *lists): return np.concatenate([view_features(f(*a)[None]) for a in zip(*lists)])

def copies(X, ratio):
    "Features of every way in which a film is learnt from: ways x films x features; first native, then squeezed"
    rng, own = np.random.default_rng(0), [native(x, r) for x,r in zip(X, ratio)]
    vary = lambda im: varied(im, rng)
    return np.stack([stack(lambda x: x, own), stack(lambda x: x, X)] + [stack(vary, ims) for ims in (own, X) for _ in range(2)])

def fit(F, y, C):
    "Weights and bias on standardised features, as applied to plain ones; `F` ways x films x features"
    A, yy = F.reshape(-1, F.shape[-1]), np.tile(y, len(F))
    m, s = A.mean(0, dtype='float64'), A.std(0, dtype='float64') + 1e-6
    lr = LogisticRegression(C=C/len(F), max_iter=1000, tol=1e-4).fit(((A-m)/s).astype('float32'), yy)
    w = lr.coef_[0].astype('float64')/s
    return w, float(lr.intercept_[0] - m@w), s

def choose(F, y, fold):
    "Penalty with the least out-of-fold log loss over the folds given, with the slope and shift that calibrate it"
    z = {C: np.zeros(len(y)) for C in CS}
    for k in np.unique(fold):
        tr = fold != k
        for C in CS: w,b,_ = fit(F[:,tr], y[tr], C); z[C][~tr] = F[0,~tr]@w + b
    loss = {C: np.logaddexp(0, np.where(y, -v, v)).mean() for C,v in z.items()}
    C = min(loss, key=loss.get); cal = LogisticRegression(C=1e6).fit(z[C][:,None], y)
    return C, float(cal.coef_[0,0]), float(cal.intercept_[0])

def nested(F, y, fold, tests):
    "Out-of-fold probabilities of each way to show a film: name -> films x features"
    p = {k: np.zeros(len(y)) for k in tests}
    for k in range(FOLDS):
        tr, te = fold != k, fold == k
        C, slope, shift = choose(F[:,tr], y[tr], fold[tr]); w,b,_ = fit(F[:,tr], y[tr], C)
        print(f'  fold {k}: C {C:g}, slope {slope:.2f}, shift {shift:+.2f}', flush=True)
        for n,T in tests.items(): p[n][te] = 1/(1 + np.exp(-(slope*(T[te]@w + b) + shift)))
    return p

def feature_sets():
    "Which features each comparison may use"
    cell = np.indices((GRID,GRID)); border = ((cell < EDGE) | (cell >= GRID-EDGE)).any(0).ravel()
    whole = np.concatenate([np.repeat(border, BINS), border]); edges = np.arange(len(whole)) < GRID*GRID*BINS
    return {'edges alone': edges, 'greys alone': ~edges, 'border alone (outer 12.5 %)': whole, 'border masked (inner 75 %)': ~whole}

def shape_only(ratio, y, fold):
    "Out-of-fold probabilities from the detector's shape, no pixel looked at"
    x, p = np.stack([f(ratio) for f in SHAPES.values()], 1).astype(float), np.zeros(len(y))
    for k in range(FOLDS): p[fold==k] = LogisticRegression().fit(x[fold!=k], y[fold!=k]).predict_proba(x[fold==k])[:,1]
    return p

def lines(what, on, y, p, groups):
    "Metrics with their intervals, patients resampled"
    t = score_table(y.astype(float), p, 'PA', groups, metrics=METRICS); t = t[t.label != 'macro']
    return t.assign(model=what, images=on)

def confusion(on, y, p):
    "Counts: true view, view told"
    return pd.DataFrame([dict(model='whole', images=on, metric=f'{t} told {v}', value=int(((y==(t=='PA')) & ((p>=.5)==(v=='PA'))).sum()), n_pos=int(y.sum()), n_neg=int((~y).sum()), unit='image')
                         for t in ('PA','AP') for v in ('PA','AP')])

def reliability(y, p, groups, edges=(0, .02, .1, .3, .5, .7, .9, .98, 1), n_boot=1000):
    "Mean prediction and share of PA between probabilities, patients resampled"
    codes = pd.factorize(groups, sort=True)[0]; n = codes.max()+1
    times, out = np.random.default_rng(0).multinomial(n, np.full(n, 1/n), n_boot)[:,codes], []
    for lo,hi in zip(edges, edges[1:]):
        at = (p >= lo) & (p < hi) if hi < 1 else p >= lo
        drawn = times[:,at].sum(1); share = (times[:,at]@y[at])[drawn > 0]/drawn[drawn > 0]; low, high = np.quantile(share, [.025,.975])
        out.append(dict(model='whole', images=f'p_PA {lo:g} to {hi:g}', metric='share of PA', p=p[at].mean(), value=y[at].mean(), lo=low, hi=high, n_pos=int(y[at].sum()), n_neg=int((~y[at]).sum()), unit='patient'))
    return pd.DataFrame(out)

def shown(X, ratio, F):
    "The ways in which the fitted whole model is tried out"
    small = lambda x, n: cv2.resize(x, (n,n), interpolation=cv2.INTER_AREA)
    zoomed = lambda x: cv2.resize(x, None, fx=1.15, fy=1.15)[17:-17,17:-17]
    own = [native(x, r) for x,r in zip(X, ratio)]
    return {'whole': F[0], 'whole, shown squeezed as released': F[1], 'whole, shown at 64 px': stack(lambda x: small(x, 64), own), 'whole, shown at 128 px': stack(lambda x: small(x, 128), own),
            'whole, shown 15 % larger': stack(zoomed, [middle_square(x) for x in own])}

def table(X, ratio, F, y, fold, groups, origin):
    "Every comparison"
    print('whole'); p = nested(F, y, fold, shown(X, ratio, F))
    out = [lines(k, 'all', y, v, groups) for k,v in p.items()]
    for k,s in feature_sets().items(): print(k); out.append(lines(k, 'all', y, nested(F[...,s], y, fold, {k: F[0][:,s]})[k], groups))
    out.append(lines('detector shape alone, no pixel', 'all', y, shape_only(ratio, y, fold), groups))
    p = p['whole']
    parts = {f'origin {o}': origin == o for o in sorted(set(origin))} | {f'detector {k}': f(ratio) for k,f in SHAPES.items()}
    for on,s in (parts | {'told with p of .9 or more': np.maximum(p, 1-p) >= .9}).items():
        if 0 < y[s].sum() < s.sum(): out.append(lines('whole', on, y[s], p[s], groups[s])) # the counts below tell of a part with one view alone
    out += [confusion(on, y[s], p[s]) for on,s in ({'all': np.ones(len(y), bool)} | parts).items()] + [reliability(y, p, groups)]
    return pd.concat(out, ignore_index=True)[['model','images','metric','p','value','lo','hi','n_pos','n_neg','unit']].round(dict(p=4, value=4, lo=4, hi=4))

def weights(F, y, fold, df, n_patients):
    "The file's bytes: fitted on all films, calibrated out of fold"
    C, slope, shift = choose(F, y, fold); w,b,s = fit(F, y, C)
    row = df[(df.model=='whole') & (df.images=='all')].set_index('metric'); said = lambda m: f'{row.value[m]:.3f} [{row.lo[m]:.3f}, {row.hi[m]:.3f}]'
    facts = dict(n=f'{len(y)} frontal images of {n_patients} patients: {int(y.sum())} PA, {int((~y).sum())} AP', accuracy=f'{said("accuracy")} out of fold by patient', auroc=f'{said("auroc")} out of fold by patient',
                 features=f'{GRID} x {GRID} cells of {BINS} edge directions, then their mean greys (cxr_nb.view.view_features)', penalty=f'L2, C = {C:g} over {len(F)} copies of each image',
                 provenance='NIH ChestX-ray14 (Wang et al. 2017), column View Position; tools/fit_view.py', limits='frontal films of one hospital; no lateral, no film from elsewhere')
    five = lambda a: np.array([float(f'{v:.5g}') for v in np.atleast_1d(a)], 'float32') # last digits may differ from one processor to another
    return save(dict(weight=five(slope*w), bias=five(slope*b+shift), spread=five(s)), metadata=dict(view=json.dumps(facts)))

def main(cohort, origins, path=ROOT/'cxr_nb'/'weights'/'view.safetensors', results=ROOT/'benchmarks'/'results'/'view.csv'):
    c = read_cohort(cohort); d = c.df.sort_values('image_id'); X = np.asarray(c.pixels)[d.pixel_row]; o = read_table(origins, need=['Image Index','origin'])
    origin = d.image_id.str.removeprefix('nih:').map(dict(zip(o['Image Index'].str[:-4], o.origin))).to_numpy()
    y, fold, ratio = (d['view'] == 'PA').to_numpy(), fold_of(d.subject_id, FOLDS), (d.meta_native_cols/d.meta_native_rows).to_numpy()
    F, groups = copies(X, ratio), d.subject_id.to_numpy()
    df = table(X, ratio, F, y, fold, groups, origin); write_table(Path(results), df); print(df.to_string(index=False))
    data = weights(F, y, fold, df, d.subject_id.nunique())
    with written(path) as f: f.write_bytes(data)
    print(f'{path}: {len(data):,} bytes')

if __name__ == '__main__': main(*sys.argv[1:5]) if len(sys.argv) in (3,4,5) else sys.exit(__doc__)
