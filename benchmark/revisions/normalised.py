"""Normalised source code: a text that depends only on what the code computes, and is the same on Python 3.11 to 3.14.

Imports, docstrings, bare strings, comments, annotations, the wording of raised errors, and a class's `paper` and `idea`
(its citation and description) are removed. The annotation of a class field is reduced to what `dataclass` reads from
it: a plain field, `ClassVar`, `InitVar` or `KW_ONLY`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator

LEFT_OUT = frozenset({"annotation", "returns", "ctx", "kind", "type_comment", "type_ignores", "type_params"})
"""Fields of syntax nodes that do not affect what the code computes, or that some versions of Python lack."""
MARKERS = ("ClassVar", "InitVar", "KW_ONLY")
DESCRIPTIONS = ("paper", "idea")
"""Class attributes that describe the class and affect no result."""


def digest(source: str | bytes) -> str:
    """Return the SHA-256 of the normalised code.

    Raises:
        SyntaxError: `source` is not Python.
    """
    return hashlib.sha256(normalised(source).encode()).hexdigest()


def normalised(source: str | bytes) -> str:
    """Return the normalised code: nested brackets of node names, field names and constants.

    Raises:
        SyntaxError: `source` is not Python.
    """
    return _block(ast.parse(source).body, in_class=False)


def _block(body: list[ast.stmt], *, in_class: bool) -> str:
    return f"[{' '.join(_statements(body, in_class=in_class))}]"


def _statements(body: list[ast.stmt], *, in_class: bool) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Assign(targets=[ast.Name(id=name)]) if in_class and name in DESCRIPTIONS:
                continue
            case ast.Raise():
                yield _text(_Unworded().visit(statement))
            case ast.AnnAssign() if in_class:
                yield f"(Field {_text(statement.target)} {_marker(statement.annotation)} {_text(statement.value)})"
            case ast.AnnAssign(value=None):
                continue
            case ast.AnnAssign():
                yield f"(Assign targets=[{_text(statement.target)}] value={_text(statement.value)})"
            case _:
                yield _text(statement)


class _Unworded(ast.NodeTransformer):
    """A transformer that empties the strings of a `raise` statement: a reworded message affects no result."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return ast.Constant("")

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Constant("") if isinstance(node.value, str) else node


def _marker(annotation: ast.expr) -> str:
    written = ast.unparse(annotation)
    return next((marker for marker in MARKERS if marker in written), "field")


def _text(value: object) -> str:
    match value:
        case ast.AST():
            inside = "".join(f" {name}={text}" for name, text in _fields(value))
            return f"({type(value).__name__}{inside})"
        case list():
            return f"[{' '.join(map(_text, value))}]"
        case str():
            return json.dumps(value)  # repr escapes different characters on different versions of Python
        case bytes():
            return f"bytes:{value.hex()}"
        case _:
            return repr(value)


def _fields(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the non-empty fields; empty fields are skipped, because later versions of Python add empty fields."""
    for name, value in ast.iter_fields(node):
        if name in LEFT_OUT or (name != "value" and (value is None or value == [])):
            continue
        if isinstance(node, ast.JoinedStr):  # Python 3.12.0 to 3.12.3 add empty parts to format specifications
            value = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield name, _block(value, in_class=isinstance(node, ast.ClassDef))
        else:
            yield name, _text(value)
