"""Render the docs site into _docs/ without Quarto, and check its internal links.

Quarto publishes the site (.github/workflows/docs.yml); this renders the same _quarto.yml and the same processed notebooks with smalldocs, so that a
page can be looked at, and a broken link found, on a machine that has no Quarto.
"""
import os, re, shutil, subprocess, sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
os.environ.pop('PYTHONDONTWRITEBYTECODE', None); os.environ.update(MPLBACKEND='agg', OMP_NUM_THREADS='1')

def process():
    "nbdev's processed notebooks, in _proc/, under names without their numbers"
    import nbdev.doclinks
    from nbdev.config import get_config
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs
    os.chdir(ROOT)
    shutil.rmtree(ROOT/'_proc', ignore_errors=True)
    refresh_quarto_yml(); nbdev.doclinks._build_modidx()
    proc = proc_nbs(n_workers=2, force=True)
    base = get_config().doc_host + get_config().doc_baseurl
    short = lambda s: re.sub(r'(?:(?<=\.\./)|(?<![\w/]))\d\d[a-z]?_(?=\w+\.(ipynb|html))', '', s)
    for f in [*proc.rglob('*.ipynb'), proc/'sidebar.yml']:
        text = f.read_text(encoding='utf-8')
        up = '../'*len(f.relative_to(proc).parent.parts)
        f.write_text(short(re.sub(re.escape(base)+r'/', up, text)), encoding='utf-8')
        f.rename(f.with_name(re.sub(r'^\d\d[a-z]?_', '', f.name)))
    return proc

def render(proc):
    "The site, in _docs/"
    subprocess.run([str(BIN/'smalldocs'), 'render', '--quiet', str(proc)], check=True)
    out = next(p for p in (proc/'_docs', proc/'_site') if p.is_dir())
    shutil.rmtree(ROOT/'_docs', ignore_errors=True); shutil.move(out, ROOT/'_docs')
    return ROOT/'_docs'

def broken_links(site):
    "Links and images that lead nowhere inside the site, as (page, link)"
    from bs4 import BeautifulSoup
    pages = {p: BeautifulSoup(p.read_text(encoding='utf-8'), 'html.parser') for p in site.rglob('*.html')}
    ids = {p: {t.get('id') or t.get('name') for t in s.find_all(lambda t: t.get('id') or t.get('name'))} for p,s in pages.items()}
    bad = []
    for p,s in pages.items():
        for t in s.find_all(['a','img','link','script']):
            u = urlsplit(t.get('href') or t.get('src') or '')
            if u.scheme or u.netloc or not (u.path or u.fragment): continue
            to = (p.parent/unquote(u.path)).resolve() if u.path else p
            if to.is_dir(): to = to/'index.html'
            if not to.is_file() or (u.fragment and to in ids and unquote(u.fragment) not in ids[to]): bad.append((p.relative_to(site), u.geturl()))
    return len(pages), bad

def main():
    "Build, check, and say what is missing"
    n, bad = broken_links(render(process()))
    want = {re.sub(r'^\d\d[a-z]?_', '', f.stem) for f in (ROOT/'nbs').glob('*.ipynb')}
    lost = want - {p.stem for p in (ROOT/'_docs').glob('*.html')}
    for page,link in bad: print(f'broken link in {page}: {link}')
    for name in sorted(lost): print(f'no page was rendered for the notebook {name}')
    print(f'{n} pages in _docs/, {len(bad)} broken links')
    return n > 0 and not bad and not lost

if __name__ == '__main__': sys.exit(not main())
