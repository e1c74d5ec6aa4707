"""How well a detector finds RSNA's lung opacities on few real films, out of fold, beside what needs no detector.

    python benchmarks/detect_nih.py WORK CLASSIFIER [--size 224] [--epochs 10] [--jobs 2]

CLASSIFIER: a run of `nih_baseline` on CXR_DATA/nih_mini with five folds (`benchmarks/few_images.py` makes one). All 445 films that RSNA's radiologists looked at are scored by a network that has seen neither the film nor its patient: the detector's folds start from the classifier's. Nothing was
tuned on them. Beside it: the places where training boxes usually are, boxes about the classifier's heat maps, the detector's scores times the classifier's probability, and all of them behind a gate (triage by the header, the pixels and the classifier's scores, out of fold as well). Started again it goes on where it
stopped. Writes results/detect_nih.csv (AP at IoU 0.4 and sensitivity at one false mark a film, and paired differences by patient) and results/detect_nih_gate.csv.
"""
import argparse, os, sys
from pathlib import Path
import numpy as np, pandas as pd
from cxr_nb.box_results import box_prior, heat_detections, place_prior, read_box_evaluation
from cxr_nb.boxes import box_table, match_boxes, paired_boxes
from cxr_nb.cnn_train_test import load_run
from cxr_nb.core import PRESETS, read_cohort, read_evaluation, read_json, wide_predictions, write_table
from cxr_nb.detection import box_truth, train_detector
from cxr_nb.gradcam import cams, widen
from cxr_nb.preprocessing import fold_rows, preprocess
from cxr_nb.triage import gate, gate_gain, train_triage

FOLDS, OPACITY, MAP_OF, SHOWN = 5, 'Lung Opacity', 'Pneumonia', ['AP40','AP50','sens@1']
RESULTS = Path(__file__).parent/'results'

def cohort(work, data, size, jobs):
    "The films at so many pixels"
    out = work/f'nih_{size}'
    return read_cohort(out) if (out/'cohort.json').is_file() else preprocess(data/'nih_mini', out=out, **PRESETS['nih_baseline']['preprocess'] | dict(size=size, jobs=jobs))

def priors(t, seed):
    "Where the boxes of the other folds are"
    parts = [fold_rows(t.rows, k, FOLDS, seed) for k in range(FOLDS)]
    return pd.concat([place_prior(box_prior(t.boxes[~t.boxes.image_id.isin(te.image_id)], pd.concat([tr, va])), te) for tr, va, te in parts], ignore_index=True)

def heat(run, c, t, p, method, seed):
    "Boxes about the maps of the fold that has not seen the film"
    got = []
    for k in range(FOLDS):
        te = fold_rows(t.rows, k, FOLDS, seed)[2].reset_index(drop=True); net = load_run(run/f'fold{k}')
        maps = widen(cams(net, np.asarray(c.pixels[te.pixel_row.to_numpy()]), [MAP_OF], method)[:,0], c.size)
        got.append(heat_detections(np.maximum(maps, 0), p[MAP_OF].reindex(te.image_id).to_numpy(), te, OPACITY, geometry=c.meta['geometry']))
    return pd.concat(got, ignore_index=True)

def main(work, classifier, size, epochs, jobs):
    data = Path(os.environ.get('CXR_DATA') or sys.exit('CXR_DATA is not set: the folder that holds nih_mini'))
    conf = read_json(classifier/'config.json')['request']; seed, small = conf['train']['seed'], cohort(work, data, conf['cohort']['size'], jobs); c = cohort(work, data, size, jobs)
    oof = next(classifier.glob('eval/*-oof')); p = wide_predictions(read_evaluation(oof).predictions); t = box_truth(c, OPACITY)
    run = train_detector(c, work/f'detect_nih_{size}', weights=str(classifier), labels=OPACITY, epochs=epochs, freeze=3, channels=64, hidden=256, balance=0., seed=seed, folds=FOLDS)
    found = read_box_evaluation(next(run.glob('eval/*-oof'))).detections
    tri = train_triage(small, work/'triage_nih', scores=oof, folds=FOLDS); sick = read_evaluation(next(tri.glob('eval/*-oof'))).predictions
    sick, at = sick[sick.image_id.isin(t.rows.image_id)][['image_id','p']], read_json(tri/'config.json')['threshold']['at']
    what = {'detector': found, 'detector x classifier': found.assign(score=found.score*found.image_id.map(p[MAP_OF]).to_numpy()), 'box prior': priors(t, seed), 'Grad-CAM box': heat(classifier, small, t, p, 'gradcam', seed), 'Grad-CAM++ box': heat(classifier, small, t, p, 'gradcam++', seed)}
    what['detector, gated'] = gate(found, sick, at); ms = {k: match_boxes(t.rows, t.boxes, d, [OPACITY]) for k, d in what.items()}
    pick = lambda d: d[(d.label == OPACITY) & d.metric.isin(SHOWN)]
    out = [pick(box_table(m)).assign(what=k, against='') for k, m in ms.items()] + [pick(paired_boxes(ms[a], ms[b])).assign(what=a, against=b) for a, b in
           [('detector','box prior'), ('detector','Grad-CAM box'), ('detector','Grad-CAM++ box'), ('detector x classifier','detector'), ('detector, gated','detector')]]
    df = pd.concat(out)[['what','against','metric','value','lo','hi','n_pos','n_neg','unit']].assign(films=len(t.rows), size=size); df[['value','lo','hi']] = df[['value','lo','hi']].round(4)
    write_table(RESULTS/'detect_nih.csv', df); print(df.to_string(index=False))
    g = gate_gain(found, t.boxes, sick, at, t.rows.set_index('image_id').subject_id); g[['before','after','gain','lo','hi']] = g[['before','after','gain','lo','hi']].round(4); write_table(RESULTS/'detect_nih_gate.csv', g); print(g.to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('work', type=Path, help='folder for cohorts and runs'); a.add_argument('classifier', type=Path, help='run folder, five folds'); a.add_argument('--size', type=int, default=224, help='pixels a side of what the detector sees')
    a.add_argument('--epochs', type=int, default=10, help='a fold, at most'); a.add_argument('--jobs', type=int, default=2, help='processes that read')
    main(**vars(a.parse_args()))
