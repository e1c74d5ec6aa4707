"""The picture of the front page, nbs/front.png, from what the demo wrote (synthetic).

    make demo; python tools/picture.py
"""
from pathlib import Path
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plt, numpy as np
from cxr_nb.box_results import draw_boxes, films, in_picture, read_box_evaluation
from cxr_nb.cnn_train_test import load_run
from cxr_nb.core import read_cohort, read_evaluation, read_json
from cxr_nb.demo import show_image
from cxr_nb.dicom import read_grey
from cxr_nb.gradcam import cams, widen
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
    ax.imshow(np.ma.masked_less(m/m.max(), .45), cmap='magma', alpha=.55, vmin=0, vmax=1); ax.axis('off'); ax.set_title(f'what it sees of {FINDING.lower()}', fontsize=10)

def found(cohort, where, row, ax):
    "Truth and prediction of the demo's detector, which learnt for less than a minute"
    d = where.detections; d = d[(d.image_id == row.image_id) & (d.score >= d.label.map(read_json(where.path/'facts.json')['thresholds']))]; img = films(cohort)(row.image_id)
    draw_boxes(img, *(in_picture(b[b.image_id == row.image_id], row.rows, row.cols, img.shape, cohort.meta['geometry']) for b in (where.truth, d)), top=4, ax=ax); ax.set_title('where: truth and a small detector', fontsize=10)

def main():
    "Four panels"
    cohort, net = read_cohort(DEMO/'cohort'), load_run(DEMO/'classifier'); ev, where = read_evaluation(DEMO/'classifier'/'eval'/'cohort-test'), read_box_evaluation(DEMO/'detector'/'eval'/'cohort-test')
    rows = cohort.df[cohort.df.image_id.isin(set(ev.rows.image_id) & set(where.rows.image_id)) & (cohort.df[FINDING] == 1)]; p = ev.predictions[ev.predictions.label == FINDING].set_index('image_id').p
    row = rows.assign(p=rows.image_id.map(p)).sort_values('p').iloc[-1]
    fig, axs = plt.subplots(1, 4, figsize=(14, 3.8), layout='constrained', gridspec_kw=dict(width_ratios=(1, 1, 1, 1.05)))
    film(cohort, row, axs[0]); heat(cohort, net, row, axs[1]); found(cohort, where, row, axs[2]); plot_rocs_of({'demo': ev}, FINDING, axs[3]); axs[3].set_title('how well, with a 95 % band', fontsize=10)
    fig.savefig(ROOT/'nbs'/'front.png', dpi=100); print('nbs/front.png')

if __name__ == '__main__': main()
