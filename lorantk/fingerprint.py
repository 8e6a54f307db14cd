"""Name the state of files by a hash of their content."""

import ast
import hashlib
from pathlib import Path


def files(*paths):
    """All files at or below the given paths, sorted; caches of Python and paths that do not exist are left out."""
    found = {file for path in map(Path, paths) for file in ([path] if path.is_file() else path.rglob("*"))}
    return sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


def content_hash(paths, read=Path.read_bytes):
    """SHA-256 over the names and the contents of files, in the order given; `read` gives a file's content."""
    digest = hashlib.sha256()
    for path in paths:
        content = read(path)
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def meaning(path):
    """What a file means to a run: of Python code the syntax tree, without comments, docstrings and layout."""
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.dump(tree).encode()
