"""Do the tiny report generator's reports hold what is on the phantom's films, and what of it for faint findings? Everything here is synthetic.

    python benchmarks/report_phantom.py WORK [--minutes 15] [--steps N --tower N] [--size 128] [--patch 8] [--n 2000] [--shape width=128,layers=4] [--jobs 2]

Draws `standard`, seed 0, into WORK/all (or takes what another benchmark drew there) and trains the tiny Mllama on the training split's films, reports and labels; the labels are those of the reports (blank counts as absent). Without `--steps` the steps follow from `--minutes` of processor time: a few steps
of both kinds and one evaluation are timed first, a third of the time goes to the tower's warm-up, and the schedule is laid out to fit. Then it writes on all films of the test split, and is scored against the phantom's truth (findings with side, size, place), beside the writers that do not look and beside
the true reports themselves (`reference`: what a reader of the report would know; it hedges, and leaves out what is too faint).

    part        overall     every score of the generator, its lead over each control, and the scores of controls and reference
                third       F1 of the findings of one third by contrast to noise (a study's findings of the other two thirds count neither way), and what share of them is stated
                invented    findings that are stated and not there, label by label: how often, and how often they are there
                wording     studies whose references share fewest, and most, word sequences with the training reports: test reports use wordings that no training report has

Started again it goes on where it stopped. Writes results/report_phantom.csv; with another `--n` than 2000 it writes WORK/report_phantom.csv.
"""
import argparse, time
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
import numpy as np, pandas as pd, torch
from cxr_nb import phantom
from cxr_nb.core import Pixels, read_json, read_table, write_json, write_table
from cxr_nb.llama_setup import load_model, reports_of
from cxr_nb.llama_training import CONTROLS, fit_reports, report_choices, test_reports, train_reports, verdict, warm_tower
from cxr_nb.preprocessing import preprocess
from cxr_nb.report_scores import FACT_LABELS, Fact, all_scores, fact_scores, report_facts, truth_facts, words, _table

THIRDS = ('faint','middle','plain')

def cohort(work, n, size, jobs):
    "The phantom as a cohort: test labels are the truth, all others what the reports say"
    root = phantom.write_phantom(work/'all', n=n, difficulty='standard', size=512, jobs=jobs, seed=0)
    return preprocess(root, 'mimic', work/f'reports_{size}', size=size, blank='zero', split='official', test_labels=str(root/'mimic-cxr-2.1.0-test-set-labeled.csv'), audit='off', jobs=jobs)

def truth(work, dicoms=None):
    "Every finding that was drawn, of all images or of some"
    f = read_table(work/'all'/'phantom'/'findings.csv')
    return (f if dicoms is None else f[f.dicom_id.isin(dicoms)]).assign(study_id=lambda d: 'phantom:' + d.study_id.astype(str))

def planned(c, config, cfg, minutes, work):
    "Steps of the tower and of the words that fit into a time, from a few of both"
    train, valid = (reports_of(c, s) for s in ('train','valid')); net, processor = load_model(config, list(train.text)); took, clock = {}, time.process_time
    for name, run in dict(tower=lambda k: warm_tower(net, processor, c, train, valid.head(8), replace(cfg, tower_steps=k)), words=lambda k: fit_reports(net, processor, config, train, valid.head(8), Pixels(c.pixel_files), replace(cfg, steps=k, eval_every=k), work/'timing')).items():
        spent = []
        for k in (2, 10): start = clock(); run(k); spent.append(clock() - start); rmtree(work/'timing', ignore_errors=True)
        took[name] = max((spent[1] - spent[0])/8, 1e-3)
    start = clock(); run = fit_reports(net, processor, config, train, valid, Pixels(c.pixel_files), replace(cfg, steps=1, eval_every=1), work/'timing'); once = clock() - start; rmtree(work/'timing', ignore_errors=True)
    checks, budget = 20, minutes*60; left = max(budget*2/3 - checks*once/2, budget/3) # that evaluation was made twice: in training, and when the weights were put back
    steps = dict(tower=max(10, int(budget/3/took['tower'])), words=max(20, int(left/took['words'])))
    print(f"{took['tower']:.3f} s a step of the tower, {took['words']:.3f} s of the words, {cfg.bs} studies each, {once:.1f} s with two evaluations: {steps['tower']} and {steps['words']} steps in {minutes:g} minutes", flush=True)
    return steps

