"""The picture of the front page, nbs/front.png, from what the demo wrote (synthetic).

    make demo; python tools/picture.py
"""
import textwrap
from pathlib import Path
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plt, numpy as np, pandas as pd
from cxr_nb.box_results import read_box_evaluation
from cxr_nb.cnn_train_test import load_run
from cxr_nb.core import read_cohort, read_evaluation, read_json
from cxr_nb.demo import show_image
from cxr_nb.dicom import read_grey
from cxr_nb.gradcam import cams, widen
from cxr_nb.llama_training import read_report_evaluation
from cxr_nb.report_check import MARKS, check_reports, fit_cuts, sentence_verdicts
from cxr_nb.results_analysis import plot_rocs_of

ROOT = Path(__file__).resolve().parent.parent
DEMO, FINDING = ROOT/'runs'/'demo', 'Pleural Effusion'

def film(cohort, row, ax):
    "A test film with its true boxes, in full size"
    b = cohort.table('boxes'); b = b[b.image_id == row.image_id]; ax.imshow(read_grey(DEMO/'phantom'/row.path, size=None)[0], cmap='gray')
    for r in b.itertuples():
        ax.add_patch(plt.Rectangle((r.x_min, r.y_min), r.x_max-r.x_min, r.y_max-r.y_min, fill=False, color='#F2C14E', lw=1.6)); ax.text(r.x_min+3, r.y_min-5, r.label, color='#F2C14E', fontsize=8)
    ax.axis('off'); ax.set_title('a drawn film and its truth', fontsize=10)

def heat(cohort, net, row, ax):
    "What the classifier looks at for one finding"
    m = widen(cams(net, np.asarray(cohort.pixels[[row.pixel_row]]), [FINDING], 'layercam')[:,0], cohort.size)[0]; show_image(cohort, row, ax, boxes=False)
    ax.imshow(np.ma.masked_less(m/m.max(), .25), cmap='magma', alpha=.55, vmin=0, vmax=1); ax.axis('off'); ax.set_title(f'what it sees of {FINDING.lower()}', fontsize=10)

def told(rep, ev, valid, row, ax):
    "A draft with its marks"
    text = rep.reports.set_index('image_id').generated[row.image_id]; v = sentence_verdicts(check_reports(pd.DataFrame([dict(image_id=row.image_id, text=text)]), ev, fit_cuts(valid))); y = .97
    for s in v.itertuples():
        mark, color = (MARKS[s.verdict][:2] if s.verdict in MARKS else (' ', '.4')); lines = textwrap.wrap(s.text, 34)
        ax.text(0, y, mark, color=color, fontsize=11, va='top', weight='bold'); ax.text(.07, y, '\n'.join(lines), fontsize=9, va='top', color='.15', linespacing=1.25); y -= .085*len(lines) + .03
    ax.axis('off'); ax.set(xlim=(0, 1), ylim=(0, 1)); ax.set_title('a draft, checked sentence by sentence', fontsize=10)

def main():
    "Four panels"
    cohort, net = read_cohort(DEMO/'cohort'), load_run(DEMO/'classifier'); ev, valid = (read_evaluation(DEMO/'classifier'/'eval'/f'cohort-{s}') for s in ('test','valid')); rep = read_report_evaluation(DEMO/'report'/'eval'/'cohort-test')
    rows = cohort.df[cohort.df.image_id.isin(set(ev.rows.image_id) & set(rep.reports.image_id)) & (cohort.df[FINDING] == 1)]; p = ev.predictions[ev.predictions.label == FINDING].set_index('image_id').p
    row = rows.assign(p=rows.image_id.map(p)).sort_values('p').iloc[-1]
    fig, axs = plt.subplots(1, 4, figsize=(14, 3.7), layout='constrained', gridspec_kw=dict(width_ratios=(1, 1, 1.05, 1.1)))
    film(cohort, row, axs[0]); heat(cohort, net, row, axs[1]); plot_rocs_of({'demo': ev}, FINDING, axs[2]); axs[2].set_title('how well, with a 95 % band', fontsize=10); told(rep, ev, valid, row, axs[3])
    fig.savefig(ROOT/'nbs'/'front.png', dpi=100); print('nbs/front.png', read_json(DEMO/'phantom'/'phantom'/'phantom.json')['seed'])

if __name__ == '__main__': main()
