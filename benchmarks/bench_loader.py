"""Reading training images: PNG files with Pillow against a cohort's pixel cache, and a loader with affine augmentation over either.

    python benchmarks/bench_loader.py [--images 48] [--rounds 15] [--out benchmarks/results/loader.csv]

The pictures are drawn by the phantom at 1024 pixels, with noise of a few grey levels so that they compress as NIH's PNG files do. `random read` takes images of the cached size in random order, from PNG
files with Pillow and from `Cohort.pixels`. `item with augmentation` is what most training scripts do for each item of each epoch: open the 1024-pixel PNG, resize it, turn, shift and zoom it,
make it a tensor; against an item of `cxr_nb.cnn.CohortDataset`. Rotation, shift and zoom alone on both sides; a row of its own has all that `Augment` does. `batch` puts torch's loader about the same two,
without workers. Files are warm. Both sides run in one thread and are timed in CPU seconds, turn by turn in one run; a ratio is the median over the turns, with the interval of 1,000 resamples
of them. Only ratios mean anything."""
import argparse, math, os, tempfile, time
from pathlib import Path
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMBA_NUM_THREADS'): os.environ.setdefault(k, '1')
import cv2, numpy as np, pandas as pd, torch
from PIL import Image
from cxr_nb.cnn import Augment, CohortDataset, cohort_dls
from cxr_nb.core import write_table
from cxr_nb.phantom import draw
from cxr_nb.preprocessing import preprocess

cv2.setNumThreads(1); torch.set_num_threads(1)
SIZE, AFFINE = 224, dict(brightness=0., contrast=0., gamma=0., erase=0.)

def film(i):
    "A phantom of 1024 pixels with noise, 8 bits"
    noise = np.random.default_rng(i).normal(0, 2.5, (1024, 1024))
    return (draw(i, size=1024)[0]/16 + noise).clip(0, 255).astype('uint8')

def files(folder, n):
    "PNG files of the release's size and of the cached one, and the cohort made of them"
    for d in ('big', 'small'): (folder/d).mkdir()
    for i in range(n): Image.fromarray(film(i)).save(folder/'big'/f'{i:04d}.png')
    names = [f'{i:04d}.png' for i in range(n)]
    table = 'path,subject_id,split,Edema\n' + ''.join(f"{f},{i},{'train' if i else 'valid'},{i%2}\n" for i,f in enumerate(names))
    (folder/'big'/'labels.csv').write_text(table)
    cohort = preprocess(folder/'big', 'folder', folder/'cohort', size=SIZE, jobs=1, audit='off')
    for i in cohort.df.index: Image.fromarray(np.array(cohort.pixels[cohort.df.pixel_row[i]])).save(folder/'small'/Path(cohort.df.path[i]).name)
    return cohort, [folder/'big'/Path(f).name for f in cohort.df.path], [folder/'small'/Path(f).name for f in cohort.df.path]

class FileDataset(torch.utils.data.Dataset):
    "The usual way: Pillow from the released file, each time"
    def __init__(self, paths, y): self.paths, self.y, self.rng = paths, y, np.random.default_rng(0)
    def __len__(self): return len(self.paths)
    def __getitem__(self, i):
        im = Image.open(self.paths[i]).convert('L').resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        a, s, (dx, dy) = math.radians(self.rng.uniform(-15, 15)), math.exp(self.rng.uniform(-.24, .24)), self.rng.uniform(-.09, .09, 2)*SIZE
        c, h = (SIZE-1)/2, (math.cos(a)/s, math.sin(a)/s)
        m = (h[0], h[1], c - h[0]*(c+dx) - h[1]*(c+dy), -h[1], h[0], c + h[1]*(c+dx) - h[0]*(c+dy))
        im = im.transform(im.size, Image.Transform.AFFINE, m, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(im))[None], torch.from_numpy(self.y[i])

def cpu(f): t = time.process_time(); f(); return time.process_time()-t

def compare(name, usual, ours, n, rounds, reach):
    "One row of the table; both sides do `n` items a turn, ours ten times over"
    usual(); ours()
    turns = np.array([(cpu(usual), cpu(lambda: [ours() for _ in range(10)])/10) for _ in range(rounds)])
    ratio, rng = turns[:,0]/turns[:,1], np.random.default_rng(0)
    lo, hi = np.quantile(np.median(rng.choice(ratio, (1000, rounds)), axis=1), [.025, .975])
    print(f'{name:46} {np.median(ratio):6.1f} ({lo:.1f} to {hi:.1f}) times faster, to reach {reach or "-"}', flush=True)
    return dict(path=name, size=SIZE, ratio=f'{np.median(ratio):.1f}', lo=f'{lo:.1f}', hi=f'{hi:.1f}', reach=reach, images=n, n=rounds)

def rows(cohort, big, small, rounds):
    "All rows of the table"
    n, order = len(big), np.random.default_rng(1).permutation(len(big))
    y = cohort.df[cohort.labels].to_numpy('float32')
    usual = FileDataset(big, y)
    plain, full = (CohortDataset(cohort, cohort.df, cohort.labels, Augment(**a)) for a in (AFFINE, {}))
    at, pixels = cohort.df.pixel_row.to_numpy(), cohort.pixels
    def all_of(ds): return lambda: [ds[i] for i in order]
    yield compare('random read: PNG of the cached size, Pillow', lambda: [np.asarray(Image.open(small[i])) for i in order], lambda: [np.array(pixels[at[i]]) for i in order], n, rounds, 20)
    yield compare('random read: PNG of 1024 pixels, Pillow', lambda: [np.asarray(Image.open(big[i]).resize((SIZE, SIZE))) for i in order], lambda: [np.array(pixels[at[i]]) for i in order], n, rounds, '')
    yield compare('item with affine augmentation', all_of(usual), all_of(plain), n, rounds, 40)
    yield compare('item, ours with all augmentation', all_of(usual), all_of(full), n, rounds, '')
    dls = cohort_dls(cohort, cohort.df, cohort.df, bs=16, augment=Augment(**AFFINE), num_workers=0)
    theirs = torch.utils.data.DataLoader(usual, batch_size=16, shuffle=True, drop_last=True)
    yield compare('batches of 16 with affine augmentation', lambda: [b for b in theirs], lambda: [b for b in dls.train], n, rounds, 40)

def main(images, rounds, out):
    with tempfile.TemporaryDirectory() as d: table = list(rows(*files(Path(d), images), rounds))
    write_table(out, pd.DataFrame(table))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--images', type=int, default=48, help='how many pictures')
    a.add_argument('--rounds', type=int, default=15, help='turns of both sides; the median counts')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'loader.csv', help='where the table goes')
    a = a.parse_args()
    main(a.images, a.rounds, a.out)
