"""What a ResNet-18 learns from the phantom, beside the ideal observer, and what is left when its shortcuts break. Everything here is synthetic.

    python benchmarks/phantom_learn.py WORK [--start distil|imagenet|none] [--n 2000] [--size 192] [--epochs 18] [--jobs 2]

Draws `standard` three times into the folder WORK: seed 0, seed 1, and seed 1 with its confounders broken. Trains a ResNet-18 on the truth of the first one's training split, and scores all films of the other two: other patients, and
ten times as many positives as a test split has. The head sees the maximum of each feature map beside its mean, since most findings are small. ResNet-18's ImageNet weights lie on a hub (`--start imagenet`). So that the figure can be
made without a network, `--start distil` lets a ResNet-18 first imitate, on the training films and without their labels, at 128 pixels, the feature maps of the EfficientNet-Lite0 whose ImageNet weights come as a package
(Romero 2015, FitNets); `none` starts from random weights. For each finding: the AUROC on seed 1 with its interval by patients, the same for the thirds of the positives by contrast to noise (each third against all films without the
finding), the ideal observer's ceiling (`cxr_nb.phantom.ceiling`), the AUROC where the confounders are broken, and what is lost by that: the same patients with the same diseases are resampled in both, only their views, devices and ages' say differ.
Started again it goes on where it stopped. Writes results/phantom_learn.csv.

    python benchmarks/phantom_learn.py WORK --confirm 2

The drawing's table of sizes and contrasts was settled by looking at seed 1. So the trained run is scored once more on a seed that nobody had looked at: writes results/phantom_confirm.csv.
"""
import argparse
from pathlib import Path
import numpy as np, pandas as pd, timm, torch
from torch import nn
from cxr_nb import phantom
from cxr_nb.cnn import Augment, CXRNet, cohort_dls, gains_by_bf16, save_model
from cxr_nb.cnn_train_test import test, train
from cxr_nb.core import progress, read_table, wide_predictions, write_table
from cxr_nb.metrics import score_table
from cxr_nb.preprocessing import preprocess

def truth(root):
    "One row an image, one column a finding: what was drawn; and the contrast to noise of each drawn finding"
    found = read_table(root/'phantom'/'findings.csv'); rec = read_table(root/'cxr-record-list.csv.gz')
    cnr = found.pivot_table(index='dicom_id', columns='label', values='cnr', aggfunc='max').reindex(rec.dicom_id)
    return rec, cnr

def cohort(root, out, size, jobs, others=0):
    "A cohort of the phantom's frontal films with the truth as labels; other patients than another seed's where `others` is added to their ids"
    rec, cnr = truth(root); split = read_table(root/'mimic-cxr-2.0.0-split.csv.gz').set_index('dicom_id').split
    images = read_table(root/'phantom'/'images.csv').set_index('dicom_id')
    d = pd.DataFrame(dict(path=rec.path, subject_id=rec.subject_id + others, study_id=rec.study_id, view=images['view'].reindex(rec.dicom_id).to_numpy(), sex=images.sex.reindex(rec.dicom_id).to_numpy(),
                          age=images.age.reindex(rec.dicom_id).to_numpy(), split=split.reindex(rec.dicom_id).to_numpy()))
    d = pd.concat([d, cnr.notna().astype(int).reset_index(drop=True)], axis=1)
    d[d['view'].isin(['PA','AP'])].to_csv(root/'labels.csv', index=False)
    return preprocess(root, 'folder', out, views='AP,PA', size=size, split='official', audit='off', jobs=jobs)

def drawn(work, name, n, size, jobs, others=0, **kw):
    "A phantom of standard difficulty and its cohort, in WORK"
    return cohort(phantom.write_phantom(work/name, n=n, difficulty='standard', size=512, jobs=jobs, **kw), work/f'cohort_{name}', size, jobs, others)

