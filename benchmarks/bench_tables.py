"""MIMIC-CXR-JPG's tables at their true size, from CSV to a cohort table: plain pandas against cxr_nb's `mimic` adapter.

    python benchmarks/bench_tables.py [--rounds 3] [--images 377110] [--out benchmarks/results/tables.csv]

The tables are generated (nobody may ship the real ones) with the columns and row counts of the release: 377,110 images, 227,835 studies, 65,379 patients. Both sides read the CSVs,
merge them, keep the first PA image of each subject and end with the same rows. Each run is a process of its own, turn by turn, timed in CPU and wall seconds; only the ratio means anything. Memory is the
process's peak above what it held before the tables, as a multiple of the tables read by pandas. The walk over the image files is timed by itself: plain pandas does not look whether an image is there."""
import argparse, json, resource, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np, pandas as pd
from cxr_nb.core import CHEXPERT_LABELS, write_table

STUDIES, SUBJECTS = .6042, .1734 # of the images: 227,835 and 65,379 of 377,110

def write_tables(out, n, seed=0):
    "The four tables, with MIMIC's columns"
    rng = np.random.default_rng(seed); out.mkdir(parents=True, exist_ok=True)
    ns, np_ = int(n*STUDIES), int(n*SUBJECTS)
    subject = np.sort(10_000_000 + rng.choice(9_999_999, np_, replace=False)); of_study = np.sort(np.r_[np.arange(np_), rng.integers(0, np_, ns-np_)])
    study = 50_000_000 + rng.permutation(9_999_999)[:ns]; of_image = np.sort(np.r_[np.arange(ns), rng.integers(0, ns, n-ns)])
    ids = dict(subject_id=subject[of_study[of_image]], study_id=study[of_image]); hexa = rng.integers(0, 2**32, (n,5), dtype='uint64')
    dicom = ['-'.join(f'{v:08x}' for v in r) for r in hexa]
    view = rng.choice(['PA','AP','LATERAL','LL',''], n, p=[.255,.39,.18,.133,.042])
    meta = pd.DataFrame(dict(dicom_id=dicom, **ids, PerformedProcedureStepDescription=rng.choice(['CHEST (PA AND LAT)','CHEST (PORTABLE AP)','DX CHEST PORT LINE/TUBE PLCMT 1 EXAM'], n), ViewPosition=view,
        Rows=rng.choice([3056,2544,2022], n), Columns=rng.choice([2544,3056,1736], n), StudyDate=21_100_101 + rng.integers(0, 900_000, ns)[of_image], StudyTime=rng.integers(0, 240_000_000, ns)[of_image]/1000,
        ProcedureCodeSequence_CodeMeaning='CHEST (PA AND LAT)', ViewCodeSequence_CodeMeaning=pd.Series(view).map({'PA':'postero-anterior','AP':'antero-posterior','LATERAL':'lateral','LL':'left lateral'}), PatientOrientationCodeSequence_CodeMeaning=rng.choice(['Erect','Recumbent',''], n)))
    write_table(out/'mimic-cxr-2.0.0-metadata.csv.gz', meta)
    write_table(out/'mimic-cxr-2.0.0-split.csv.gz', pd.DataFrame(dict(dicom_id=dicom, study_id=ids['study_id'], subject_id=ids['subject_id'], split=rng.choice(['train','validate','test'], np_, p=[.97,.01,.02])[of_study[of_image]])))
    labels = pd.DataFrame(rng.choice([1.,0.,-1.,np.nan], (ns, len(CHEXPERT_LABELS)), p=[.13,.05,.03,.79]), columns=CHEXPERT_LABELS)
    write_table(out/'mimic-cxr-2.0.0-chexpert.csv.gz', pd.concat([pd.DataFrame(dict(subject_id=subject[of_study], study_id=study)), labels], axis=1))
    write_table(out/'patients.csv.gz', pd.DataFrame(dict(subject_id=subject, gender=rng.choice(['F','M'], np_), anchor_age=rng.integers(18, 91, np_), anchor_year=rng.integers(2110, 2200, np_), anchor_year_group='2011 - 2013', dod=np.nan)))

