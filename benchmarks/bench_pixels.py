"""A 12-bit radiograph of 2544 x 3056 pixels to a square of grey levels: the usual way and three other libraries against cxr_nb.dicom.read_grey.

    pip install -e .[bench]
    python benchmarks/bench_pixels.py [--rounds 15] [--out benchmarks/results/pixels.csv]

The usual way is pydicom's pixel_array and apply_voi_lut, numpy's min-max and Pillow's LANCZOS. The extra `bench` holds what it needs for compressed files (pylibjpeg with -rle, -openjpeg and
-libjpeg; pyjpegls), and fastai with kornia, torchxrayvision with scikit-image, and MONAI; a row whose peer is not installed is left out with a sentence. fastai and torchxrayvision don't resize
a radiograph to a square of bytes themselves; both get OpenCV's area average. The files are drawn by the phantom, enlarged, with noise of 8 of 4,095 levels, so that they compress as radiographs do. Both
sides run in one thread and are timed in CPU seconds, turn by turn in one run, so that a busy machine slows both; a ratio is the median over the turns, with the interval of 1,000 resamples
of them. Only ratios mean anything. Differences are grey levels from the exact area average; where the decoder is told to reduce, they are the price of it."""
import argparse, csv, os, tempfile, time, warnings
from pathlib import Path
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMBA_NUM_THREADS'): os.environ.setdefault(k, '1')
import cv2, imagecodecs, numpy as np, pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut, get_decoder
from cxr_nb.dicom import level_tables, pixel_header, read_dicom, read_grey
from cxr_nb.phantom import draw

cv2.setNumThreads(1)
ROWS, COLS = 3056, 2544
WINDOW = dict(WindowCenter=2000, WindowWidth=3200)

def film(seed=0):
    "The phantom enlarged, with noise that is partly smooth"
    rng, (small, _) = np.random.default_rng(seed), draw(seed, size=1024)
    a = cv2.resize(small.astype(np.float32), (COLS, ROWS), interpolation=cv2.INTER_CUBIC)
    noise = rng.standard_normal((ROWS, COLS), np.float32)
    return (a + 5*noise + 6*cv2.GaussianBlur(noise, (0,0), 1.5)*5).clip(0, 4095).astype(np.uint16)

def save(path, words, syntax, stream=None, **tags):
    "A DX file of `words`, or of a compressed `stream`"
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality, ds.BodyPartExamined = '1.2.840.10008.5.1.4.1.1.1.1', '1.2.3', 'DX', 'CHEST'
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLS, 1, 'MONOCHROME2'
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    for k,v in tags.items(): setattr(ds, k, v)
    ds.PixelData = encapsulate([stream]) if stream else words.tobytes()
    ds['PixelData'].VR = 'OB' if stream else 'OW'
    ds.save_as(path, enforce_file_format=True)
    return path

def rle(words):
    "Run length encoding, row by row, the high bytes first"
    parts = [imagecodecs.packbits_encode(np.ascontiguousarray(b), axis=1) for b in ((words>>8).astype(np.uint8), (words&255).astype(np.uint8))]
    parts = [p + bytes(len(p)%2) for p in parts]
    return np.array([2, 64, 64+len(parts[0]), *[0]*13], '<u4').tobytes() + b''.join(parts)

def files(folder):
    "Name to file"
    a = film()
    j2k = imagecodecs.jpeg2k_encode(a, bitspersample=12, codecformat='j2k', reversible=True, resolutions=6)
    made = {'uncompressed': (uid.ExplicitVRLittleEndian, None), 'RLE': (uid.RLELossless, rle(a)),
            'JPEG Lossless': (uid.JPEGLosslessSV1, imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=12)),
            'JPEG-LS': (uid.JPEGLSLossless, imagecodecs.jpegls_encode(a)), 'JPEG 2000': (uid.JPEG2000Lossless, j2k),
            'HTJ2K': (uid.HTJ2KLossless, imagecodecs.htj2k_encode(a))}
    out = {k: save(folder/f"{k.replace(' ', '')}.dcm", a, *v, **WINDOW) for k,v in made.items()}
    out['uncompressed, no window'] = save(folder/'nowindow.dcm', a, uid.ExplicitVRLittleEndian)
    return out

def squash(a, size): return cv2.resize(np.ascontiguousarray(a, np.float32), (size, size), interpolation=cv2.INTER_AREA)

def usual(path, size):
    ds = pydicom.dcmread(path)
    a = apply_voi_lut(ds.pixel_array, ds).astype(float)
    a = (a-a.min())/(a.max()-a.min())*255
    return np.asarray(Image.fromarray(a.astype(np.uint8)).resize((size, size), Image.Resampling.LANCZOS))

def fastai():
    from fastai.medical.imaging import Path as P
    return lambda path, size: squash(P(path).dcmread().hist_scaled().numpy(), size)