def thirds(ev, cnr, labels):
    "Truth and scores of a column a finding and third of its contrast to noise; other positives are unknown there"
    y, p = wide_predictions(ev.predictions, 'y')[labels], wide_predictions(ev.predictions)[labels]
    c = cnr.reindex(ev.rows.image_id.str.removeprefix('folder:'))
    ys, ps, names = [], [], []
    for l in labels:
        rank = c[l].rank(pct=True, method='first').to_numpy()
        for k, name in enumerate(('faint','middle','plain')):
            part = (rank > k/3 + 1e-9) & (rank <= (k+1)/3 + 1e-9) if k else rank <= 1/3 + 1e-9
            t = y[l].to_numpy().copy(); t[(t == 1) & ~part] = np.nan
            ys.append(t); ps.append(p[l].to_numpy()); names.append(f'{l}|{name}')
    return np.stack(ys, 1), np.stack(ps, 1), names

def weighted_auroc(y, p, w):
    "AUROC of each column of N x L truth and scores, where film i counts w[i] times; scores without ties"
    order = np.argsort(p, axis=0); y, w = np.take_along_axis(y, order, 0), w[order]
    pos, neg = w*y, w*(1-y)
    return (pos*np.cumsum(neg, axis=0)).sum(0)/(pos.sum(0)*neg.sum(0))

def lost(held, broken, labels, n_boot=1000):
    "AUROC of each label and their mean, less that where confounders are broken; the same patients are drawn in both"
    sides = [(*(wide_predictions(e.predictions, k)[labels].to_numpy('float64') for k in 'yp'), e.rows.subject_id.to_numpy()) for e in (held, broken)]
    patients, rng = np.array(sorted(set(sides[0][2]) & set(sides[1][2]))), np.random.default_rng(0)
    at = [np.searchsorted(patients, g) for *_, g in sides]
    def less(n): d = np.subtract(*(weighted_auroc(y, p, n[i].astype(float)) for (y, p, _), i in zip(sides, at))); return np.r_[d, d.mean()]
    v = np.array([less(rng.multinomial(len(patients), np.full(len(patients), 1/len(patients)))) for _ in progress(range(n_boot), 'resamples')])
    return pd.DataFrame(dict(lost=less(np.ones(len(patients))), lost_lo=np.quantile(v, .025, axis=0), lost_hi=np.quantile(v, .975, axis=0)), index=[*labels, 'macro'])

def auroc_rows(table, what):
    "The AUROC rows of a table, named"
    return table[table.metric == 'auroc'][['label','value','lo','hi','n_pos','n_neg']].rename(columns={k: f'{what}{k}' for k in ('value','lo','hi','n_pos','n_neg')}).set_index('label')

def distil(cohort, out, epochs=10, lr=2e-3):
    "A ResNet-18 that imitates three feature maps of EfficientNet-Lite0 on the training films"
    if out.is_file(): return out
    torch.manual_seed(0); c = cohort; train_, valid = c.rows('train'), c.rows('valid')
    teacher, student = CXRNet('efficientnet_lite0', c.labels, c.size, pretrained='imagenet').eval(), CXRNet('resnet18', c.labels, c.size, pretrained='none')
    maps = timm.create_model('tf_efficientnet_lite0', features_only=True, out_indices=(2, 3, 4)).eval().requires_grad_(False)
    maps.load_state_dict(teacher.body.state_dict(), strict=False)
    seen = {}
    for k in (2, 3, 4): getattr(student.body, f'layer{k}').register_forward_hook(lambda m, x, y, k=k: seen.__setitem__(k, y))
    bridge = nn.ModuleList([nn.Conv2d(a, b, 1) for a, b in zip((128, 256, 512), maps.feature_info.channels())])
    dls = cohort_dls(c, train_, valid, augment=Augment(rotate=8., shift=.06, zoom=.2, gamma=.3, erase=0.))
    opt = torch.optim.AdamW([*student.body.parameters(), *bridge.parameters()], lr, weight_decay=.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs*len(dls.train)); scale = None
    for _ in progress(range(epochs), 'distil'):
        for x, _ in dls.train:
            x = ((x.float()-teacher.mean)/teacher.std).contiguous(memory_format=torch.channels_last)
            with torch.autocast('cpu', torch.bfloat16, enabled=gains_by_bf16()):
                want = [w.float() for w in maps(x)]; student.body(x); have = [b(seen[k]).float() for k, b in zip((2, 3, 4), bridge)]
            scale = scale or [(w.mean((0,2,3), keepdim=True), w.std((0,2,3), keepdim=True)+1e-3) for w in want]
            loss = sum(nn.functional.mse_loss(h, ((w-m)/s).clamp(-5, 5)) for h, w, (m, s) in zip(have, want, scale))
            opt.zero_grad(); loss.backward(); opt.step(); plan.step()
    save_model(student, out)
    return out


