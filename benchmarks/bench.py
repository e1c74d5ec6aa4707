"""Every ratio that this machine can measure, one benchmark after the other, and one table of what was reached.

    make bench                                   sets up the peers (extra `bench`) and runs this
    python benchmarks/bench.py [--only pixels,boxes] [--gather] [--out benchmarks/results/bench.csv]

Each benchmark runs in a process of its own and writes its own table; here its main rows come together with what was to be reached, whether it was, the machine and the versions. A benchmark whose peer is not installed is left out with a sentence; one that fails says so at the end, and the others run on. With `--gather` nothing runs: the tables that are there are put together; machine and versions are then left blank, since a table does not say them.
Nothing else should be running: ratios stand a busy machine, but not one that changes its mind."""
import argparse, subprocess, sys, time
from pathlib import Path
import pandas as pd
from cxr_nb.core import read_table, versions, write_table

HERE = Path(__file__).parent
REACH = {'AUROC with intervals':200, 'from tables to all metrics':20, 'wbf':20} # where the table itself does not say

def shown(df, name):
    "Rows with a ratio that has something to reach: path, usual, ours, ratio, lo, hi, reach"
    if name == 'export': df = df.assign(path=df.network + ', one film', lo=df.least, hi=df.largest)
    if name == 'fusion': df = df[df.path == 'from table to table'].assign(path=df.method)
    if name == 'loader': df = df.assign(usual='PNG files, Pillow', ours='pixel cache')
    if name == 'pixels': df = df.assign(usual=df.peer, ours='dicom.read_grey'); df = df[df.usual == 'usual']
    df = df.assign(reach=pd.to_numeric(df.reach if 'reach' in df else df.path.map(REACH)))
    return df[df.reach.notna()].reindex(columns=['path','usual','ours','unit','ratio','lo','hi','reach']).assign(benchmark=name)

def reached(d): # the loop's row is a cost, to stay below
    cost, v = d.unit.astype(str).str.startswith('ms'), d.ratio.astype(float)
    return (v >= d.reach).where(~cost, v <= d.reach)

def main(only, gather, out):
    from bench_export import processor
    names = [p.stem.removeprefix('bench_') for p in sorted(HERE.glob('bench_*.py'))]; wrong = [n for n in only if n not in names]
    if wrong: sys.exit(f"there is no benchmark {wrong[0]!r}; there are {', '.join(names)}")
    rows, failed = [], []
    for n in only or names:
        table = HERE/'results'/f'{n}.csv'; start = time.monotonic(); print(f'== {n}', flush=True)
        code = 0 if gather and table.is_file() else 1 if gather else subprocess.run([sys.executable, str(HERE/f'bench_{n}.py'), '--out', str(table)]).returncode
        if code: failed.append(n); print(f'{n} failed; its row in the table of ratios is left out'); continue
        rows.append(shown(read_table(table), n)); print(f'   {time.monotonic()-start:.0f} s', flush=True)
    if not rows: sys.exit('nothing was measured')
    d = pd.concat(rows, ignore_index=True); new = d.assign(reached=reached(d), machine='' if gather else processor(), versions='' if gather else ' '.join(f'{k} {v}' for k, v in versions('torch','timm','pydicom','numba','pandas','onnxruntime').items()))
    if only and out.is_file(): old = read_table(out); new = pd.concat([old[~old.benchmark.isin(only)], new], ignore_index=True)
    write_table(out, new); print(new.drop(columns=['machine','versions','unit']).to_string(index=False)); print(out)
    if failed: sys.exit(f"not measured: {', '.join(failed)}")

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--only', type=lambda s: s.split(','), default=[], help='benchmarks, by name with commas'); a.add_argument('--gather', action='store_true', help='run nothing, put together what is there'); a.add_argument('--out', type=Path, default=HERE/'results'/'bench.csv', help='where the table goes')
    main(**vars(a.parse_args()))
