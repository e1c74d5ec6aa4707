"""An audit of 100,000 radiographs: leaks planted and found, and CPU time beside the exhaustive way.

    python benchmarks/bench_audit.py [--n 100000] [--size 224] [--planted 200] [--folder DIR] [--out benchmarks/results/audit.csv]

The films are synthetic and made alike on purpose: each is a phantom (one of 100) bent elastically, under its own texture and exposure; every third one is a serial film of the one before, bent further until the two are as alike as
serial films of NIH's are (local contrast at 32 x 32, registered: median .85, 90th percentile .93). Two cohorts are written, kept at
different sizes and geometries, and leaks of every kind are planted between and within them. All is timed in CPU seconds of one thread, reading the memory map included. The exhaustive way is a correlation of all pairs at 64 x 64 as a
matrix product, timed on 4,000 images and multiplied up by the number of pairs: the same search without registration. `unplanted` counts pairs that are called the same image though nobody planted them."""
import argparse, csv, os, shutil, tempfile, time
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1'); os.environ.setdefault('NUMBA_NUM_THREADS', '1')
import cv2, numpy as np, pandas as pd

def bases(n=100, size=224):
    from cxr_nb.phantom import draw
    return [(draw(f'bench {k}', size=size)[0] >> 4).astype(np.uint8) for k in range(n)]

class Films:
    "Film k, the same each time it is asked for"
    def __init__(self, n, size=224):
        self.base, self.size = bases(size=size), size
        self.grid = np.dstack(np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32)))
        t = np.random.default_rng(1).normal(0, 1, (1024,1024)).astype(np.float32)
        self.texture = np.rint(sum(s*cv2.GaussianBlur(t, (0,0), s)*w for s,w in ((1.5,9), (4,12), (12,16)))).astype(np.int16)
    def patient(self, k): return k-1 if k%3 == 1 else k # every third film is a serial one
    def bend(self, rng, px): return cv2.resize(rng.normal(0, px, (6,6,2)).astype(np.float32), (self.size,self.size), interpolation=cv2.INTER_CUBIC)
    def patch(self, rng): t,l = rng.integers(0, 1024-self.size, 2); return self.texture[t:t+self.size,l:l+self.size]
    def __getitem__(self, k):
        p = self.patient(k); rng,own = np.random.default_rng([7,p]),np.random.default_rng([8,k])
        a = cv2.add(self.base[rng.integers(len(self.base))], self.patch(rng), dtype=cv2.CV_8U)
        at = self.grid + self.bend(rng, 5) + (self.bend(own, own.uniform(3, 8)) if k != p else 0)
        a = cv2.add(cv2.remap(a, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), self.patch(own), dtype=cv2.CV_8U)
        return np.rint(255*(np.arange(256)/255)**own.uniform(.8, 1.25)).astype(np.uint8)[a]

def crop(a, rng): h,w = a.shape; s = rng.uniform(.02, .05); y,x = int(s*h),int(s*w); t,l = rng.integers(0, y+1),rng.integers(0, x+1); return a[t:h-y+t,l:w-x+l]
def window(a): lo,hi = np.percentile(a, [2,98]); return np.rint(255*np.clip((a-lo)/max(hi-lo, 1), 0, 1)).astype(np.uint8)
def jpeg(a, q): return cv2.imdecode(cv2.imencode('.jpg', a, [cv2.IMWRITE_JPEG_QUALITY, q])[1], 0)
CHANGES = {'size and geometry': lambda a,r: a, 'gamma': lambda a,r: np.rint(255*(a/255)**r.uniform(.5, 2)).astype(np.uint8), 'window': lambda a,r: window(a), 'negative': lambda a,r: 255-a,
           'JPEG 30 to 90': lambda a,r: jpeg(a, int(r.integers(30, 91))), 'crop 2 to 5 %': crop, 'border': lambda a,r: cv2.copyMakeBorder(a, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=0),
           'crop, gamma, negative': lambda a,r: 255-np.rint(255*(crop(a, r)/255)**1.5).astype(np.uint8)}

def write(folder, df, images, size, geometry):
    from cxr_nb import core; from cxr_nb.dicom import to_frame
    folder.mkdir(parents=True); out = np.lib.format.open_memmap(folder/f'pixels_{size}.npy', 'w+', 'uint8', (len(df),size,size)); shapes = []
    for k in core.progress(range(len(df)), folder.name):
        a = images(k); shapes.append(a.shape); out[k] = a if a.shape == (size,size) else to_frame(a.astype(np.float32), size, geometry)
    out.flush()
    df = df.assign(rows=[h for h,_ in shapes], cols=[w for _,w in shapes], pixel_row=range(len(df)), path='x', view='PA', sex='F', age=50., Edema=0.)
    core.write_table(folder/'cohort.parquet', df); core.write_json(folder/'cohort.json', dict(labels=['Edema'], size=size, geometry=geometry))