def overall(ev, known, groups):
    "The generator, its controls and the reference: every score, and the leads"
    told = fact_scores([report_facts(t, parents=True) for t in ev.reports.reference], truth_facts(known, list(ev.reports.study_id)))
    reference = _table([told], groups, 'patient', 1000, 0).assign(metric=lambda d: d.metric + ' vs truth', who='reference')
    parts = [ev.metrics.assign(who='generator'), ev.controls.rename(columns=dict(control='who')), reference]
    return pd.concat(parts, ignore_index=True).assign(part='overall')

def by_third(ev, known, contrast, writers, groups):
    "F1 and share stated of each third by contrast; what is not there is the same for all three"
    best = contrast[contrast.label.isin(FACT_LABELS)].groupby(['study_id','label']).cnr.max().reset_index()
    best['third'] = (best.groupby('label').cnr.rank(pct=True, method='first')*3 - 1e-9).astype(int).clip(0, 2); at = {(r.study_id, r.label): r.third for r in best.itertuples()}; rows = []
    facts = truth_facts(known, list(ev.reports.study_id))
    for k, name in enumerate(THIRDS):
        part = [{l: Fact(f.value if f.value != 1 or at.get((s, l)) == k else np.nan) for l, f in fs.items() if l in FACT_LABELS} | {'No Finding':Fact(np.nan)} for s, fs in zip(ev.reports.study_id, facts)]
        for who, texts in writers.items():
            scores = [s for s in fact_scores([report_facts(t, parents=True) for t in texts], part) if s.metric in ('F1 micro','F1 macro','omitted') and s.label != '5 labels']
            rows.append(_table([scores], groups, 'patient', 1000, 0).assign(who=who, third=name))
    return pd.concat(rows, ignore_index=True).assign(part='third')

def invented(ev, known, writers):
    "Label by label: how many studies have it, in how many it is stated, in how many of these it is not there"
    there = truth_facts(known, list(ev.reports.study_id)); rows = []
    for who, texts in writers.items():
        said = [report_facts(t, parents=True) for t in texts]
        for l in FACT_LABELS:
            y, p = (np.array([bool(f[l].value) if l in f else False for f in fs]) for fs in (there, said)); n = int(p.sum())
            rows.append(dict(who=who, label=l, metric='invented', value=float((p & ~y).sum()/n) if n else np.nan, n_pos=n, n_neg=int(y.sum()), unit='study'))
    return pd.DataFrame(rows).assign(part='invented')

def by_wording(ev, known, learnt, writers, groups, n=4):
    "Scores on the studies with fewest and with most word sequences that no training report has"
    grams = lambda t: (w := words(t)) and [tuple(w[i:i+n]) for i in range(len(w)-n+1)]; seen = {g for t in learnt for g in grams(t)}
    new = np.array([np.mean([g not in seen for g in gs]) if (gs := grams(t)) else 0. for t in ev.reports.reference]); rank = pd.Series(new).rank(pct=True, method='first').to_numpy(); rows = []
    for name, keep in dict(known=rank <= 1/3, new=rank > 2/3).items():
        i = np.flatnonzero(keep); ids = list(ev.reports.study_id.iloc[i]); kw = dict(truth=known[known.study_id.isin(ids)], studies=ids)
        for who, texts in writers.items():
            scores = [s for s in all_scores([list(texts)[j] for j in i], list(ev.reports.reference.iloc[i]), **kw) if s.metric in ('ROUGE-L','BLEU-4','F1 micro') and s.label != '5 labels']
            rows.append(_table([scores], [groups[j] for j in i], 'patient', 1000, 0).assign(who=who, wording=name, new_sequences=round(float(new[i].mean()), 3)))
    return pd.concat(rows, ignore_index=True).assign(part='wording')