def torchxrayvision():
    from torchxrayvision.utils import read_xray_dcm
    return lambda path, size: squash(read_xray_dcm(path, voi_lut=True), size)

def monai():
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize, ScaleIntensity
    way = {s: Compose([LoadImage(reader='PydicomReader', image_only=True), EnsureChannelFirst(), ScaleIntensity(0, 255), Resize((s, s), mode='area')]) for s in (224, 512)}
    return lambda path, size: np.asarray(way[size](path))

# path, file, size, options of read_grey, peer, ratio to reach
ROWS_OF_TABLE = [('uncompressed, window', 'uncompressed', 224, {}, 'usual', 15), ('uncompressed, window, 512', 'uncompressed', 512, {}, 'usual', ''),
                 ('uncompressed, min-max', 'uncompressed, no window', 224, {}, 'usual', ''), ('RLE', 'RLE', 224, {}, 'usual', 3.5),
                 ('JPEG Lossless', 'JPEG Lossless', 224, {}, 'usual', 4), ('JPEG-LS', 'JPEG-LS', 224, {}, 'usual', 2), ('HTJ2K', 'HTJ2K', 224, {}, 'usual', ''),
                 ('JPEG 2000', 'JPEG 2000', 224, {}, 'usual', 1), ('JPEG 2000, reduce=True', 'JPEG 2000', 224, dict(reduce=True), 'usual', 20),
                 ('JPEG 2000, reduce=True, 512', 'JPEG 2000', 512, dict(reduce=True), 'usual', 8)]
PEERS = dict(fastai=fastai, torchxrayvision=torchxrayvision, monai=monai)
ROWS_OF_TABLE += [('uncompressed, window', 'uncompressed', 224, {}, p, '') for p in PEERS]

def cpu(f, *args, **kw): t = time.process_time(); f(*args, **kw); return time.process_time()-t

def exact(path, size):
    "The area average in float64, from the words"
    words = np.memmap(path, np.uint16, 'r', path.stat().st_size - 2*ROWS*COLS).reshape(ROWS, COLS)
    grey = level_tables(words, pixel_header(read_dicom(path)))[0][0].astype(float)[words]
    def share(n):
        lo = np.arange(size)[:,None]*n/size
        return np.clip(np.minimum(lo+n/size, np.arange(n)+1) - np.maximum(lo, np.arange(n)), 0, None)*size/n
    return share(ROWS) @ grey @ share(COLS).T

def measure(name, path, size, options, peer, way, reach, rounds, truth):
    "One row of the table"
    def ours(): return read_grey(path, size, 'squash', **options)[0]
    d = abs(ours() - truth)
    way(path, size)                                          # imports and compiled code are loaded
    turns = np.array([(cpu(way, path, size), cpu(ours)) for _ in range(rounds)])
    ratio, rng = turns[:,0]/turns[:,1], np.random.default_rng(0)
    lo, hi = np.quantile(np.median(rng.choice(ratio, (1000, rounds)), axis=1), [.025, .975])
    syntax = read_dicom(path, pixels=False).file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax).available_plugins[0] if syntax.is_encapsulated else 'pydicom'
    return dict(path=name, size=size, peer=peer, peer_decoder=decoder, ratio=f'{np.median(ratio):.1f}', lo=f'{lo:.1f}', hi=f'{hi:.1f}', reach=reach, n=rounds,
                mean_difference=f'{d.mean():.2f}', max_difference=f'{d.max():.1f}')

def main(rounds, out):
    warnings.simplefilter('ignore')
    ways, table = {'usual': usual}, []
    for k,make in PEERS.items():
        try: ways[k] = make()
        except ImportError as e: print(f'{k} is left out, since it, or what it needs, is not installed ({e})')
    with tempfile.TemporaryDirectory() as d:
        made = files(Path(d))
        truth = {(f, s): exact(made[f], s) for f,s in [('uncompressed', 224), ('uncompressed', 512), ('uncompressed, no window', 224)]}
        for name, file, size, options, peer, reach in ROWS_OF_TABLE:
            if peer not in ways: continue
            try: row = measure(name, made[file], size, options, peer, ways[peer], reach, rounds, truth[file if file=='uncompressed, no window' else 'uncompressed', size])
            except RuntimeError as e: print(f'{name} is left out, since pydicom has no decoder for it ({str(e).splitlines()[0]})'); continue
            table.append(row)
            print(f"{name:28} {size} {peer:16} {row['ratio']:>6} ({row['lo']} to {row['hi']}) times faster, to reach {reach or '-'}; differs by {row['mean_difference']} on average, {row['max_difference']} at most", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_suffix('.part')
    with beside.open('w', newline='') as f: w = csv.DictWriter(f, table[0], lineterminator='\n'); w.writeheader(); w.writerows(table)
    beside.replace(out)

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=15, help='turns of both sides; the median counts')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'pixels.csv', help='where the table goes')
    a = a.parse_args()
    main(a.rounds, a.out)
