"""How many planted lies does the check of a report catch, with a real classifier's probabilities? Everything here is synthetic: the phantom's films and reports.

    python benchmarks/report_check.py EVAL_VALID EVAL_TEST PHANTOM [--phantom_valid DIR] [--boxes EVAL_VALID EVAL_TEST] [--studies 400] [--name NAME]

EVAL_VALID and EVAL_TEST are evaluation folders of one classifier on the phantom, of different patients; PHANTOM is the folder that `cxr_phantom` wrote for the test films. Cuts are chosen on the validation films (accuracy .95, and with
`confidence` .95 or none, with `prior` .5 or the films' own), and measured on the test films: `cxr_nb.report_check.trade_table` over all films and findings, and `verdict_table` on true reports and on reports with one planted lie each, of up to
STUDIES test studies. Without boxes nothing is known of side, size and place. With `--boxes` a detector's evaluation folders serve (its validation and its test films); with `--phantom_valid`, the phantom of the validation films, the true boxes serve
beside them as a perfect detector: what the rule could do at best. A detector's surest box also counts in the probabilities (`with_boxes`). Where EVAL_VALID and EVAL_TEST are the same folder, its patients are divided: cuts are chosen on one half and measured on the other. Rows of the same NAME are replaced in results/report_check.csv, others stay.
"""
import argparse
from dataclasses import replace
from pathlib import Path
import pandas as pd
from cxr_nb.box_results import BoxEvaluation, read_box_evaluation
from cxr_nb.core import read_evaluation, read_json, read_table, write_table
from cxr_nb.phantom import plan, studies_of
from cxr_nb.preprocessing import hash_share
from cxr_nb.report_check import fit_boxes, fit_cuts, lie_rows, told_study, trade_table, verdict_table, with_boxes
from cxr_nb.report_scores import tell

OUT = Path(__file__).parent/'results'/'report_check.csv'
SETTINGS = {'prior .5, confidence .95':dict(), 'prior .5, no confidence':dict(confidence=None), 'prior of films, confidence .95':dict(prior=None)}

def studies(phantom, ev, most=None):
    "What the reports of an evaluation's studies tell"
    r = read_json(phantom/'phantom'/'phantom.json'); by = studies_of(plan(r['n'], r['seed'], r['difficulty'], r['confounded'], r['lateral']))
    if (lost := set(ev.rows.image_id.str.split(':').str[-1]) - {s.dicom_id for ss in by.values() for s in ss}): raise ValueError(f'{phantom} does not plan {len(lost):,} films of {ev.path} (such as {min(lost)}); is it the phantom of these films?')
    ids = list(dict.fromkeys(ev.rows.study_id))[:most]
    return {i: told_study(by[int(i.split(':')[-1])][0]) for i in ids}

def perfect(phantom, ev):
    "The true boxes as a detector's"
    size, name = read_json(phantom/'phantom'/'phantom.json')['size'], lambda d: d.assign(image_id=ev.rows.image_id.iloc[0].split(':')[0] + ':' + d.dicom_id)
    b = name(read_table(phantom/'phantom'/'boxes.csv')); b = b[b.image_id.isin(ev.rows.image_id)].assign(score=1.)
    return BoxEvaluation(ev.path, ev.rows.assign(rows=size, cols=size), b, b, pd.DataFrame())

def named(d, like): # one image has one name, whatever kind its folder was read as
    bare = lambda s: like.rows.image_id.iloc[0].split(':')[0] + ':' + s.str.split(':').str[-1]
    return d.assign(**{k: bare(d[k]) for k in ('image_id','study_id') if k in d})

def of_films(ev, boxes):
    "The boxes on the films of an evaluation"
    b = {k: named(getattr(boxes, k), ev) for k in ('rows','detections','truth')}; rows = b.pop('rows').set_index('image_id', drop=False).loc[ev.rows.image_id].reset_index(drop=True)
    return replace(boxes, rows=rows.assign(subject_id=ev.rows.subject_id.to_numpy()), **{k: d[d.image_id.isin(rows.image_id)] for k, d in b.items()})

