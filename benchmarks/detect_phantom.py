"""How well a detector learns to locate the phantom's findings, and what of it holds for faint ones. Everything here is synthetic.

    python benchmarks/detect_phantom.py WORK [--minutes 30] [--first 6] [--epochs N] [--size 256] [--body efficientnet_lite0] [--weights imagenet] [--n 2000] [--more] [--jobs 2]

Draws `standard`, seed 0, into WORK/all (or takes what benchmarks/phantom_learn.py drew there), with its boxes as the truth of all 16 findings, and trains one detector on the training split. With `--first` it starts from a classifier that has learnt the reports' labels of the same training split at 160 pixels for so many epochs, which counts as well. Without `--epochs` their number follows from `--minutes`:
a few steps and validation images are timed first, and the whole one-cycle training is laid out to fit. Then all films of the test split are scored. For each finding: the AP at IoU 0.4 with its interval by patients, and the same for the thirds of its
boxes by contrast to noise (a third is scored as if the other two's boxes were not there: marks on them are left out). With `--scales` films are scored at several sizes, and the boxes fused, if that raises the mean AP40 on the validation films. Macro: the mean over the findings with at least 50 test boxes. `--more` also scores all films of seed 1, other patients, ten times
as many boxes as a test split has of a rare finding. `minutes` is by the clock, `cpu_minutes` the processor's time over the number of threads, which other work beside it changes less. Started again it goes on where it stopped. Writes results/detect_phantom.csv.
"""
import argparse, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from cxr_nb import phantom
from cxr_nb.cnn_train_test import train
from cxr_nb.boxes import BOX, box_table, iou, match_boxes
from cxr_nb.core import PRESETS, Cohort, read_json, read_table, write_json, write_table
from cxr_nb.detection import BoxAugment, BoxDataset, DetectConfig, _optimizer, batches, box_truth, find_boxes, new_detector, test_detector, train_detector, train_epoch, valid_loss
from cxr_nb.preprocessing import preprocess

FEW = 50 # test boxes a finding needs to count for the macro
THIRDS = ('faint','middle','plain')

def cohort(work, name, n, size, jobs, seed):
    "A phantom with its boxes as a cohort; another seed's patients are others, though their numbers are the same"
    root = phantom.write_phantom(work/name, n=n, difficulty='standard', size=512, jobs=jobs, seed=seed)
    c = preprocess(root, 'mimic', work/f'boxes_{name}_{size}', size=size, blank='zero', split='official', audit='off', jobs=jobs)
    return c if seed == 0 else Cohort(c.path, c.df.assign(subject_id=c.df.subject_id + f'/{seed}'), c.meta)

def cnr(work, name):
    "Contrast to noise of each true box"
    b, f = (read_table(work/name/'phantom'/f'{k}.csv') for k in ('boxes','findings'))
    return b.assign(image_id='phantom:' + b.dicom_id, cnr=f.cnr)[['image_id','label',*BOX,'cnr']]

def planned(c, cfg, minutes):
    "How many epochs fit into a time, from a few steps of the training itself"
    t = box_truth(c); part = lambda s: ((r := t.rows[t.rows.split == s].reset_index(drop=True)), t.boxes[t.boxes.image_id.isin(r.image_id)])
    ds, check = BoxDataset(c, *part('train'), t.labels, BoxAugment(**cfg.augment)), BoxDataset(c, *part('valid'), t.labels)
    net = new_detector(c, ds, t.labels, cfg); opt = _optimizer(net, cfg); steps = batches(ds, cfg.bs, np.ones(len(ds))); scaler = torch.amp.GradScaler(enabled=False); took = []
    for k in (2, 6): start = time.monotonic(); train_epoch(net, ds, steps[:k], opt, scaler, 1); took.append((time.monotonic()-start)/k)
    few = min(16, len(check)); check.at, check.of = check.at[:few], check.of[:few]; start = time.monotonic(); valid_loss(net, check); find_boxes(net, np.asarray(c.pixels[check.at]))
    epoch = took[-1]*len(steps) + (time.monotonic()-start)/few*len(part('valid')[0]); n = max(1, int(minutes*60/epoch))
    print(f'{took[-1]:.2f} s a step of {cfg.bs} images, {epoch:.0f} s an epoch of {len(steps)} steps: {n} epochs in {minutes:g} minutes', flush=True)
    return n

def classifier(work, n, epochs, jobs):
    "A classifier of the same training split, to start from"
    return train(cohort(work, 'all', n, 160, jobs, 0), work/f'detect_first_{epochs}', **PRESETS['nih_baseline']['train'] | dict(epochs=epochs, patience=epochs, tta=1))

def spent(facts, plan, what):
    "Do something, and add its minutes to what was spent"
    start, cpu = time.monotonic(), time.process_time(); out = what()
    for k, v in dict(seconds=time.monotonic() - start, cpu=(time.process_time() - cpu)/torch.get_num_threads()).items(): facts[k] += v
    write_json(plan, facts); return out

