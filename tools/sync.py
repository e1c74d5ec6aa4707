"Bring the library, the notebooks and README.md in line; says what was out of line and exits with its count"
import hashlib, os, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

def fingerprints():
    "The files that are generated or cleaned"
    files = [*(ROOT/'nbs').rglob('*.ipynb'), *(ROOT/'cxr_nb').rglob('*.py'), *(ROOT/n for n in ('README.md','settings.ini','pyproject.toml'))]
    return {str(f.relative_to(ROOT)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file() and '.ipynb_checkpoints' not in f.parts}

def readme():
    "README.md is index.ipynb as markdown, without hidden cells, styles of tables, and with links to the notebooks in nbs/"
    from nbconvert import MarkdownExporter
    import nbformat, re
    nb = nbformat.read(ROOT/'nbs'/'index.ipynb', as_version=4)
    nb.cells = [c for c in nb.cells if not c.source.startswith('#| hide')]
    for c in nb.cells: c.source = '' if '#| echo: false' in c.source else '\n'.join(l for l in c.source.splitlines() if not l.startswith('#|'))
    nb.metadata['language_info'] = dict(name='python')
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r'<style.*?</style>\s*|```python\s*```\s*', '', text, flags=re.S)
    text = re.sub(r'\]\((?!\w+:|#|nbs/)([^)]+\.(?:ipynb|png|svg))\)', r'](nbs/\1)', re.sub(r'\n{3,}', '\n\n', text))
    (ROOT/'README.md').write_text(text.strip()+'\n', encoding='utf-8')

def sync():
    "Export, clean, write README.md; returns the files that changed"
    before, env = fingerprints(), {k:v for k,v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
    for c in 'nbdev_export','nbdev_clean': subprocess.run([str(BIN/c)], cwd=ROOT, check=True, env=env, stdout=subprocess.DEVNULL)
    if (ROOT/'nbs'/'index.ipynb').is_file(): readme()
    after = fingerprints()
    return sorted(k for k in before.keys()|after.keys() if before.get(k) != after.get(k))

if __name__ == '__main__':
    changed = sync()
    if changed: print('brought in line:', ', '.join(changed))
