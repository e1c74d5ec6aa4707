"""Does a report generator look at real films? NIH's labels written as sentences, out of fold; no radiologist's text is involved.

    python benchmarks/report_nih.py WORK START CLASSIFIER [--folds 3] [--steps 200] [--size 128]

Takes CXR_DATA/nih_mini, and writes a short text for each film from its labels, with the frames of the phantom's grammar: every finding that is labelled is stated, two that are not are denied; side, size and place are left out, since labels do not give them. START is a run of the
tiny generator on the phantom (`benchmarks/report_phantom.py` makes one); it goes on from there, fold by fold, and writes on films whose patients it has not seen. CLASSIFIER is a run with out-of-fold scores on the same films (`benchmarks/few_images.py`); its scores become labels at the thresholds that give the
best F1 on the other folds. Everything is compared with the films' labels: F1 of findings, beside writers that do not look. NIH's labels were mined from reports (Wang 2017) and are wrong in places; both sides suffer alike.

Started again it goes on where it stopped. Writes results/report_nih.csv.
"""
import argparse, os, sys
from pathlib import Path
import numpy as np, pandas as pd, torch
from cxr_nb import wording
from cxr_nb.core import PRESETS, Cohort, crosswalk, read_cohort, read_evaluation, wide_predictions, write_table
from cxr_nb.beam import rng_of
from cxr_nb.llama_training import _scored, control_scores, label_facts, read_report_evaluation, test_reports, train_reports
from cxr_nb.preprocessing import fold_rows, preprocess
from cxr_nb.report_scores import fact_scores, report_facts, _table

DENIED = 2 # findings that are not there and are denied, a text
SHOWN = ('F1 micro vs labels','F1 macro vs labels','invented vs labels','omitted vs labels')
MANY = {'Emphysema','Edema','Atelectasis','Consolidation','Pneumonia','Cardiomegaly','Fibrosis'} # are said without an article

def text(image_id, present, absent):
    "A film's labels in words"
    r = rng_of(image_id, 'labels in words'); it = lambda l: wording.IT.get(l, l.lower()); pick = lambda how: wording.FRAMES[how][r.integers(len(wording.FRAMES[how]))]
    def state(l): what = it(l); a = what if l in MANY else f'a {what}'; return pick('yes').format(a=a, A=a[:1].upper() + a[1:], place='').replace(' .', '.')
    body = [state(l) for l in present] + [pick('no').format(it=it(absent[i])) for i in r.permutation(len(absent))[:DENIED]]
    calm = wording.IMPRESSION['none']; short = [it(l)[:1].upper() + it(l)[1:] + '.' for l in present] or [calm[r.integers(len(calm))] + '.']
    return ' '.join(body), ' '.join(short)

def cohort(data, work, size):
    "nih_mini with its labels in words as reports"
    out = work/f'nih_words_{size}'; own = PRESETS['nih_baseline']['preprocess'] | dict(size=size, jobs=2, audit='off')
    c = read_cohort(out) if (out/'cohort.json').is_file() else preprocess(data/'nih_mini', out=out, **own)
    name = {l: crosswalk(l) for l in c.labels}; rows = []
    for r in c.df.itertuples(index=False):
        known = {}
        for l, v in zip(c.labels, c.df.loc[c.df.image_id == r.image_id, c.labels].to_numpy()[0]): known[name[l]] = max(known.get(name[l], 0), v)
        f, i = text(r.image_id, [l for l, v in known.items() if v == 1], [l for l, v in known.items() if v == 0]); rows.append(dict(study_id=r.study_id, findings=f, impression=i))
    write_table(out/'reports.parquet', pd.DataFrame(rows).drop_duplicates('study_id').reindex(columns=['study_id','findings','impression']))
    return c

def parts(c, k, folds, seed):
    "The cohort with the splits of a fold"
    where = pd.concat([r[['image_id']].assign(split=s) for r, s in zip(fold_rows(c.df, k, folds, seed), ('train','valid','test'))]).set_index('image_id').split
    return Cohort(c.path, c.df.assign(split=c.df.image_id.map(where)), c.meta)

