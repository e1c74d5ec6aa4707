"""What a ResNet-18 learns from the phantom, beside the ideal observer, and what is left when its shortcuts break. Everything here is synthetic.

    python benchmarks/phantom_learn.py WORK [--n 2000] [--size 128] [--epochs 24] [--jobs 2]

Draws `standard` twice into the folder WORK, with confounders in all splits and in the training split alone, trains a ResNet-18 from scratch on the truth of the first, and scores both test splits. For each
finding: the AUROC with its interval by patients, the same for the thirds of the positives by contrast to noise (each third against all films without the finding), the ideal observer's ceiling
(`cxr_nb.phantom.ceiling`), and the AUROC on the test films whose confounders are broken. Started again it goes on where it stopped. Writes results/phantom_learn.csv.
"""
import argparse
from pathlib import Path
import numpy as np, pandas as pd
from cxr_nb import phantom
from cxr_nb.cnn_train_test import test, train
from cxr_nb.core import read_table, wide_predictions, write_table
from cxr_nb.metrics import score_table
from cxr_nb.preprocessing import preprocess

def truth(root):
    "One row an image, one column a finding: what was drawn; and the contrast to noise of each drawn finding"
    found = read_table(root/'phantom'/'findings.csv'); rec = read_table(root/'cxr-record-list.csv.gz')
    cnr = found.pivot_table(index='dicom_id', columns='label', values='cnr', aggfunc='max').reindex(rec.dicom_id)
    return rec, cnr

def cohort(root, out, size, jobs):
    "A cohort of the phantom's frontal films with the truth as labels"
    rec, cnr = truth(root); split = read_table(root/'mimic-cxr-2.0.0-split.csv.gz').set_index('dicom_id').split
    images = read_table(root/'phantom'/'images.csv').set_index('dicom_id')
    d = pd.DataFrame(dict(path=rec.path, subject_id=rec.subject_id, study_id=rec.study_id, view=images['view'].reindex(rec.dicom_id).to_numpy(), sex=images.sex.reindex(rec.dicom_id).to_numpy(),
                          age=images.age.reindex(rec.dicom_id).to_numpy(), split=split.reindex(rec.dicom_id).to_numpy()))
    d = pd.concat([d, cnr.notna().astype(int).reset_index(drop=True)], axis=1)
    d[d['view'].isin(['PA','AP'])].to_csv(root/'labels.csv', index=False)
    return preprocess(root, 'folder', out, views='AP,PA', size=size, split='official', audit='off', jobs=jobs)

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

def auroc_rows(table, what):
    "The AUROC rows of a table, named"
    return table[table.metric == 'auroc'][['label','value','lo','hi','n_pos','n_neg']].rename(columns={k: f'{what}{k}' for k in ('value','lo','hi','n_pos','n_neg')}).set_index('label')

def main(work, n, size, epochs, jobs):
    for k in ('all', 'train'): phantom.write_phantom(work/k, n=n, seed=0, difficulty='standard', size=512, jobs=jobs, confounded=k)
    c, broken = (cohort(work/k, work/f'cohort_{k}', size, jobs) for k in ('all', 'train'))
    run = train(c, work/'run', arch='resnet18', pretrained='none', epochs=epochs, lr=1e-3, body_lr=1., wd=.05, bs=16, mixup=0., dropout=0., patience=99, seed=0,
                augment=dict(rotate=6., shift=.05, zoom=.1, brightness=15., contrast=.2, gamma=.2, erase=0., flip=0.))
    ev, labels = test(run, c), c.labels
    group = ev.rows.subject_id.to_numpy()
    y, p = wide_predictions(ev.predictions, 'y')[labels].to_numpy(), wide_predictions(ev.predictions)[labels].to_numpy()
    out = auroc_rows(score_table(y, p, labels, groups=group, metrics=('auroc',)), '')
    ys, ps, names = thirds(ev, truth(work/'all')[1], labels)
    by = auroc_rows(score_table(ys, ps, names, groups=group, metrics=('auroc',)), '').value
    for k in ('faint','middle','plain'): out[k] = [by.get(f'{l}|{k}', np.nan) for l in out.index]
    top = phantom.ceiling(list(labels))
    out['ceiling'] = top.groupby('label').auroc.mean().reindex(out.index); out['ceiling_search'] = top.groupby('label').auroc_search.mean().reindex(out.index)
    eb = test(run, broken)
    yb, pb = wide_predictions(eb.predictions, 'y')[labels].to_numpy(), wide_predictions(eb.predictions)[labels].to_numpy()
    out = out.join(auroc_rows(score_table(yb, pb, labels, groups=eb.rows.subject_id.to_numpy(), metrics=('auroc',)), 'broken_')[['broken_value','broken_lo','broken_hi']])
    out = out.round(4).reset_index(); write_table(Path(__file__).parent/'results'/'phantom_learn.csv', out); print(out.to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for phantoms, cohorts and the run')
    a.add_argument('--n', type=int, default=2000, help='films'); a.add_argument('--size', type=int, default=128, help='pixels a side of what is learnt from')
    a.add_argument('--epochs', type=int, default=24, help='at most'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    a = a.parse_args(); main(a.work, a.n, a.size, a.epochs, a.jobs)
