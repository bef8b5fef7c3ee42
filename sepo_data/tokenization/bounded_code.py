"""The code of a chat template within bounds: operations that have no method of the environment get one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, optimizeconst

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.compiler import Frame

MOST_TERMS = 30
"""Of a sum that is added up before its size is looked at."""


class BoundedCode(CodeGenerator):
    """Compiles `a ~ b`, `[a, b]`, `(a, b)` and `{a: b}` to calls of the environment, as the other operators are.

    What templates mostly do keeps its speed: a sum that is printed is looked at once, after all its terms, and a
    variable that is printed is not looked at again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as there
        super().__init__(*args, **options)
        self._printed_sums: set[int] = set()

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - the name of the node
        for child in node.nodes:
            self._printed_sums.update(_sums(child))
        super().visit_Output(node, frame)

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802 - the name of the node
        if id(node) not in self._printed_sums:
            super().visit_Add(node, frame)
            return
        self.write("(")
        self.visit(node.left, frame)
        self.write(" + ")
        self.visit(node.right, frame)
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:  # noqa: ANN401 - of Jinja
        super()._output_child_pre(node, frame, _AS_IT_IS if _is_variable(node) else finalize)

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:  # noqa: ANN401 - of Jinja
        super()._output_child_post(node, frame, _AS_IT_IS if _is_variable(node) else finalize)

    @optimizeconst
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - the name of the node
        self.write(f"{'str_join' if id(node) in self._printed_sums else 'environment.joined'}((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    @optimizeconst
    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - the name of the node
        copies = isinstance(node.arg, nodes.Slice)
        self.write("environment.counted(" if copies else "")
        super().visit_Getitem(node, frame)
        self.write(")" if copies else "")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802 - the name of the node
        self._visit_weighed(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 - the name of the node
        self._visit_weighed(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802 - the name of the node
        if node.ctx == "load":
            self._visit_weighed(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def _visit_weighed(self, visit: Callable[[Any, Frame], None], node: nodes.Expr, frame: Frame) -> None:
        """A list that holds another one twice, and is held twice, and so on, soon has no end for who compares it."""
        self.write("environment.held(")
        visit(node, frame)
        self.write(")")


_AS_IT_IS = CodeGenerator._FinalizeInfo(None, None)  # noqa: SLF001 - the class is to be extended


def _sums(node: nodes.Node) -> list[int]:
    """The ids of the operations of a printed sum of at most MOST_TERMS terms: `a + b`, `a ~ b`."""
    found: list[int] = []
    while isinstance(node, nodes.Add) and len(found) < MOST_TERMS:
        found.append(id(node))
        node = node.left
    if isinstance(node, nodes.Concat) and len(found) + len(node.nodes) <= MOST_TERMS:
        found.append(id(node))
    return found


def _is_variable(node: nodes.Node) -> bool:
    """True for `a`, `a.b` and `a["b"]`: values that exist already."""
    by_name = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
    return isinstance(node, nodes.Name | nodes.Getattr) or by_name
