"""Find the code that a result depends on from its imports, and hash files by what they mean."""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the package


def files(*paths):
    """Return all files at or below the given paths, sorted; Python's caches and missing paths are left out."""
    found = {file for path in map(Path, paths) for file in ([path] if path.is_file() else path.rglob("*"))}
    return sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


def content_hash(paths, read=Path.read_bytes):
    """Return the SHA-256 of the names and contents of files, in the given order; `read` returns a file's content."""
    digest = hashlib.sha256()
    for path in paths:
        content = read(path)
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@cache
def meaning(path):
    """Return what a file means to a run: for Python code its syntax tree, without comments, docstrings and layout."""
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.dump(tree).encode()


def module_file(name, root=ROOT):
    """Return the file of a module of the package, or None if there is no such module."""
    path = root / Path(*name.split("."))
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return found if found.is_file() else None


def lazy_names(path):
    """Return the names that an ``__init__`` takes from its submodules by `lazy_loader.attach`, as a dict from name to submodule.

    None if the file does more than that, because then its own code counts.
    """
    listed = {}
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) or isinstance(node, ast.Import):
            continue
        call = node.value if isinstance(node, ast.Assign) else None
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "lazy_loader.attach"):
            return None
        for keyword in call.keywords:
            if keyword.arg == "submod_attrs":
                listed |= {name: sub for sub, names in ast.literal_eval(keyword.value).items() for name in names}
    return listed


def imported(source, root=ROOT):
    """Return the names of the package's modules that some Python code imports, at the top or anywhere inside.

    A name that a package takes lazily from a submodule counts as that submodule; so does ``lorantk.name`` after
    ``import lorantk``.
    """
    tree = ast.parse(source)
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names.append(ast.unparse(node))
    return {module for name in names if name.split(".")[0] == "lorantk" for module in _resolved(name, root)}


def _resolved(name, root):
    """Return the modules that a dotted name stands for: itself, or the one that defines it."""
    if module_file(name, root):
        yield name
        return
    package, _, attribute = name.rpartition(".")
    init = module_file(package, root) if package else None
    if init is None:
        return
    listed = lazy_names(init) if init.name == "__init__.py" else None
    if listed and attribute in listed:
        yield from _resolved(f"{package}.{listed[attribute]}.{attribute}", root)
    yield package


@cache
def _imported_by(path, root):
    """Do the same as `imported` for a file of the package; nothing if it only lists its submodules for lazy loading."""
    if path.name == "__init__.py" and lazy_names(path) is not None:
        return None
    return imported(path.read_bytes(), root)


def code_of(*modules, sources=(), root=ROOT):
    """Return the files of the package that determine what some modules, or pieces of Python code, compute.

    Parameters
    ----------
    *modules : str
        Names such as ``"lorantk.theory.kernels"``.
    sources : iterable of str
        Python code, such as the code cells of a notebook.
    root : Path
        The folder that contains the package.

    Returns
    -------
    list of Path
        Sorted; an ``__init__`` that only lists its submodules for lazy loading is left out.
    """
    left = [*modules, *(name for source in sources for name in imported(source, root))]
    found = {}
    while left:
        name = left.pop()
        path = module_file(name, root)
        if name in found or path is None:
            continue
        names = _imported_by(path, root)
        found[name] = path if names is not None else None
        left += names or ()
    return sorted(path for path in found.values() if path is not None)


def code_hash(*modules, sources=(), root=ROOT):
    """Return a hash of what `code_of` finds; comments, docstrings and layout do not count."""
    paths = code_of(*modules, sources=sources, root=root)
    return content_hash([path.relative_to(root) for path in paths], lambda path: meaning(root / path))


def notebook_hash(path, root=ROOT):
    """Return a hash of the code that a notebook runs: what its cells import, what its metadata names, and what executes it."""
    notebook = json.loads(Path(path).read_bytes())
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    also = notebook["metadata"].get("runs", [])  # modules that it runs as commands
    return code_hash("lorantk.publishing.notebook.execute", *also, sources=sources, root=root)
