"""How far the phantom's films look like real ones: grey-level statistics side by side, and how well simple classifiers tell the two apart.

    python benchmarks/phantom_looks.py [--n 200]
    python benchmarks/phantom_looks.py --observer SHEET_FOLDER ANSWERS.csv [--observer ...]

Draws `n` frontal phantoms (`standard`, films 0 to n-1 of seed 1) and takes `n` frontal films of CXR_DATA/nih_mini, all at 256 pixels and 8 bits. Writes

- results/phantom_statistics.csv: histogram, radial power spectrum, lung-to-mediastinum contrast and fine contrast; the 10th, 50th and 90th percentile of either kind, and whether the phantom's median lies in the real films' range
- results/phantom_told.csv: AUROC of a logistic regression, real against drawn, out of fold by film, from each group of features and from frozen ImageNet features, with intervals over the films
- results/phantom_observer.csv, with --observer and then alone: a reader's answers to sheets of `cxr_nb.phantom.blind_sheet` (ANSWERS.csv: number and score, 1 surely drawn to 5 surely real) joined with their keys

Only numbers of the real films are kept, none of their pixels. An AUROC of 0.5 would mean that they can't be told apart; where it is near 1 the features say by what they still can.
"""
import argparse, os, sys
from pathlib import Path
import cv2, numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from cxr_nb.core import progress, write_table
from cxr_nb.metrics import score_table
from cxr_nb.phantom import plan, take

SIZE, RESULTS = 256, Path(__file__).parent/'results'
EDGES = np.unique(np.geomspace(1, SIZE//2, 15).round().astype(int)) # of the rings of the spectrum, cycles a picture

def histogram(im): return np.histogram(im, 16, (0, 256))[0]/im.size

def spectrum(im):
    "log10 of the mean power in each ring of frequencies, under a Hann window"
    w = np.outer(*[np.hanning(SIZE)]*2); x = im.astype(np.float32)/255
    f = np.abs(np.fft.fftshift(np.fft.fft2((x - x.mean())*w)))**2
    r = np.hypot(*(np.indices(f.shape) - SIZE//2))
    return np.array([np.log10(f[(r >= a) & (r < b)].mean() + 1e-9) for a, b in zip(EDGES[:-1], EDGES[1:])])

def contrast(im):
    "The brightest column in the middle third less the darkest of either side, in grey levels, at mid height"
    prof = cv2.GaussianBlur(np.median(im[int(.35*SIZE):int(.6*SIZE)].astype(float), 0)[None], (0,0), SIZE/64)[0]
    part = lambda a, b: prof[int(a*SIZE):int(b*SIZE)]
    return np.array([part(.38, .62).max() - (part(.12, .45).min() + part(.55, .88).min())/2])

def fine(im): return np.array([np.std(im - cv2.GaussianBlur(im.astype(np.float32), (0,0), s)) for s in (1, 3)])

def layout(im): return cv2.resize(im, (16, 16), interpolation=cv2.INTER_AREA).ravel()/255.

FEATURES = {'histogram':histogram, 'power spectrum':spectrum, 'lung-to-mediastinum contrast':contrast, 'fine contrast':fine, 'layout at 16 x 16':layout}

def frozen(ims):
    "Features of an ImageNet EfficientNet-Lite0 before its last layer"
    import torch
    from cxr_nb.cnn import CXRNet
    net = CXRNet('efficientnet_lite0', ['x'], size=224).eval(); out = []
    with torch.inference_mode():
        for i in progress(range(0, len(ims), 16), 'features'):
            x = torch.from_numpy(np.stack([cv2.resize(m, (224, 224), interpolation=cv2.INTER_AREA) for m in ims[i:i+16]]))[:,None].float().expand(-1, 3, -1, -1)
            out.append(net.body((x - 127)/128).flatten(1).numpy())
    return np.concatenate(out)

def films(n):
    "Drawn and real frontal films"
    drawn = [cv2.resize((take(s, 512)[0] >> 4).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_AREA) for s in progress(plan(n, 1), 'drawn')]
    folder = Path(os.environ.get('CXR_DATA') or sys.exit('CXR_DATA is not set: the folder that holds nih_mini'))/'nih_mini'/'images'
    files = sorted(folder.iterdir()); pick = np.random.default_rng(0).permutation(len(files))[:n]
    return drawn, [cv2.resize(cv2.imread(str(files[i]), cv2.IMREAD_GRAYSCALE), (SIZE, SIZE), interpolation=cv2.INTER_AREA) for i in pick]

def statistics(drawn, real):
    "Percentiles of either kind, a row a statistic and bin"
    rows = []
    for name in list(FEATURES)[:4]:
        d, r = (np.percentile([FEATURES[name](im) for im in ims], [10, 50, 90], 0) for ims in (drawn, real))
        for k in range(d.shape[1]):
            rows.append(dict(statistic=name, bin=k, at=float(EDGES[k]) if name == 'power spectrum' else k, real_lo=r[0,k], real_median=r[1,k], real_hi=r[2,k],
                             drawn_lo=d[0,k], drawn_median=d[1,k], drawn_hi=d[2,k], inside=bool(r[0,k] <= d[1,k] <= r[2,k])))
    return pd.DataFrame(rows).round(4)

def told(drawn, real):
    "How well each group of features tells them apart"
    y = np.r_[np.zeros(len(drawn)), np.ones(len(real))]; ims, rows = drawn + real, []
    for name, X in {**{k: np.array([f(im) for im in ims]) for k, f in FEATURES.items()}, 'frozen ImageNet features': frozen(ims)}.items():
        p = cross_val_predict(make_pipeline(StandardScaler(), LogisticRegression(C=.1, max_iter=3000)), X, y, cv=5, method='predict_proba')[:,1]
        t = score_table(y, p, ['real'], metrics=('auroc',)).iloc[0]
        rows.append(dict(features=name, dimensions=X.shape[1], auroc=t.value, lo=t.lo, hi=t.hi, drawn=len(drawn), real=len(real)))
        print(f"{name:30} AUROC {t.value:.3f} ({t.lo:.3f} to {t.hi:.3f})", flush=True)
    return pd.DataFrame(rows).round(4)

def observed(sheet, answers):
    "What a reader said of one sheet, beside what was right"
    key, said = pd.read_csv(Path(sheet)/'key.csv'), pd.read_csv(answers)
    return key[['number','kind']].merge(said[['number','score']], on='number', how='left', validate='1:1')

def main(n, observer):
    if observer: return write_table(RESULTS/'phantom_observer.csv', pd.concat([observed(*o).assign(sheet=k) for k, o in enumerate(observer, 1)])[['sheet','number','kind','score']])
    drawn, real = films(n); s = statistics(drawn, real)
    write_table(RESULTS/'phantom_statistics.csv', s); print(f"{s.inside.sum()} of {len(s)} medians of the phantom lie between the real films' 10th and 90th percentile")
    write_table(RESULTS/'phantom_told.csv', told(drawn, real))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--n', type=int, default=200, help='films of either kind'); a.add_argument('--observer', nargs=2, action='append', metavar=('SHEET', 'ANSWERS'), help="a blind sheet's folder and a reader's answers")
    a = a.parse_args(); main(a.n, a.observer)
