"""What lifts a classifier of fourteen findings that has 1,300 NIH images to learn from: out of fold by patient, each step beside the one that it changes.

    python benchmarks/few_images.py WORK [--phantom RUN] [--jobs 2]

Makes the cohorts of CXR_DATA/nih_mini at 96, 224 and 320 px and the runs of `RUNS` in the folder WORK, five folds each, the same for all; started again it goes on where it stopped. One of them starts from a network that has learnt 4,000 drawn films
(synthetic; preset `phantom_first`, 160 px), which is made first; `--phantom` names a run that was trained on 2,000 of them at 96 px (`benchmarks/tune_phantom.py` makes one), for the step that starts there. Then come the steps that need no training: fewer views at test time, the larger network alone, the mean of the weights of both.
Every run has the settings of `nih_baseline` but for what its name says, so nothing was tuned on the folds; which of the steps makes the recipe was decided on this table. Writes results/few_images.csv: the macro AUROC of each step, and paired differences by patient, on all images, on the origin
`sample` (a random draw of NIH's images; the others were drawn by label) and on those that CheXNet's published predictions cover, which serve for comparison alone; results/few_images_labels.csv, the recipe's gain on each label; and results/few_images_minutes.csv.
"""
import argparse, os, sys, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from nih_baseline import CONTROLS, control, line
from cxr_nb.cnn import load_model, predict_proba
from cxr_nb.cnn_train_test import train
from cxr_nb import phantom
from cxr_nb.core import PRESETS, read_cohort, read_evaluation, read_json, wide_predictions, write_json, write_table
from cxr_nb.metrics import paired_difference, score_table
from cxr_nb.preprocessing import fold_rows, preprocess

FOLDS, BASE, SHORT, PHANTOM = 5, PRESETS['nih_baseline']['train'], dict(epochs=8), 'phantom_first'
SMALL, BASELINE, FIRST, MEAN, META = '96 px, 8 epochs', '224 px (nih_baseline)', '224 px, phantom first', '320 px after 224 px, mean of both', 'age, sex, view, follow-up number, image size'
RUNS = { # name: pixels, and what differs from nih_baseline
    BASELINE: (224, {}), FIRST: (224, dict(pretrained=PHANTOM)), MEAN: (320, PRESETS['nih_larger']['train'] | dict(pretrained=BASELINE, ensemble=BASELINE)), SMALL: (96, SHORT), f'{SMALL}, phantom first': (96, SHORT | dict(pretrained='RUN')), f'{SMALL}, random weights': (96, SHORT | dict(pretrained='none'))}
BOTH, ALL, ONE_VIEW, ALONE, WEIGHTS, PUBLISHED = '224 px, mean of both starts (nih_few)', 'mean of both starts and 320 px', '224 px, one view', '320 px after 224 px, alone', '320 px after 224 px, mean of weights', 'CheXNet, published'
STEPS = [ # a step and what it is compared with
    (SMALL, f'metadata: {META}'), (SMALL, f'{SMALL}, random weights'), (f'{SMALL}, phantom first', SMALL), (BASELINE, SMALL), (BASELINE, ONE_VIEW), (ALONE, BASELINE), (WEIGHTS, BASELINE), (MEAN, BASELINE), (FIRST, BASELINE), (BOTH, BASELINE), (BOTH, MEAN), (ALL, BOTH), (ALL, BASELINE),
    (BOTH, PUBLISHED), (BASELINE, PUBLISHED)]

def folder(name): return name.split(' (')[0].replace(' px', '').replace(', ', '_').replace(' ', '_')

def cohort(work, data, size):
    "The images at so many pixels"
    return read_cohort(work/f'nih_{size}') if (work/f'nih_{size}'/'cohort.json').is_file() else preprocess(data/'nih_mini', out=work/f'nih_{size}', **PRESETS['nih_baseline']['preprocess'] | dict(size=size))

def run_of(work, data, name, given, jobs):
    "Train a step's folds"
    size, other = RUNS[name]; cfg = BASE | other; start = cfg['pretrained']
    if cfg.get('ensemble'): cfg['ensemble'] = str(work/folder(cfg['ensemble']))
    cfg['pretrained'] = str(work/folder(start)) if start in RUNS else str(phantom_first(work, jobs)) if start == PHANTOM else str(given/'model.safetensors') if start == 'RUN' else start
    return timed(cohort(work, data, size), work/folder(name), **cfg, folds=FOLDS)

def phantom_first(work, jobs):
    "A network that has learnt drawn films"
    root = phantom.write_phantom(work/'phantom', n=4000, difficulty='standard', size=320, jobs=jobs); size = PRESETS[PHANTOM]['preprocess']['size']
    c = read_cohort(work/f'phantom_{size}') if (work/f'phantom_{size}'/'cohort.json').is_file() else preprocess(root, out=work/f'phantom_{size}', **PRESETS[PHANTOM]['preprocess'] | dict(audit='off', jobs=jobs))
    return timed(c, work/PHANTOM, **PRESETS[PHANTOM]['train'])/'model.safetensors'

def timed(c, out, **cfg):
    "Train; the minutes of a run that went through without a stop are kept beside it"
    fresh, t = not out.exists(), time.monotonic(); train(c, out, **cfg)
    if fresh: write_json(out/'minutes.json', dict(minutes=(time.monotonic() - t)/60, threads=torch.get_num_threads()))
    return out