def plant(folder, n, each, size):
    "Two cohorts; returns kind -> set of pairs of image ids"
    films,rng = Films(n),np.random.default_rng(0); ids = [f'nih:{k:08d}_000' for k in range(n)]; patient = [f'nih:{films.patient(k)+1}' for k in range(n)]
    main = pd.DataFrame(dict(image_id=ids, study_id=[f'nih:s{k}' for k in range(n)], subject_id=patient, split='train', source='nih'))
    take = rng.permutation(np.arange(2, n-each, 3))[:each*(len(CHANGES)+4)].reshape(-1, each); wanted = {}        # patients with one film
    twin = dict(zip(range(n-each, n), take[0])); wanted['exact'] = {(ids[k], ids[t]) for t,k in twin.items()}    # the last films are copies of others
    main.loc[main.index[n-each:], 'subject_id'] = [f'nih:copy{k}' for k in range(each)]
    write(folder/'main', main, lambda k: films[twin.get(k, k)], size, 'pad')
    rows,make = [],[]
    def add(kind, k, image, **c):
        j = len(rows); r = dict(image_id=f'rsna:i{j}', study_id=f'rsna:t{j}', subject_id=f'rsna:p{j}', split='test', source='rsna', meta_nih_image=None) | c
        rows.append(r); make.append(image); wanted.setdefault(kind, set()).add((ids[k], r['image_id']))
    for (name,f),ks in zip(CHANGES.items(), take[1:]):
        for k in ks: add(f'near: {name}', k, lambda f=f,k=k: f(films[k], np.random.default_rng(k)))
    other = iter(range(n, 10*n, 3))                                                                               # films that the main cohort doesn't have
    for kind,ks,c in ('subject', take[-3], lambda k: dict(subject_id=patient[k])), ('study', take[-2], lambda k: dict(study_id=main.study_id[k])), ('crosswalk', take[-1], lambda k: dict(meta_nih_image=f'{k+1:08d}_999')):
        for k in ks: add(kind, k, lambda j=next(other): films[j], **c(k))
    write(folder/'second', pd.DataFrame(rows), lambda k: make[k](), 160, 'squash')
    return wanted

def cpu(f, *args): t = time.process_time(); out = f(*args); return time.process_time()-t, out

def exhaustive(cohort, n_pairs, sample=4000):
    "CPU seconds for all pairs by a matrix product, multiplied up"
    x = np.stack([cv2.resize(a, (64,64), interpolation=cv2.INTER_AREA) for a in cohort.pixels[:sample]]).reshape(sample, -1).astype(np.float32)
    def search(): z = x - x.mean(1, keepdims=True); z /= np.linalg.norm(z, axis=1, keepdims=True); return [np.argwhere(np.abs(z[k:k+500] @ z.T) >= .98) for k in range(0, sample, 500)]
    return min(cpu(search)[0] for _ in range(3))*n_pairs/(sample*sample)

def main(n, size, each, folder, out):
    from cxr_nb import core; from cxr_nb.audit import audit, verdict_line
    work = Path(folder or tempfile.mkdtemp())/f'audit_{n}_{size}_{each}'; shutil.rmtree(work, ignore_errors=True); cv2.setNumThreads(1)
    try:
        wanted = plant(work, n, each, size); a,b = (core.read_cohort(work/k) for k in ('main','second'))
        audit(core.Cohort(a.path, a.df[:400], a.meta))                                                            # compiled code is loaded
        seconds,result = cpu(audit, a, b); usual = exhaustive(a, result.verdict['pairs_examined'])
    finally: shutil.rmtree(work, ignore_errors=True)
    p = result.pairs; got = {k: set(zip(g.image_id_a, g.image_id_b)) for k,g in p.groupby('kind')}; table = []
    for kind,pairs in wanted.items(): table.append(dict(kind=kind, planted=len(pairs), found=len(pairs & got.get(kind.split(':')[0], set()))))
    planted = set().union(*wanted.values()); same = p[p.kind.isin(['exact','near'])]; extra = len(set(zip(same.image_id_a, same.image_id_b)) - planted)
    v = result.verdict; facts = dict(images=v['images'], pairs=v['pairs_examined'], candidates=v['candidates'], hash_radius=v['thresholds']['hash_radius'], unplanted=extra, cpu_seconds=round(seconds, 1), exhaustive_cpu_seconds=round(usual), ratio=round(usual/seconds, 1))
    table = [r | facts for r in table]; out.parent.mkdir(parents=True, exist_ok=True); beside = out.with_suffix('.part')
    with beside.open('w', newline='') as f: w = csv.DictWriter(f, table[0], lineterminator='\n'); w.writeheader(); w.writerows(table)
    beside.replace(out)
    for r in table: print(f"{r['kind']:32}{r['found']:5} of {r['planted']} found")
    print(verdict_line(v)); print(', '.join(f'{k} {x:,}' for k,x in facts.items()))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--n', type=int, default=100_000, help='films of the main cohort')
    a.add_argument('--size', type=int, default=224, help='side of its cached images, px')
    a.add_argument('--planted', type=int, default=200, help='leaks of each kind')
    a.add_argument('--folder', type=Path, help='where the cohorts go while they are needed; 5 GB at the defaults')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'audit.csv', help='where the table goes')
    a = a.parse_args()
    main(a.n, a.size, a.planted, a.folder, a.out)