def scored(ev, labels, what=''):
    "AUROC of each finding with its interval by patients"
    y, p = (wide_predictions(ev.predictions, k)[labels].to_numpy() for k in ('y','p'))
    return auroc_rows(score_table(y, p, labels, groups=ev.rows.subject_id.to_numpy(), metrics=('auroc',)), what)

def by_third(ev, cnr, labels):
    "AUROC of each finding's thirds by contrast to noise"
    ys, ps, names = thirds(ev, cnr, labels); by = auroc_rows(score_table(ys, ps, names, groups=ev.rows.subject_id.to_numpy(), metrics=('auroc',)), '').value
    return pd.DataFrame({k: [by.get(f'{l}|{k}', np.nan) for l in [*labels, 'macro']] for k in ('faint','middle','plain')}, index=[*labels, 'macro'])

def written(out, start, name):
    "Write a table, and print it"
    out = out.round(4).reset_index(names='label').assign(start=start); write_table(Path(__file__).parent/'results'/name, out); print(out.to_string(index=False))

def confirm(work, start, n, size, jobs, seed):
    "Score the trained run on another seed"
    c = drawn(work, f'seed{seed}', n, size, jobs, others=50_000_000 + 10_000_000*seed, seed=seed); ev = test(work/f'run_{start}', c, split='all')
    written(scored(ev, c.labels).join(by_third(ev, truth(work/f'seed{seed}')[1], c.labels)).assign(seed=seed), start, 'phantom_confirm.csv')

def main(work, start, n, size, epochs, jobs):
    def films(name, **kw): return drawn(work, name, n, size, jobs, **kw)
    c = films('all', seed=0)
    weights = str(distil(cohort(work/'all', work/'cohort_small', 128, jobs), work/'distil.safetensors')) if start == 'distil' else start
    run = train(c, work/f'run_{start}', arch='resnet18', pretrained=weights, freeze=0, epochs=epochs, lr=1.5e-3, body_lr=1., wd=.02, bs=16, pool='catavgmax', mixup=0., dropout=0., patience=99, seed=0,
                augment=dict(rotate=8., shift=.06, zoom=.15, brightness=20., contrast=.25, gamma=.3, erase=0., flip=0.))
    ev = test(run, films('more', others=50_000_000, seed=1), split='all'); out = scored(ev, c.labels).join(by_third(ev, truth(work/'more')[1], c.labels))
    top = phantom.ceiling(list(c.labels), size=size).groupby('label')[['auroc','auroc_search']].mean()
    out = out.join(top.rename(columns=dict(auroc='ceiling', auroc_search='ceiling_search')))
    bare = test(run, films('none', others=50_000_000, seed=1, confounded='none'), split='all')
    out = out.join(scored(bare, c.labels, 'broken_')[['broken_value','broken_lo','broken_hi']]).join(lost(ev, bare, c.labels))
    written(out, start, 'phantom_learn.csv')

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for phantoms, cohorts and the run'); a.add_argument('--start', default='distil', choices=['distil','imagenet','none'], help='where the weights start')
    a.add_argument('--n', type=int, default=2000, help='films'); a.add_argument('--size', type=int, default=192, help='pixels a side of what is learnt from')
    a.add_argument('--epochs', type=int, default=18, help='at most'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    a.add_argument('--confirm', type=int, metavar='SEED', help='score the trained run on this seed, and no more')
    a = a.parse_args(); main(a.work, a.start, a.n, a.size, a.epochs, a.jobs) if a.confirm is None else confirm(a.work, a.start, a.n, a.size, a.jobs, a.confirm)