def usual(d):
    "pandas' defaults: read everything, merge everything, then filter"
    meta, split, labels, pat = (pd.read_csv(d/f) for f in ('mimic-cxr-2.0.0-metadata.csv.gz','mimic-cxr-2.0.0-split.csv.gz','mimic-cxr-2.0.0-chexpert.csv.gz','patients.csv.gz'))
    m = meta.merge(split, on=['dicom_id','study_id','subject_id']).merge(labels, on=['subject_id','study_id']).merge(pat, on='subject_id')
    m['age'] = m.anchor_age + m.StudyDate//10_000 - m.anchor_year
    m['path'] = 'files/p' + m.subject_id.astype(str).str[:2] + '/p' + m.subject_id.astype(str) + '/s' + m.study_id.astype(str) + '/' + m.dicom_id + '.jpg'
    m[CHEXPERT_LABELS] = m[CHEXPERT_LABELS].replace(-1, np.nan)
    m = m[m.ViewPosition == 'PA']; m = m[m[CHEXPERT_LABELS].notna().any(axis=1)]
    return m.sort_values(['StudyDate','StudyTime','dicom_id']).drop_duplicates('subject_id')

def ours(d):
    "The adapter and the filters, with the official split; the files are taken as there"
    from cxr_nb import preprocessing, sources
    sources.locate = lambda root, stems, *a, **k: 'files/' + stems + '.jpg'
    src = sources.mimic(d)
    return preprocessing.build_table(src, views='PA', one_per_subject=True, split='official')[0]

def one(side, d):
    "Time and peak memory of one side in this process"
    import cxr_nb.preprocessing # loaded on both sides, before the clock
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; t, c = time.perf_counter(), time.process_time()
    df = dict(usual=usual, ours=ours)[side](Path(d)); ids = df['dicom_id' if side == 'usual' else 'image_id'].str.removeprefix('mimic:')
    print(json.dumps(dict(wall=time.perf_counter()-t, cpu=time.process_time()-c, peak=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-before)*1024, rows=len(df), ids=int(pd.util.hash_array(np.sort(ids.to_numpy(dtype=object))).sum() % 2**53))))

def walk(d, n):
    "Seconds that finding the files takes; the folders are made for it, with empty files"
    from cxr_nb.sources import locate
    m = pd.read_csv(d/'mimic-cxr-2.0.0-metadata.csv.gz', usecols=['dicom_id','subject_id','study_id']).head(n)
    for i,s,t in zip(m.dicom_id, m.subject_id, m.study_id): (p := d/'jpg'/'files'/f'p{str(s)[:2]}'/f'p{s}'/f's{t}').mkdir(parents=True, exist_ok=True); (p/f'{i}.jpg').touch()
    t = time.perf_counter(); at = locate(d/'jpg', m.dicom_id)
    return time.perf_counter()-t, int(at.notna().sum())

def main(rounds, n, out):
    with tempfile.TemporaryDirectory() as d:
        d = Path(d); write_tables(d, n); got = dict(usual=[], ours=[])
        size = sum(pd.read_csv(f).memory_usage(deep=True).sum() for f in d.glob('*.csv.gz'))
        for _ in range(rounds):
            for side in got: got[side].append(json.loads(subprocess.run([sys.executable, __file__, '--side', side, '--folder', str(d)], check=True, capture_output=True, text=True).stdout))
        seconds, found = walk(d, n)
    same = len({(r['rows'], r['ids']) for rs in got.values() for r in rs}) == 1
    if not same: sys.exit(f'the two sides end with different rows: {got}')
    med = lambda side,k: float(np.median([r[k] for r in got[side]])); pairs = np.array([u['cpu']/o['cpu'] for u,o in zip(got['usual'], got['ours'])])
    row = dict(path='MIMIC tables to cohort, first PA a subject', usual='pandas defaults', ours='cxr_nb mimic + build_table', ratio=round(med('usual','cpu')/med('ours','cpu'), 2), lo=round(pairs.min(), 2), hi=round(pairs.max(), 2), reach=1.4,
               ratio_wall=round(med('usual','wall')/med('ours','wall'), 2), memory_of_tables=round(med('ours','peak')/size, 2), memory_usual=round(med('usual','peak')/size, 2), reach_memory=4, images=n, kept=got['ours'][0]['rows'], rounds=rounds)
    write_table(out, pd.DataFrame([row]))
    print(f"{row['ratio']} times the CPU speed ({row['lo']} to {row['hi']} over {rounds} rounds; {row['ratio_wall']} in wall time, {med('ours','wall'):.1f} s here), peak memory {row['memory_of_tables']} times the tables' {size/1e6:.0f} MB (usual {row['memory_usual']}); the same {row['kept']:,} rows. Finding {found:,} files took {seconds:.1f} s here.")

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=3, help='turns of both sides')
    a.add_argument('--images', type=int, default=377_110, help='images in the tables')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'tables.csv', help='where the table goes')
    a.add_argument('--side', help=argparse.SUPPRESS); a.add_argument('--folder', help=argparse.SUPPRESS)
    a = a.parse_args()
    one(a.side, a.folder) if a.side else main(a.rounds, a.images, a.out)
