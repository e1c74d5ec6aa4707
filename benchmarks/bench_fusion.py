"""Fusing boxes of five models on 15,000 images: ensemble-boxes against cxr_nb.readers; and VinBigData's readers against each other.

    python benchmarks/bench_fusion.py [--rounds 3] [--out benchmarks/results/fusion.csv]
    CXR_DATA=... python benchmarks/bench_fusion.py --readers [--n_boot 1000]      writes benchmarks/results/readers.csv alone

Made-up boxes in the shape of VinBigData's training set: 15,000 images, a third of them with findings (36,000 of 14 labels), of which each of five models finds four in five, moved
by a tenth of their sides, and false boxes anywhere, 150,000 in all, in [0, 1], with scores that differ. Both sides start from the same table and end with one table; the package's lists are also timed apart. Both run in one
thread and are timed in CPU seconds, turn by turn in one run, so that a busy machine slows both; only the ratio means anything. The package takes an image at a time, so that it can be timed on the
first `--images` and multiplied up; ours always has all 15,000."""
import argparse, os, time
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1'); os.environ.setdefault('NUMBA_NUM_THREADS', '1')
import numpy as np, pandas as pd
from cxr_nb.core import write_table
from cxr_nb.readers import fuse, held_out, panels, reader_agreement

N,L,TRUTH,FOUND,IOU = 15_000,14,36_000,150_000,.4
MODELS = [f'model {i}' for i in range(5)]
BOX = ['x_min','y_min','x_max','y_max']
RESULTS = Path(__file__).parent/'results'

def boxes(rng, image, label, side):
    at = rng.random((len(image),2))*(1-side)
    return pd.DataFrame(np.c_[at, at+side], columns=BOX).assign(image=image, label=label)