def main(work, minutes, steps, tower, size, patch, n, shape, bs, lr, jobs):
    torch.set_num_threads(1); c = cohort(work, n, size, jobs); shape = dict(size=size, patch=patch) | {k: int(v) for k, v in (p.split('=') for p in shape.split(',') if p)}
    run = work/f"report_{size}_{'_'.join(f'{k}{v}' for k, v in shape.items())}"; plan = work/f'{run.name}.json'; asked = dict(bs=bs, lr=lr, seed=3407)
    if not plan.is_file():
        config, cfg = report_choices(shape=shape, **asked); s = dict(tower=tower, words=steps) if steps else planned(c, config, cfg, minutes, work); write_json(plan, s | dict(cpu=0.))
    facts = read_json(plan); start = time.process_time(); every = max(1, facts['words']//20)
    train_reports(c, run, steps=facts['words'], tower_steps=facts['tower'], eval_every=every, patience=6, warmup=max(1, min(100, facts['words']//20)), shape=shape, **asked); facts['cpu'] += time.process_time() - start; write_json(plan, facts)
    print(f"{facts['tower']} and {facts['words']} steps, {facts['cpu']/60:.1f} minutes of processor time; {c.path}", flush=True); print(read_table(run/'history.csv').round(4).to_string(index=False), flush=True)
    if (run/'tower.json').is_file(): print(read_json(run/'tower.json'), flush=True)
    known = truth(work); known = known[known.study_id.isin(reports_of(c, 'test').study_id)]; ev = test_reports(run, c, truth=known); print(verdict(ev), flush=True)
    blind, groups = read_table(ev.path/'blind.parquet'), list(ev.rows.subject_id); writers = dict(generator=list(ev.reports.generated), **{k: list(blind[k]) for k in CONTROLS if k in blind}, reference=list(ev.reports.reference))
    contrast = truth(work, set(ev.rows.image_id.str.removeprefix('phantom:')))
    out = pd.concat([overall(ev, known, groups), by_third(ev, known, contrast, writers, groups), invented(ev, known, writers), by_wording(ev, known, list(reports_of(c, 'train').text), writers, groups)], ignore_index=True)
    first = ['part','who','third','wording','label','metric','value','lo','hi','lead','lead_lo','lead_hi','n_pos','n_neg','unit','new_sequences']
    out = out[first].round(4).assign(size=size, patch=patch, tower_steps=facts['tower'], steps=facts['words'], cpu_minutes=round(facts['cpu']/60, 1), n=n)
    to = Path(__file__).parent/'results'/'report_phantom.csv' if n == 2000 else work/'report_phantom.csv'; write_table(to, out)
    print(out[(out.part == 'third') & (out.metric == 'F1 micro')][['who','third','value','lo','hi','n_pos']].to_string(index=False)); print(out[(out.part == 'wording')][['who','wording','metric','value','lo','hi']].to_string(index=False)); print(to)

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for the phantom, the cohort and the run'); a.add_argument('--minutes', type=float, default=15, help='of processor time for the training'); a.add_argument('--steps', type=int, default=0, help='instead of --minutes: steps of the words'); a.add_argument('--tower', type=int, default=300, help='with --steps: steps of the tower')
    a.add_argument('--size', type=int, default=128, help='pixels a side'); a.add_argument('--patch', type=int, default=8, help='pixels a side of a patch'); a.add_argument('--n', type=int, default=2000, help='films'); a.add_argument('--shape', default='', help='further choices of the model, as width=128,layers=4')
    a.add_argument('--bs', type=int, default=16, help='studies a step'); a.add_argument('--lr', type=float, default=1e-3, help='largest learning rate'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    main(**vars(a.parse_args()))
