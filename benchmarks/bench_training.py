"""A training step in bfloat16 and channels last against float32, and what fastai's Learner costs beside a plain loop.

    python benchmarks/bench_training.py [--rounds 9] [--out benchmarks/results/training.csv]

DenseNet-121 and ResNet-18 on batches of eight films of 224 pixels with 14 labels, untrained, Adam; usual is what most scripts do: float32, channels first. Ours is how `cxr_nb.cnn` trains where the processor multiplies bfloat16; elsewhere
that half is left out with a sentence. The Learner is fastai's as the library uses it, on a network so small that what is left is the loop; the plain loop does the same steps. All sides run in one thread and are timed in CPU seconds, turn by turn in one run;
a ratio is the median over the turns, with the interval of 1,000 resamples of them. The loop's row is no ratio but a difference, in ms a batch."""
import argparse, os, warnings
from pathlib import Path
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMBA_NUM_THREADS'): os.environ.setdefault(k, '1')
import numpy as np, pandas as pd, torch
from fastai.basics import DataLoaders, Learner
from torch import nn
from cxr_nb.cnn import CXRNet, gains_by_bf16
from cxr_nb.core import write_table
from bench_export import LABELS, cpu

torch.set_num_threads(1)
REACH = dict(densenet121=2, resnet18=1.5)

def step(net, x, y, half):
    "A whole step of training, as a call"
    net = net.train(); opt = torch.optim.Adam(net.parameters()); way = net if half else lambda x: net.head(net.body(((x.float() - net.mean)/net.std).contiguous()))
    def call():
        with torch.autocast('cpu', torch.bfloat16, enabled=half): p = way(x)
        nn.functional.binary_cross_entropy_with_logits(p.float(), y).backward(); opt.step(); opt.zero_grad()
    return call

def interval(v, n=1000):
    "Median and the interval of resampled turns"
    v = np.asarray(v); b = np.median(np.random.default_rng(0).choice(v, (n, len(v))), axis=1)
    return [float(np.median(v)), *np.quantile(b, [.025, .975]).tolist()]

def steps(rounds):
    "A row a network"
    x, y = torch.randint(0, 256, (8, 1, 224, 224)), torch.randint(0, 2, (8, len(LABELS))).float()
    for arch in REACH:
        calls = [step(CXRNet(arch, LABELS, 224, pretrained='none'), x, y, half) for half in (False, True)]
        for f in calls: f()
        turns = np.array([[cpu(f) for f in calls] for _ in range(rounds)]); r = interval(turns[:,0]/turns[:,1])
        yield dict(path=f'training step, {arch}', usual='float32, channels first', ours='bfloat16, channels last', unit='ratio', **dict(zip(('ratio','lo','hi'), r)), reach=REACH[arch], n=rounds)

def learner(rounds, batches=200):
    "The row of the loop, in ms a batch"
    net = lambda: (torch.manual_seed(0), nn.Linear(64, 14))[1]; xy = [(torch.randn(8, 64), torch.randint(0, 2, (8, 14)).float()) for _ in range(batches)]
    loss = nn.BCEWithLogitsLoss(); dl = lambda: torch.utils.data.DataLoader(range(batches), batch_size=None, collate_fn=lambda i: xy[i])
    def plain():
        m = net(); opt = torch.optim.Adam(m.parameters())
        for x, y in dl(): loss(m(x), y).backward(); opt.step(); opt.zero_grad()
    def fastai():
        l = Learner(DataLoaders(dl(), dl()), net(), loss_func=loss, opt_func=lambda p, **k: _adam(p, **k))
        with l.no_bar(), l.no_logging(): l.fit(1)
    from fastai.optimizer import Adam as _adam
    plain(); fastai(); turns = np.array([[cpu(plain), cpu(fastai)] for _ in range(rounds)]); d = interval((turns[:,1] - turns[:,0])/batches*1000)
    return dict(path='Learner beside a plain loop', usual='plain loop', ours='fastai Learner', unit='ms a batch more', **dict(zip(('ratio','lo','hi'), d)), reach=5, n=rounds)

def main(rounds, out):
    warnings.simplefilter('ignore'); rows = [learner(rounds)]
    if gains_by_bf16(): rows += steps(rounds)
    else: print('the training step is left out, since this processor does not multiply bfloat16')
    df = pd.DataFrame(rows); df[['ratio','lo','hi']] = df[['ratio','lo','hi']].round(2); write_table(out, df); print(df.to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=9, help='turns of both sides; the median counts')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'training.csv', help='where the table goes')
    main(**vars(a.parse_args()))