def by_thirds(ev, contrast):
    "Truth, detections and labels with a label a finding and third"
    b = ev.truth.merge(contrast, on=['image_id','label',*BOX]); b['third'] = (b.groupby('label').cnr.rank(pct=True, method='first')*3 - 1e-9).astype(int).clip(0, 2)
    at, keep = {k: g for k, g in b.groupby(['image_id','label'])}, np.ones((len(ev.detections), 3), bool)
    for k, i in ev.detections.groupby(['image_id','label']).indices.items():
        if k not in at: continue
        over = iou(ev.detections.iloc[i][BOX], at[k][BOX]) >= .4; third = at[k].third.to_numpy()
        for j in range(3): keep[i, j] = over[:, third == j].any(1) | ~over[:, third != j].any(1)
    name = lambda d, j: d.assign(label=d.label + f'|{THIRDS[j]}')
    return pd.concat([name(b[b.third == j], j) for j in range(3)]), pd.concat([name(ev.detections[keep[:, j]], j) for j in range(3)])

def table(ev, contrast, prefix=''):
    "A row a finding: AP40 with interval, boxes, and the AP40 of each third"
    get = lambda m, names: box_table(match_boxes(ev.rows, *m, names), ['AP40']).set_index('label')
    labels, known = sorted(ev.truth.label.unique()), sorted({*ev.truth.label, *ev.detections.label}) # without a test box nothing can be said
    whole, parts = get((ev.truth, ev.detections), known), get(by_thirds(ev, contrast), [f'{l}|{k}' for l in known for k in THIRDS])
    out = whole.loc[labels, ['value','lo','hi']].assign(boxes=whole.loc[labels].n_pos)
    for k in THIRDS: out[[k, f'{k}_lo', f'{k}_hi']] = parts.loc[[f'{l}|{k}' for l in labels], ['value','lo','hi']].to_numpy()
    many = [l for l in labels if out.boxes[l] >= FEW]; keep = lambda d: d[d.label.isin(many)]
    if many: out.loc['macro', ['value','lo','hi','boxes']] = [*get((keep(ev.truth), keep(ev.detections)), many).loc['macro', ['value','lo','hi']], out.boxes[many].sum()]; out.loc['macro', list(THIRDS)] = out.loc[many, list(THIRDS)].mean()
    return out.rename(columns=lambda k: prefix + k)

def main(work, minutes, first, epochs, size, n, more, scales, jobs, **options):
    c = cohort(work, 'all', n, size, jobs, 0); run = work/f"detect_{options['body']}_{size}_{f'first{first}' if first else Path(options['weights']).stem}"; plan = work/f'{run.name}.json'
    facts = read_json(plan) if plan.is_file() else dict(epochs=epochs, seconds=0., cpu=0.)
    if first: cohort(work, 'all', n, 160, jobs, 0); options['weights'] = str(spent(facts, plan, lambda: classifier(work, n, first, jobs)))
    if not facts['epochs']: facts['epochs'] = planned(c, DetectConfig(**options, patience=99), minutes - facts['seconds']/60); write_json(plan, facts)
    spent(facts, plan, lambda: train_detector(c, run, epochs=facts['epochs'], patience=99, **options))
    print(f"{facts['epochs']} epochs, with the start {facts['seconds']/60:.1f} minutes by the clock and {facts['cpu']/60:.1f} of the processor on {torch.get_num_threads()} threads; {c.path}", flush=True)
    print(read_table(run/'history.csv').round(4).to_string(index=False), flush=True)
    if scales: # are they worth their time? asked on the validation films
        v = {k: test_detector(run, c, 'valid', scales=s, n_boot=2).metrics for k, s in dict(one=None, several=scales).items()}; v = {k: d[(d.metric == 'AP40') & (d.label == 'macro')].value.iloc[0] for k, d in v.items()}
        print(f"validation films, mean AP40 of all findings: {v['one']:.3f} at {size} px, {v['several']:.3f} at {', '.join(map(str, scales))}", flush=True); scales = scales if v['several'] > v['one'] else None
    out = table(test_detector(run, c, scales=scales), cnr(work, 'all'))
    if more: out = out.join(table(test_detector(run, cohort(work, 'more', n, size, jobs, 1), 'all', scales=scales), cnr(work, 'more'), 'more_'), how='outer')
    out = out.round(4).rename_axis('label').reset_index().assign(body=options['body'], size=size, first=first, scales=' '.join(map(str, scales or (size,))), epochs=facts['epochs'], minutes=round(facts['seconds']/60, 1), cpu_minutes=round(facts['cpu']/60, 1))
    write_table(Path(__file__).parent/'results'/'detect_phantom.csv', out); print(out.to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for phantoms, cohorts and runs'); a.add_argument('--minutes', type=float, default=30, help='for the training, by the clock'); a.add_argument('--first', type=int, default=0, help='epochs of a classifier to start from'); a.add_argument('--epochs', type=int, default=0, help='instead of --minutes')
    a.add_argument('--size', type=int, default=256, help='pixels a side'); a.add_argument('--n', type=int, default=2000, help='films'); a.add_argument('--more', action='store_true', help='score all films of seed 1 as well'); a.add_argument('--scales', type=lambda s: tuple(map(int, s.split(','))), default=None, help='pixels to score at, with commas, where the validation films say that it helps'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    d = DetectConfig()
    for k, what in dict(family='faster_rcnn or retinanet', body='see cxr_detect_train', weights='imagenet, none or a .safetensors file', lr='largest rate of the heads', body_lr="the body's share of it", bs='images a step', freeze='stages kept', norm='batch or frozen', balance='see cxr_detect_train', channels='of the pyramid', hidden='units of the head').items():
        a.add_argument(f'--{k}', type=type(getattr(d, k)), default=getattr(d, k), help=what)
    main(**vars(a.parse_args()))