def data(seed=0):
    "One table of five models' boxes, by image and model"
    rng = np.random.default_rng(seed)
    side = lambda n: rng.lognormal(-2.4, .8, (n,2)).clip(.01, .9)
    true,out = boxes(rng, rng.integers(0, N//3, TRUTH), rng.choice(L, TRUTH, p=(p := np.geomspace(1, 30, L))/p.sum()), side(TRUTH)),[]
    for m in MODELS:
        d = true[rng.random(TRUTH)<.8]
        size = d[BOX[2:]].to_numpy()-d[BOX[:2]].to_numpy()
        b = np.sort((d[BOX].to_numpy()+.1*np.tile(size, 2)*rng.uniform(-1, 1, (len(d),4))).clip(0, 1).reshape(-1,2,2), axis=1).reshape(-1,4)
        n = FOUND//len(MODELS)-len(d)
        out += [d.assign(**dict(zip(BOX, b.T)), source=m), boxes(rng, rng.integers(0, N, n), rng.integers(0, L, n), side(n)).assign(source=m)]
    df = pd.concat(out, ignore_index=True)
    df = df.assign(score=rng.random(len(df)), image_id=[f'image {i:05}' for i in df.image], label=[f'{i:02}' for i in df.label])
    return df.drop(columns='image').sort_values(['image_id','source'], kind='stable', ignore_index=True)

def lists(df):
    "The table as ensemble-boxes wants it: for each image, lists of models"
    d = df.sort_values(['image_id','source'], kind='stable')
    b,s,l,m = d[BOX].to_numpy(),d.score.to_numpy(),d.label.astype(int).to_numpy(),pd.Index(MODELS).get_indexer(d.source)
    image,names = pd.factorize(d.image_id)
    at = np.searchsorted(image*len(MODELS)+m, np.arange(len(names)*len(MODELS)+1))
    cut = lambda v,i: [v[at[j]:at[j+1]] for j in range(i*len(MODELS), (i+1)*len(MODELS))]
    return names, [[cut(v, i) for v in (b,s,l)] for i in range(len(names))]

def usual(names, films, f, **kwargs):
    "The package, an image at a time, and its answers as one table"
    out = [f(*o, iou_thr=IOU, **kwargs) for o in films]
    b,s,l = (np.concatenate(v) for v in zip(*out))
    return pd.DataFrame(b, columns=BOX).assign(image_id=np.repeat(names, [len(o[1]) for o in out]), label=[f'{int(i):02}' for i in l], score=s)

def cpu(f, *args, **kwargs):
    t = time.process_time()
    out = f(*args, **kwargs)
    return time.process_time()-t, out

def difference(a, b):
    "The greatest difference of two tables of the same boxes"
    a,b = (d.sort_values(['image_id','label','score'])[['image_id','label','score',*BOX]] for d in (a,b))
    if a[['image_id','label']].values.tolist()!=b[['image_id','label']].values.tolist(): return np.inf
    return np.abs(a[['score',*BOX]].to_numpy()-b[['score',*BOX]].to_numpy()).max()

def main(rounds, images, out):
    import ensemble_boxes as e
    weights = dict.fromkeys(MODELS, 1)
    sides = {'wbf':(e.weighted_boxes_fusion, {}, dict(weights=weights)), 'nms':(e.nms, {}, {}), 'soft_nms':(e.soft_nms, {}, dict(decay=False))}
    df,table = data(),[]
    some = df[df.image_id.isin((ids := df.image_id.unique())[np.linspace(0, len(ids)-1, min(images, len(ids))).astype(int)])]
    up = df.image_id.nunique()/some.image_id.nunique()
    for method,(f,more,mine) in sides.items():
        fuse(df, method, IOU, **mine); usual(*lists(some[:200]), f, **more)          # compiled code is loaded
        t = {k:[] for k in ('lists','usual','ours')}
        for _ in range(rounds):
            s,films = cpu(lists, some); t['lists'].append(s*up)
            s,theirs = cpu(usual, *films, f, **more); t['usual'].append(s*up)
            s,ours = cpu(fuse, df, method, IOU, **mine); t['ours'].append(s)
        t = {k:np.median(v) for k,v in t.items()}
        diff = difference(ours[ours.image_id.isin(some.image_id)], theirs)
        for path,a in (('from table to table', t['lists']+t['usual']), ('from table to table; the package without making its lists', t['usual'])):
            table.append(dict(method=method, path=path, usual='ensemble-boxes', ours='cxr_nb.readers', ratio=round(a/t['ours'], 1), images=N, boxes=len(df), fused=len(ours), images_of_the_package=some.image_id.nunique(),
                              usual_cpu_seconds=f'{a:.3g}', ours_cpu_seconds=f"{t['ours']:.3g}", max_difference=f'{diff:.0e}'))
            print(f"{method:9}{path:60}{table[-1]['ratio']:7} times faster than ensemble-boxes: {a:.3g} s and {t['ours']:.3g} s of CPU; they differ by at most {diff:.0e}", flush=True)
    write_table(out, pd.DataFrame(table))

def readers(out, n_boot):
    "Agreement and fusion of VinBigData's readers, the trio R8, R9, R10 and the rest apart"
    from cxr_nb.sources import vindr_table
    if not os.environ.get('CXR_DATA'): raise SystemExit('CXR_DATA is not set; it is the folder that holds vindr/vinbigdata-train.csv.gz')
    t = vindr_table(Path(os.environ['CXR_DATA'])/'vindr'/'vinbigdata-train.csv.gz')
    reads,marks,parts = t[['image_id','reader']].drop_duplicates(),t.dropna(subset=BOX),[]
    trio = panels(reads)=='R10 R8 R9'
    for name,ids in (('trio',trio.index[trio]), ('rest',trio.index[~trio])):
        on = [d[d.image_id.isin(ids)] for d in (marks,reads)]
        labels = sorted(marks.label.unique())
        for f in (reader_agreement, held_out):
            s,part = cpu(f, pd.DataFrame(dict(image_id=ids)), *on, labels=labels, n_boot=n_boot)
            parts.append(part.assign(panel=name))
            print(f'{name}: {f.__name__}, {len(part):,} rows, {s:.0f} s of CPU', flush=True)
    d = pd.concat(parts, ignore_index=True)
    d = d[(d.n_pos>0) | d.truth.eq('any')].round(dict(value=4, lo=4, hi=4))
    write_table(out, d[['panel', *(c for c in d if c!='panel')]])

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=3, help='turns of both sides; the median counts')
    a.add_argument('--images', type=int, default=N, help='images that the package is timed on, spread over all')
    a.add_argument('--readers', action='store_true', help="compare VinBigData's readers instead")
    a.add_argument('--n_boot', type=int, default=1000, help='resamples of --readers')
    a.add_argument('--out', type=Path, help='where the table goes')
    a = a.parse_args()
    readers(a.out or RESULTS/'readers.csv', a.n_boot) if a.readers else main(a.rounds, a.images, a.out or RESULTS/'fusion.csv')
