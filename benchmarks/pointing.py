"""How well a classifier's heat maps point: at the phantom's masks (synthetic), and out of fold at boxes that radiologists drew.

    python benchmarks/pointing.py phantom WORK          # after benchmarks/phantom_learn.py WORK
    python benchmarks/pointing.py nih R C               # R, C: the run of nih_baseline with five folds, and its cohort with RSNA's boxes

Each map stands beside rivals that see nothing of the film: the mean of other patients' masks, a blob in the centre, the same network with random weights; and beside the same map of another patient.
`phantom` draws 1,000 films of `standard` with seed 2 and masks. Half of their patients give the mean mask and the cut of the IoU for each finding, the other half is scored, by the ResNet-18 of phantom_learn. Findings are pooled in two groups that were fixed
beforehand: those that lie in another place in every patient, and those that lie in the middle or everywhere, where the mean mask knows the place already. Writes results/pointing_phantom.csv or results/pointing_nih.csv.
"""
import argparse
from pathlib import Path
import cv2, numpy as np, pandas as pd
from phantom_learn import cohort
from cxr_nb import phantom
from cxr_nb.cnn import predict_proba
from cxr_nb.cnn_train_test import load_run
from cxr_nb.core import progress, read_json, write_table
from cxr_nb.gradcam import MAPS, RIVALS, best_cut, cams, centre_map, localise, point_table, untrained, widen
from cxr_nb.preprocessing import hash_share

SIDE = 96 # of the maps that are scored, px
FIXED = ('Cardiomegaly', 'Enlarged Cardiomediastinum', 'Hernia', 'Edema', 'Emphysema') # in the middle, or everywhere
RESULTS = Path(__file__).parent/'results'

def masks_of(root, rows, label):
    "The union of a film's masks of a finding, N x SIDE x SIDE"
    coco = read_json(root/'phantom'/'masks.json'); name = {c['id']: c['name'] for c in coco['categories']}; image = {i['id']: i['file_name'] for i in coco['images']}
    at, out = {k: j for j, k in enumerate(rows.image_id.str.removeprefix('folder:'))}, np.zeros((len(rows), SIDE, SIDE), bool)
    for a in coco['annotations']:
        if name[a['category_id']] == label and (j := at.get(image[a['image_id']])) is not None: out[j] |= cv2.resize(phantom.mask_of(a['segmentation']['counts'], a['segmentation']['size']).astype('float32'), (SIDE,SIDE), interpolation=cv2.INTER_AREA) > .25
    return out

def maps_of(net, imgs, label, prior):
    "Every map and rival of a finding, N x SIDE x SIDE each"
    seen = {k: widen(cams(net, imgs, [label], *how)[:,0], SIDE) for k, how in MAPS.items()}
    flat = lambda h: np.broadcast_to(h, (len(imgs), SIDE, SIDE))
    return seen | {f'{k} x mean box': h*prior for k, h in seen.items()} | dict(zip(RIVALS, (flat(prior), flat(centre_map(SIDE)), widen(cams(untrained(net), imgs, [label])[:,0], SIDE))))

def on_phantom(work, jobs):
    root = phantom.write_phantom(work/'masks', n=1000, seed=2, difficulty='standard', size=512, masks=True, jobs=jobs)
    net = load_run(work/'run_distil'); c = cohort(root, work/'cohort_masks', net.facts['size'], jobs); df = c.df.reset_index(drop=True)
    scored = hash_share([f'pointing:{s}' for s in df.subject_id], 0) < .5
    called = predict_proba(net, c, df) >= [net.facts['thresholds'][l] for l in c.labels]; got = []
    for l in progress([l for l in c.labels if l != 'Support Devices'], 'findings'):
        mask = masks_of(root, df, l); there = mask.any((1,2)); parts = {}
        prior = mask[there & ~scored].mean(0, dtype='float32')
        for k, s in dict(pick=there & ~scored, score=there & scored).items(): parts[k] = s, maps_of(net, np.asarray(c.pixels[df.pixel_row.to_numpy()[s]]), l, prior)
        cuts = {k: best_cut(h, mask[parts['pick'][0]]) for k, h in parts['pick'][1].items()}; s, maps = parts['score']
        got.append(dict(label=l, maps=maps, mask=mask[s], cuts={k: np.full(s.sum(), v) for k, v in cuts.items()}, groups=df.subject_id[s].to_numpy(), called=called[s, c.labels.index(l)]))
    def table(what, parts, keep=lambda g: np.ones(len(g['mask']), bool)):
        join = lambda f: np.concatenate([f(g)[keep(g)] for g in parts])
        names = list(parts[0]['maps'])
        t = point_table({k: join(lambda g: g['maps'][k]) for k in names}, join(lambda g: g['mask']), {k: join(lambda g: g['cuts'][k]) for k in names}, RIVALS, join(lambda g: g['groups']))
        return t.assign(finding=what)
    moves, stays = ([g for g in got if (g['label'] in FIXED) == k] for k in (False, True))
    yes = lambda g: g['called']
    return pd.concat([table('in another place each time', moves), table('in another place each time, called', moves, yes), table('in the middle or everywhere', stays), *(table(g['label'], [g]) for g in got)])

def on_nih(run, cohort_folder): return localise(run, cohort_folder, 'Pneumonia', boxes='Lung Opacity', reader='rsna').assign(finding='Lung Opacity')

def main(what, paths, jobs):
    df = on_phantom(paths[0], jobs) if what == 'phantom' else on_nih(*paths)
    df[['value','lo','hi']] = df[['value','lo','hi']].round(4); write_table(RESULTS/f'pointing_{what}.csv', df)
    print(df[(df.metric == 'hit') & df.versus.isin(['', 'mean box'])].to_string(index=False))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('what', choices=['phantom','nih']); a.add_argument('paths', type=Path, nargs='+', help='WORK, or a run and its cohort'); a.add_argument('--jobs', type=int, default=2, help='processes that draw')
    a = a.parse_args(); main(a.what, a.paths, a.jobs)