def halves(ev):
    "One evaluation as two, of different patients"
    first = hash_share(ev.rows.subject_id, 'halves') < .5; ids = ev.rows.image_id[first]; part = lambda rows, keep: replace(ev, rows=rows.reset_index(drop=True), predictions=ev.predictions[ev.predictions.image_id.isin(ids) == keep])
    return part(ev.rows[first], True), part(ev.rows[~first], False)

def main(valid, test, phantom, phantom_valid, boxes, most, name):
    v, t = halves(read_evaluation(valid)) if valid == test else (read_evaluation(valid), read_evaluation(test)); told, rows = studies(phantom, t, most), []
    keep = lambda d, **k: rows.append(d.assign(name=name, **k))
    for setting, kw in SETTINGS.items():
        cuts = fit_cuts(v, **kw); d = trade_table(v, t, **kw); print(f'\n{setting}\n', cuts.round(3).to_string(index=False), '\n', d.round(3).to_string(index=False))
        for m in ('decided','accuracy'): keep(pd.DataFrame(dict(kind='claims on all films, wanted ' + d.wanted.map('{:g}'.format), metric=m, value=d[m], lo=d[f'{m}_lo'], hi=d[f'{m}_hi'], n=len(t.rows), patients=d.patients)), setting=setting, boxes='none')
        keep(verdict_table(lie_rows(told, t, cuts)), setting=setting, boxes='none')
    eyes = {'a detector':tuple(of_films(e, read_box_evaluation(b)) for e, b in zip((v, t), boxes))} if boxes else {}
    if phantom_valid: eyes['true boxes'] = perfect(phantom_valid, v), perfect(phantom, t)
    for which, (bv, bt) in eyes.items():
        v2, t2 = v, t
        if which == 'a detector':
            v2, how = with_boxes(v, bv); t2, _ = with_boxes(t, bt, how)
            for wanted in ('.9','.95'): d = trade_table(v2, t2, wanted=(float(wanted),)); keep(pd.concat([pd.DataFrame(dict(kind='claims on all films, wanted 0' + wanted, metric=m, value=d[m], lo=d[f'{m}_lo'], hi=d[f'{m}_hi'], n=len(t2.rows), patients=d.patients)) for m in ('decided','accuracy')]), setting='prior .5, confidence .95', boxes=which)
        cuts = fit_cuts(v2)
        reports = None if phantom_valid is None else pd.DataFrame([dict(study_id=i, text=tell(s)) for i, s in studies(phantom_valid, bv).items()])
        rules = fit_boxes(bv, reports); print(f'\n{which}:', rules['side'], f"{sum(b['limit'] < float('inf') for b in rules['bands'].values())} of {len(rules['bands'])} words have a band")
        keep(verdict_table(lie_rows(told, t2, cuts, bt, rules)), setting='prior .5, confidence .95', boxes=which)
    out = pd.concat(rows)[['name','boxes','setting','kind','metric','value','lo','hi','n','patients']].round(4)
    lies = out[~out.kind.str.contains(' ')]; print(lies.pivot_table(index=['boxes','setting','kind'], columns='metric', values='value', sort=False).round(3).to_string())
    write_table(OUT, pd.concat([*([d[d.name != name]] if OUT.is_file() and len(d := read_table(OUT)) else []), out]))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('valid', type=Path, help='evaluation folder of validation films'); a.add_argument('test', type=Path, help='evaluation folder of test films'); a.add_argument('phantom', type=Path, help='phantom of the test films')
    a.add_argument('--phantom_valid', type=Path, help='phantom of the validation films'); a.add_argument('--boxes', type=Path, nargs=2, help="a detector's evaluation folders: validation, test")
    a.add_argument('--studies', type=int, default=400, help='test studies whose reports are lied about, at most'); a.add_argument('--name', default='', help='what the rows are called')
    a = a.parse_args(); main(a.valid, a.test, a.phantom, a.phantom_valid, a.boxes, a.studies, a.name or f'{a.valid.name} to {a.test.name}')