def oof(run):
    "A run's out-of-fold evaluation"
    return read_evaluation(next(run.glob('eval/*-oof')))

def scored(run, c, tta, other=None):
    "Out-of-fold probabilities anew, with other views, or with the mean of the weights of two runs; a frame by image_id"
    parts = []
    for k in range(FOLDS):
        net, rows = load_model(run/f'fold{k}'/'model.safetensors'), fold_rows(c.df, k, FOLDS, BASE['seed'])[2]
        if other: old = load_model(other/f'fold{k}'/'model.safetensors').state_dict(); net.load_state_dict({n: ((v + old[n])/2).to(v.dtype) for n, v in net.state_dict().items()})
        parts.append(pd.DataFrame(predict_proba(net, c, rows, tta), rows.image_id, c.labels))
    return pd.concat(parts)

def kept(file, make):
    "A table that is made once"
    if not file.is_file(): write_table(file, make().reset_index())
    return pd.read_parquet(file).set_index('image_id')

def origins(data, stem): return pd.read_csv(data/'nih_mini'/'origin.csv').assign(stem=lambda d: d['Image Index'].str[:-4]).set_index('stem').origin.reindex(stem).to_numpy()
def chexnet(data, stem, labels): return pd.read_csv(data/'chexnet'/'preds.csv.gz').assign(stem=lambda d: d['Image Index'].str[:-4]).set_index('stem').reindex(stem)[[f'prob_{l}' for l in labels]].to_numpy()

def all_scores(work, data, given, jobs):
    "Rows, labels, truth, and one matrix of probabilities a step"
    runs = {n: run_of(work, data, n, given, jobs) for n, (_, cfg) in RUNS.items() if given or cfg.get('pretrained') != 'RUN'}
    small, large = cohort(work, data, 224), cohort(work, data, 320); rows, labels = oof(runs[BASELINE]).rows, small.labels
    def at(t): return t[labels].reindex(rows.image_id).to_numpy()
    def wide(e, k='p'): return wide_predictions(e.predictions, k)[labels].set_axis(e.rows.image_id)
    y = at(wide(oof(runs[BASELINE]), 'y')); out = {f'metadata: {META}': control(rows, y, CONTROLS[META], FOLDS, BASE['seed'])} | {n: at(wide(oof(r))) for n, r in reversed(runs.items())}
    out[BOTH] = (out[BASELINE] + out[FIRST])/2 # what a run with --ensemble gives
    out[ALONE] = at(kept(work/'alone.parquet', lambda: scored(runs[MEAN], large, BASE['tta']))); out[ALL] = (out[BASELINE] + out[FIRST] + out[ALONE])/3
    out[ONE_VIEW] = at(kept(work/'one_view.parquet', lambda: scored(runs[BASELINE], small, 1)))
    out[WEIGHTS] = at(kept(work/'weights.parquet', lambda: scored(runs[MEAN], large, BASE['tta'], runs[BASELINE])))
    out[PUBLISHED] = chexnet(data, rows.image_id.str.removeprefix('nih:'), labels)
    return rows, labels, y, out, runs

def main(work, given, jobs):
    data, results = Path(os.environ.get('CXR_DATA') or sys.exit('CXR_DATA is not set: the folder that holds nih_mini and chexnet')), Path(__file__).parent/'results'
    rows, labels, y, p, runs = all_scores(work, data, given, jobs); out, stem = [], rows.image_id.str.removeprefix('nih:')
    for on, s in {'all': np.ones(len(rows), bool), 'origin sample': origins(data, stem) == 'sample', 'scored by CheXNet': ~np.isnan(p[PUBLISHED][:,0])}.items():
        how = dict(labels=labels, groups=rows.subject_id[s].to_numpy(), metrics=('auroc',)); fits = {k: v[s] for k, v in p.items() if not np.isnan(v[s]).any()}
        out += [line(k, on, score_table(y[s], v, **how), int(s.sum())) | dict(against='') for k, v in fits.items()]
        out += [line(k, on, paired_difference(y[s], fits[k], fits[b], **how), int(s.sum())) | dict(against=b) for k, b in STEPS if k in fits and b in fits]
    df = pd.DataFrame(out)[['what','against','images','n','macro_auroc','lo','hi']].round(4); write_table(results/'few_images.csv', df); print(df.to_string(index=False))
    d = paired_difference(y, p[BOTH], p[BASELINE], labels=labels, groups=rows.subject_id.to_numpy(), metrics=('auroc',)); d = d[d.label != 'macro']
    write_table(results/'few_images_labels.csv', d[['label','value','lo','hi','n_pos','n_neg']].round(4))
    write_table(results/'few_images_minutes.csv', pd.DataFrame([dict(what=n) | read_json(r/'minutes.json') for n, r in [(PHANTOM, work/PHANTOM), *runs.items()] if (r/'minutes.json').is_file()]).round(1))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for cohorts and runs'); a.add_argument('--phantom', type=Path, help='a run that was trained on the phantom at 96 px'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    a = a.parse_args(); main(a.work, a.phantom, a.jobs)
