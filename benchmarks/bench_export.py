"""Scoring one film: PyTorch against the same network as an ONNX file, in ONNX Runtime and in OpenVINO.

    pip install -e .[onnx]; pip install openvino
    python benchmarks/bench_export.py [--rounds 15] [--out benchmarks/results/export.csv]

DenseNet-121 and ResNet-18 take a film of 224 pixels, Faster R-CNN (ResNet-50 with a pyramid, v2, heads of torchvision's size) one of 512. Usual is the network itself in float32, as `open_network` and `in_float32` give it, in
inference mode; it computes channels last, which is faster by itself, so the classifiers' rows are also given against the same network with channels first, as it comes from timm (`usual` says which; what is to be reached is against that). The row `bfloat16` is the network in that precision, as `detect_files` runs it where the processor multiplies it; `openvino` rows are left out with a
sentence where OpenVINO is not installed. Weights are random; the detector's bar is set so that no more boxes are left than a trained one finds.
All sides run in one thread of one process and are timed in CPU seconds, turn by turn, so that a busy machine slows all; a ratio is the median over the turns, with the least and the largest. Only ratios mean anything. `difference` is
the largest of a probability from the float32 network, or of a box's corner in pixels, with the share of boxes that only one side has. In bfloat16 it says little
here: untrained scores lie close together, and trained networks can differ more."""
import argparse, importlib.util, os, platform, tempfile, time, warnings
from pathlib import Path
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMBA_NUM_THREADS'): os.environ.setdefault(k, '1')
import cv2, numpy as np, pandas as pd, torch
from cxr_nb.cnn import CXRNet, gains_by_bf16
from cxr_nb.core import versions, write_table
from cxr_nb.detection import make_detector
from cxr_nb.export import ENGINES, export_onnx, in_float32, load_onnx, onnx_gap
from cxr_nb.phantom import draw

cv2.setNumThreads(1); torch.set_num_threads(1)
LABELS = [f'finding {i:02}' for i in range(14)]
REACH = {('densenet121','onnxruntime'): 2, ('densenet121','openvino-bf16'): 3.5, ('faster_rcnn resnet50_fpn_v2','openvino-bf16'): 2}

def film(size): return cv2.resize((draw(0, ('Cardiomegaly','Pleural Effusion'), size=512)[0]/16).astype('uint8'), (size, size), interpolation=cv2.INTER_AREA)[None]

def networks():
    "Name to an untrained network, in eval mode"
    torch.manual_seed(0)
    for arch in ('densenet121','resnet18'): yield arch, CXRNet(arch, LABELS, 224, pretrained='none').eval()
    det = make_detector('faster_rcnn', 'resnet50_fpn_v2', LABELS, 512, 'none', proposals=1000).eval(); x = torch.from_numpy(film(512))[:,None]
    with torch.inference_mode(): det.net.roi_heads.score_thresh = float(in_float32(det)(x)[0]['scores'].sort(descending=True)[0][:20][-1])
    yield 'faster_rcnn resnet50_fpn_v2', det

def asked(net, x, half=False):
    "A call of the network; detectors choose half precision by themselves"
    one = net if half else in_float32(net)
    def call():
        with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16, enabled=half and net.facts.get('kind') != 'detector'): return one(x)
    return call

def first(net, x):
    "The same network with channels first"
    def call():
        with torch.inference_mode(): return net.head(net.body(((x.float() - net.mean)/net.std).contiguous()))
    return call

def sides(net, file, x, imgs):
    "Name to a call, and how far its answer is from the network's"
    yield 'network, float32', asked(net, x), {}
    if net.facts.get('kind') != 'detector': yield 'network, float32, channels first', first(net, x), {}
    if gains_by_bf16(): yield 'bfloat16', asked(net, x, True), {}
    for e in ENGINES:
        if e != 'onnxruntime' and not importlib.util.find_spec('openvino'): print(f'{e} is left out, since OpenVINO is not installed'); continue
        m = load_onnx(file, 1, e); yield e, (lambda m=m: m.run(imgs[:,None])), onnx_gap(net, m, imgs)

def cpu(f): t = time.process_time(); f(); return time.process_time()-t

def processor():
    "The processor's name and how many of them there are"
    try: names = [l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name')]
    except OSError: names = []
    return f"{names[0] if names else platform.processor() or platform.machine()} x {os.cpu_count()}" + (', bfloat16' if gains_by_bf16() else '')

def measure(name, net, folder, rounds):
    "The rows of one network"
    imgs = film(net.facts['size']); file = export_onnx(net, folder/'model.onnx'); calls = {k: (f,g) for k,f,g in sides(net, file, torch.from_numpy(imgs)[:,None], imgs)}
    for f,_ in calls.values(): f(); f()
    turns = pd.DataFrame([{k: cpu(f) for k,(f,_) in calls.items()} for _ in range(rounds)])
    usual = [k for k in calls if k.startswith('network')]
    for base in usual:
        for k,(_,gap) in calls.items():
            if k in usual: continue
            r = turns[base]/turns[k]; reach = REACH.get((name, k), '') if base == usual[-1] else ''
            print(f'{name:28} {net.facts["size"]} {k:14} against {base:33} {r.median():5.2f} [{r.min():.2f}, {r.max():.2f}] times faster, to reach {reach or "-"}', flush=True)
            yield dict(network=name, size=net.facts['size'], usual=base, ours=k, ratio=f'{r.median():.2f}', least=f'{r.min():.2f}', largest=f'{r.max():.2f}', reach=reach, n=rounds,
                       difference=f"{gap.get('p', gap.get('px')):.0e}" if gap else '', boxes_alone=f"{gap['alone']:.2f}" if 'alone' in gap else '', threads=1, machine=processor(),
                       versions=' '.join(f'{n} {v}' for n,v in versions('torch','torchvision','timm','onnx','onnxruntime','openvino').items()))

def main(rounds, out):
    warnings.simplefilter('ignore')
    with tempfile.TemporaryDirectory() as d: table = [r for name,net in networks() for r in measure(name, net, Path(d), max(3, rounds//3) if net.facts['size'] > 224 else rounds)]
    write_table(out, pd.DataFrame(table))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=15, help='turns of all sides; the median counts; a third of them for the detector')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'export.csv', help='where the table goes')
    a = a.parse_args()
    main(a.rounds, a.out)
