"""A digest of the code that makes an artifact: a module and all modules of this project that it imports.

Comments, docstrings and layout do not count. Neither do the modules in `NOT_COUNTED`: what they decide is part of the
fingerprint already, or does not affect an artifact's content.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("model", "pipeline")
NOT_COUNTED = ("pipeline.config", "pipeline.errors", "pipeline.overrides", "pipeline.gc_tuning", "pipeline.store")


@cache
def code_digest(module: str) -> str:
    """Return the SHA-256 of the code of `module` and all that it imports from `model` and `pipeline`, at any depth."""
    digest, waiting, seen = hashlib.sha256(), [module], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(NOT_COUNTED):
            continue
        seen.add(name)
        waiting += _parsed(name)[1]
    for name in sorted(seen):
        digest.update(f"{name}\n{_parsed(name)[0]}\n".encode())
    return digest.hexdigest()


@cache
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """Return a module's code in a canonical form, and the modules of this project that it imports."""
    path = _path(module)
    if path is None:
        return "", ()
    tree = ast.parse(path.read_text("utf8"))
    imported = tuple(sorted({name for name in _imports(tree, module, path) if _path(name) is not None}))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [child for child in body if not _is_text(child)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree), imported


def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    found = [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return found[0] if found and module.partition(".")[0] in PACKAGES else None


def _imports(tree: ast.AST, module: str, path: Path) -> Iterator[str]:
    here = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here.split(".")[: len(here.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _is_text(node: ast.stmt) -> bool:
    """Return whether a statement is the docstring of a module, class, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
