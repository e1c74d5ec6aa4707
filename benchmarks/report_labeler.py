"""The finding labeler of `report_text` against Open-i's manual codes, and by hand.

    python benchmarks/report_labeler.py --half odd|even [--data DIR] [--n_boot 2000] [--out benchmarks/results/report_labeler.csv]

The reports whose id has an even SHA-256 served to develop the labeler and the map from codes to labels; the odd ones were scored once, when both were fixed. A label counts as read where it is present,
or likely (`label_report(text, likely=1)`); merely possible findings count as not read: which of these coders take up was decided on the even half. Reports without codes are left out. Intervals resample
reports. Only the rows of the half that is asked for are replaced. The rows `own sentences` score the 200 sentences of the package; the rows `by hand` are counts of mentions that were read right in real sentences of the even half
(a lot is checked, then the labeler is mended with it, then the next lot is drawn; they share one sentence), with Wilson intervals. One person checked them,
seeing the labeler's reading, and few sentences without a mention are among them: `found` is an upper bound. The sentences themselves may not be shipped."""
import argparse, os, time
from importlib import resources
from pathlib import Path
import numpy as np, pandas as pd
from scipy.stats import binomtest
from cxr_nb.core import CHEXPERT_LABELS, METRIC_COLUMNS, read_table, write_table
from cxr_nb.metrics import score_table
from cxr_nb.report_text import compare_mentions, half_of, label_reports, mesh_labels
from cxr_nb.sources import openi_reports

MANY = 20 # positives that a label needs to count in the mean
HAND = { # lot: field -> right, of; found: of the mentions that stand there; true: of those that were read
    'by hand, first 200':dict(found=(268, 271), true=(268, 268), status=(262, 268), side=(262, 268), size_mm=(266, 268), location=(257, 268), change=(268, 268)),
    'by hand, second 200':dict(found=(273, 275), true=(273, 275), status=(270, 273), side=(268, 273), size_mm=(271, 273), location=(268, 273), change=(270, 273))}

def labels(data, half):
    "Truth and labels of one half, and how many seconds the labeler took for all reports"
    r, _ = openi_reports(data); r = r[r[['findings','impression']].notna().any(axis=1)]
    r['text'] = r.findings.fillna('') + '\n\n' + r.impression.fillna('')
    r = r[r.study.map(half_of) == half].reset_index(drop=True)
    t = time.process_time(); read = label_reports(r.text, likely=1.); took = time.process_time()-t
    truth = pd.DataFrame([mesh_labels(c) for c in r.codes], columns=CHEXPERT_LABELS); coded = truth.notna().all(axis=1)
    return truth[coded], (read[coded] == 1).astype(float), took, len(r)

def scored(truth, read, n_boot):
    "Each label with its interval, and the mean over labels with many positives"
    metrics = ['f1','precision','sensitivity']; many = [l for l in truth if (truth[l] == 1).sum() >= MANY]
    each, mean = (score_table(truth[ls].to_numpy(), read[ls].to_numpy(), list(ls), metrics=metrics, n_boot=n_boot, unit='report') for ls in (list(truth), many))
    return pd.concat([each[each.label != 'macro'], mean[mean.label == 'macro'].assign(label=f'macro of {MANY} or more')])

def shares(part, counts):
    "Rows of counts, with Wilson's intervals"
    ci = {k: binomtest(a, n).proportion_ci(method='wilson') for k,(a,n) in counts.items()}
    return pd.DataFrame([dict(part=part, label='all', metric=k, value=a/n, lo=ci[k].low, hi=ci[k].high, n_pos=a, n_neg=n-a, unit='sentence' if 'sentence' in k else 'mention') for k,(a,n) in counts.items()])

def main(half, data, n_boot, out):
    truth, read, took, n = labels(data, half); rows = [scored(truth, read, n_boot).assign(part=half)]
    own, _ = compare_mentions(read_table(resources.files('cxr_nb')/'published'/'report_sentences.csv', keep_default_na=False))
    rows += [shares('own sentences', dict(zip(own.index, zip(own.right, own.of)))), *(shares(k, c) for k,c in HAND.items())]
    kept = read_table(out) if out.is_file() else pd.DataFrame(columns=['part', *METRIC_COLUMNS])
    kept = kept[kept.part.isin({'even','odd'} - {half})]
    table = pd.concat([d for d in (*rows, kept) if len(d)])[['part', *METRIC_COLUMNS]].sort_values('part', kind='stable')
    write_table(out, table.round(4))
    f = table[(table.part == half) & (table.metric == 'f1')]
    for r in f.itertuples(): print(f'{r.label:28}{r.value:6.3f} ({r.lo:.3f} to {r.hi:.3f}), {int(r.n_pos):,} positive')
    print(f'{n:,} reports of the {half} half in {took:.1f} s of CPU time, {len(truth):,} of them coded')

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--half', choices=['odd','even'], required=True, help='which half of the reports')
    a.add_argument('--data', type=Path, default=Path(os.environ['CXR_DATA'])/'openi' if os.environ.get('CXR_DATA') else None, help="Open-i's folder; default: openi below CXR_DATA")
    a.add_argument('--n_boot', type=int, default=2000, help='resamples')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'report_labeler.csv', help='where the table goes')
    a = a.parse_args()
    if a.data is None: raise SystemExit('no data: give --data or set CXR_DATA')
    main(a.half, a.data, a.n_boot, a.out)