def thresholded(p, y, of, folds):
    "Labels at the thresholds that give the best F1 on the other folds"
    out = pd.DataFrame(0., p.index, p.columns)
    for l in p:
        for k in range(folds):
            a, b = (of != k) & y[l].notna(), of == k; cut = np.unique(np.quantile(p.loc[a, l], np.linspace(.3, .995, 120))); t, s = y.loc[a, l].to_numpy(), p.loc[a, l].to_numpy()
            f1 = [2*(t*(s >= v)).sum()/((s >= v).sum() + t.sum()) for v in cut]; out.loc[b, l] = (p.loc[b, l] >= cut[int(np.argmax(f1))]).astype(float)
    return out

def main(work, start, classifier, folds, steps, size):
    torch.set_num_threads(1); data = Path(os.environ.get('CXR_DATA') or sys.exit('CXR_DATA is not set: the folder that holds nih_mini')); c = cohort(data, work, size); seed = 0; got, blind, fold = [], [], []
    for k in range(folds):
        part = parts(c, k, folds, seed); run = work/f'report_nih_{size}'/f'fold{k}'
        train_reports(part, run, model=str(start/'model'), steps=steps, eval_every=max(1, steps//6), bs=16, lr=3e-4, warmup=10, patience=3, samples=1, max_new_tokens=96, optim='adamw_torch', accumulation=1, shape=dict(lora=False, load_in_4bit=False))
        done = run/'eval'/f'{part.name}-test'; ev = read_report_evaluation(done) if (done/'metrics.csv').is_file() else test_reports(run, part, n_boot=50)
        got.append(ev.reports); blind.append(pd.read_parquet(ev.path/'blind.parquet')); fold.append(np.full(len(ev.reports), k))
    reports, blind, fold = pd.concat(got, ignore_index=True), pd.concat(blind, ignore_index=True), np.concatenate(fold)
    rows = c.df.set_index('image_id', drop=False).loc[reports.image_id].reset_index(drop=True); known = label_facts(rows, c.labels); groups = list(rows.subject_id)
    metrics, controls = control_scores(list(reports.generated), blind, lambda t: _scored(t, list(reports.reference), known, 'labels', True, False), groups, 'patient')
    p = wide_predictions(read_evaluation(next(classifier.glob('eval/*-oof'))).predictions).loc[reports.image_id]; y = rows.set_index('image_id')[list(p)].astype(float)
    said = label_facts(thresholded(p, y, fold, folds).reset_index(drop=True), list(p)); seen = fact_scores(said, known); mine = fact_scores([report_facts(x, True) for x in reports.generated], known)
    pick = lambda d: d[d.metric.isin(SHOWN) & (d.label == '14 labels')]
    name = lambda d: d.assign(metric=d.metric + ' vs labels')
    lead = name(_table([mine, seen], groups, 'patient', 1000, 0))[['metric','label','value','lo','hi']].rename(columns=dict(value='lead', lo='lead_lo', hi='lead_hi'))
    out = pd.concat([pick(metrics).assign(who='generator'), pick(controls.rename(columns=dict(control='who'))), pick(name(_table([seen], groups, 'patient', 1000, 0)).merge(lead, on=['metric','label']).assign(who='classifier, thresholded'))], ignore_index=True)
    out = out[['who','metric','value','lo','hi','lead','lead_lo','lead_hi','n_pos','n_neg','unit']].round(4).assign(films=len(reports), folds=folds, steps=steps, size=size)
    write_table(Path(__file__).parent/'results'/'report_nih.csv', out); print(out.to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for the cohort and the runs'); a.add_argument('start', type=Path, help='run of the tiny generator on the phantom'); a.add_argument('classifier', type=Path, help='run with out-of-fold scores on the same films')
    a.add_argument('--folds', type=int, default=3, help='by patient'); a.add_argument('--steps', type=int, default=200, help='a fold, at most'); a.add_argument('--size', type=int, default=128, help='pixels a side, as START has it')
    main(**vars(a.parse_args()))
