"""What lifts a classifier of fourteen findings that has 1,300 NIH images to learn from: out of fold by patient, each step beside the one that it changes.

    python benchmarks/few_images.py WORK [--phantom RUN]

Makes the cohorts of CXR_DATA/nih_mini at 96, 224 and 320 px and the runs of `RUNS` in the folder WORK, five folds each, the same for all; started again it goes on where it stopped. `--phantom` names a run that was trained on the
phantom at 96 px (`benchmarks/tune_phantom.py` makes one), for the step that starts there. Then come the steps that need no training: fewer views at test time, the mean of the weights of two runs, the mean of their scores.
Nothing was chosen on the fold that it is scored on: every run has the settings of `nih_baseline` but for what its name says. Writes results/few_images.csv: the macro AUROC of each step, and paired differences by patient, on all images, on the origin
`sample` (a random draw of NIH's images; the others were drawn by label) and on those that CheXNet's published predictions cover, which serve for comparison alone; and results/few_images_minutes.csv.
"""
import argparse, os, sys, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from nih_baseline import CONTROLS, control, line
from cxr_nb.cnn import load_model, predict_proba
from cxr_nb.cnn_train_test import train
from cxr_nb.core import PRESETS, read_cohort, read_evaluation, read_json, wide_predictions, write_json, write_table
from cxr_nb.metrics import paired_difference, score_table
from cxr_nb.preprocessing import fold_rows, preprocess

FOLDS, BASE = 5, PRESETS['nih_baseline']['train']
RUNS = { # name: pixels, and what differs from nih_baseline
    '96 px': (96, {}), '96 px, random weights': (96, dict(pretrained='none')), '96 px, no mixup': (96, dict(mixup=0.)), '96 px, phantom first': (96, dict(pretrained='PHANTOM')),
    '224 px (nih_baseline)': (224, {}), 'goes on at 320 px (nih_few)': (320, PRESETS['nih_few']['train'] | dict(pretrained='224 px (nih_baseline)'))}
STEPS = [ # a step and what it is compared with
    ('96 px', 'metadata: age, sex, view, follow-up number, image size'), ('96 px', '96 px, random weights'), ('96 px', '96 px, no mixup'), ('96 px, phantom first', '96 px'), ('224 px (nih_baseline)', '96 px'),
    ('224 px (nih_baseline)', '224 px, one view'), ('goes on at 320 px (nih_few)', '224 px (nih_baseline)'), ('mean of weights, at 320 px', '224 px (nih_baseline)'), ('mean of scores, 224 and 320 px', '224 px (nih_baseline)'),
    ('mean of scores, 224 and 320 px', 'CheXNet, published'), ('224 px (nih_baseline)', 'CheXNet, published')]

def folder(name): return name.split(' (')[0].replace(' px', '').replace(', ', '_').replace(' ', '_')

def cohort(work, data, size):
    "The images at so many pixels"
    return read_cohort(work/f'nih_{size}') if (work/f'nih_{size}'/'cohort.json').is_file() else preprocess(data/'nih_mini', 'nih', work/f'nih_{size}', **PRESETS['nih_baseline']['preprocess'] | dict(size=size))

def run_of(work, data, name, phantom):
    "Train a step's folds; its minutes are kept beside it"
    size, other = RUNS[name]; cfg = BASE | other; start = cfg['pretrained']
    cfg['pretrained'] = str(work/folder(start)) if start in RUNS else str(phantom/'model.safetensors') if start == 'PHANTOM' else start
    out, t = work/folder(name), time.monotonic(); train(cohort(work, data, size), out, **cfg, folds=FOLDS)
    if not (out/'minutes.json').is_file(): write_json(out/'minutes.json', dict(minutes=(time.monotonic() - t)/60, threads=torch.get_num_threads()))
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

def all_scores(work, data, phantom):
    "Rows, labels, truth, and one matrix of probabilities a step"
    names = [n for n in RUNS if phantom or 'phantom' not in n]; runs = {n: run_of(work, data, n, phantom) for n in names}
    a, b = (n for n in names if n.startswith(('224', 'goes on'))); small, large = cohort(work, data, 224), cohort(work, data, 320); rows, labels = oof(runs[a]).rows, small.labels
    def at(t): return t[labels].reindex(rows.image_id).to_numpy()
    def wide(e, k='p'): return wide_predictions(e.predictions, k)[labels].set_axis(e.rows.image_id)
    out = {n: at(wide(oof(r))) for n, r in runs.items()}
    key = 'age, sex, view, follow-up number, image size'; y = at(wide(oof(runs[a]), 'y')); out[f'metadata: {key}'] = control(rows, y, CONTROLS[key], FOLDS, BASE['seed'])
    out['224 px, one view'] = at(kept(work/'one_view.parquet', lambda: scored(runs[a], small, 1)))
    out['mean of weights, at 320 px'] = at(kept(work/'weights.parquet', lambda: scored(runs[b], large, BASE['tta'], runs[a])))
    logit = lambda v: np.log(v/(1-v)); out['mean of scores, 224 and 320 px'] = 1/(1 + np.exp(-(logit(out[a]) + logit(out[b]))/2))
    out['CheXNet, published'] = chexnet(data, rows.image_id.str.removeprefix('nih:'), labels)
    return rows, labels, y, out, runs

def main(work, phantom):
    data, results = Path(os.environ.get('CXR_DATA') or sys.exit('CXR_DATA is not set: the folder that holds nih_mini and chexnet')), Path(__file__).parent/'results'
    rows, labels, y, p, runs = all_scores(work, data, phantom); out, stem = [], rows.image_id.str.removeprefix('nih:')
    for on, s in {'all': np.ones(len(rows), bool), 'origin sample': origins(data, stem) == 'sample', 'scored by CheXNet': ~np.isnan(p['CheXNet, published'][:,0])}.items():
        how = dict(labels=labels, groups=rows.subject_id[s].to_numpy(), metrics=('auroc',)); fits = {k: v[s] for k, v in p.items() if not np.isnan(v[s]).any()}
        out += [line(k, on, score_table(y[s], v, **how), int(s.sum())) | dict(against='') for k, v in fits.items()]
        out += [line(k, on, paired_difference(y[s], fits[k], fits[b], **how), int(s.sum())) | dict(against=b) for k, b in STEPS if k in fits and b in fits]
    df = pd.DataFrame(out)[['what','against','images','n','macro_auroc','lo','hi']].round(4); write_table(results/'few_images.csv', df); print(df.to_string(index=False))
    write_table(results/'few_images_minutes.csv', pd.DataFrame([dict(what=n) | read_json(r/'minutes.json') for n, r in runs.items()]).round(1))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for cohorts and runs'); a.add_argument('--phantom', type=Path, help='a run that was trained on the phantom at 96 px')
    a = a.parse_args(); main(a.work, a.phantom)
