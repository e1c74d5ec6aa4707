"""Box metrics of 15,000 images and 14 labels: pycocotools against cxr_nb.boxes, and a thousand resamples.

    python benchmarks/bench_boxes.py [--rounds 3] [--out benchmarks/results/boxes.csv]

Made-up boxes in the shape of VinBigData's training set: 15,000 images of as many patients, a third of them with findings, 36,000 truth boxes and ten detections an
image. Both sides start from the same two tables and end with the same numbers per label (AP, AP50, AP75, AP by size, AR); ours also gives
AP40, VOC40 and FROC in the same run. Both run in one thread and are timed in CPU seconds, turn by turn in one run, so that a busy machine slows both; only the
ratio means anything. The usual way to an interval is pycocotools once a resample, so its time is that of one run times a thousand. `cold` is the first call of a fresh process
that must compile."""
import argparse, io, os, subprocess, sys, tempfile, time
from contextlib import redirect_stdout
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1'); os.environ.setdefault('NUMBA_NUM_THREADS', '1')
import numpy as np, pandas as pd

N,L,TRUTH,FOUND,BOOT = 15_000,14,36_000,150_000,1000
BOX = ['x_min','y_min','x_max','y_max']
LABELS = [f'finding {i:02}' for i in range(L)]
COCO = ['AP','AP50','AP75','APs','APm','APl','AR1','AR10','AR100','ARs','ARm','ARl']

def boxes(rng, on, label, side):
    at = rng.random((len(on),2))*(1024-side)
    return pd.DataFrame(np.c_[at, at+side], columns=BOX).assign(image_id=[f'image {i:05}' for i in on], label=np.array(LABELS)[label])

def data(seed=0):
    "Images, truth boxes and detections: three in four truth boxes are found, moved by a tenth of their sides; scores have four digits"
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(dict(image_id=[f'image {i:05}' for i in range(N)], subject_id=np.arange(N), rows=1024, cols=1024))
    label = rng.choice(L, TRUTH, p=(p := np.geomspace(1, 30, L))/p.sum())
    truth = boxes(rng, rng.integers(0, N//3, TRUTH), label, rng.lognormal(4.5, .8, (TRUTH,2)).clip(8, 900))
    hit = truth[rng.random(TRUTH)<.75]
    side = (hit[BOX[2:]].to_numpy()-hit[BOX[:2]].to_numpy())
    moved = hit[BOX].to_numpy()+.1*np.tile(side, 2)*rng.uniform(-1, 1, (len(hit),4))
    n = FOUND-len(hit)
    false = boxes(rng, rng.integers(0, N, n), rng.integers(0, L, n), rng.lognormal(4.5, .8, (n,2)).clip(8, 900))
    found = pd.concat([hit.assign(**dict(zip(BOX, moved.T)), score=rng.beta(3, 2, len(hit))), false.assign(score=rng.beta(1, 4, n))], ignore_index=True)
    return rows, truth, found.sample(frac=1, random_state=seed, ignore_index=True).round({'score':4})

def convert(rows, truth, found):
    "The tables as pycocotools wants them"
    from pycocotools.coco import COCO as Coco
    ids,names = {k:i+1 for i,k in enumerate(rows.image_id)},{k:i+1 for i,k in enumerate(LABELS)}
    def listed(df, more): return [dict(image_id=ids[i], category_id=names[l], bbox=[x,y,X-x,Y-y], area=(X-x)*(Y-y), **m) for i,l,x,y,X,Y,m in zip(df.image_id, df.label, *(df[c].tolist() for c in BOX), more)]
    t = Coco()
    t.dataset = dict(images=[dict(id=i) for i in ids.values()], categories=[dict(id=i) for i in names.values()], annotations=listed(truth, [dict(id=i+1, iscrowd=0) for i in range(len(truth))]))
    t.createIndex()
    return t, t.loadRes(listed(found, [dict(score=s) for s in found.score.tolist()]))

def usual(t, f):
    "pycocotools, per label"
    from pycocotools.cocoeval import COCOeval
    e = COCOeval(t, f, 'bbox'); e.evaluate(); e.accumulate()
    p,r = e.eval['precision'],e.eval['recall']
    ap,ar = lambda a,ts=slice(None): p[ts][:,:,:,a,2].mean((0,1)),lambda a,k: r[:,:,a,k].mean(0)
    return pd.DataFrame(dict(zip(COCO, [ap(0),ap(0,[0]),ap(0,[5]),ap(1),ap(2),ap(3),ar(0,0),ar(0,1),ar(0,2),ar(1,2),ar(2,2),ar(3,2)])), LABELS)

def ours(rows, truth, found, n_boot=0, metrics=None):
    from cxr_nb.boxes import BOX_METRICS, box_table, match_boxes
    return box_table(match_boxes(rows, truth, found), metrics or BOX_METRICS, n_boot=n_boot)

def cpu(f, *args):
    t = time.process_time()
    with redirect_stdout(io.StringIO()): out = f(*args)
    return time.process_time()-t, out

def cold():
    "CPU seconds of the first call in a process that finds no compiled code"
    with tempfile.TemporaryDirectory() as d:
        code = 'import bench_boxes as b; from cxr_nb import boxes; d = b.data(); print(b.cpu(b.ours, *d)[0])'
        env = {**os.environ, 'NUMBA_CACHE_DIR':d}
        return float(subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parent, env=env, check=True, capture_output=True, text=True).stdout)

def main(rounds, out):
    d,t = data(),{k:[] for k in ('convert','usual','ours','boot','boot40')}
    ours(*d)                                                # imports and compiled code are loaded
    for _ in range(rounds):
        s,objects = cpu(convert, *d); t['convert'].append(s)
        s,theirs = cpu(usual, *objects); t['usual'].append(s)
        s,mine = cpu(ours, *d); t['ours'].append(s)
        t['boot'].append(cpu(ours, *d, BOOT)[0]); t['boot40'].append(cpu(ours, *d, BOOT, ['AP40','CPM'])[0])
    t = {k:np.median(v) for k,v in t.items()}
    diff = (mine.pivot(index='label', columns='metric', values='value').loc[LABELS, COCO]-theirs).abs().max(axis=None)
    both,first = t['convert']+t['usual'],cold()
    row = lambda path,a,b,resamples=0,what='pycocotools': dict(path=path, usual=what, ours='cxr_nb.boxes', ratio=round(a/b), images=N, labels=L, truth=TRUTH, detections=FOUND, resamples=resamples, usual_cpu_seconds=f'{a:.3g}', ours_cpu_seconds=f'{b:.3g}', max_difference=f'{diff:.0e}')
    table = [row('from tables to all metrics', both, t['ours']), row('from tables to all metrics; usual without making its lists', t['usual'], t['ours'], what='pycocotools, evaluate and accumulate alone'),
             row('from tables to all metrics, cold', both, first), row('all metrics with intervals', BOOT*t['usual'], t['boot'], BOOT, 'pycocotools once a resample (one run multiplied up)'),
             row('AP40 and CPM with intervals', BOOT*t['usual'], t['boot40'], BOOT, 'pycocotools once a resample (one run multiplied up)')]
    from cxr_nb.core import write_table
    write_table(out, pd.DataFrame(table))
    for r in table: print(f"{r['path']:60}{r['ratio']:7,} times faster than {r['usual']}: {r['usual_cpu_seconds']} s and {r['ours_cpu_seconds']} s of CPU; they differ by at most {r['max_difference']}")

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=3, help='turns of both sides; the median counts')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'boxes.csv', help='where the table goes')
    a = a.parse_args()
    main(a.rounds, a.out)
