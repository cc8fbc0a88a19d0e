"""Choice of particles by an expression over the columns of the index.

Comparisons (also chained), ``and``, ``or``, ``not``, brackets, numbers, texts and names of
columns: ``diameter_um > 8 and 0.9 < sphericity``. The text is parsed, never run.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

from ....generator.errors import DatasetError, suggestion

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 2000  # characters
EXAMPLE = "for example \"diameter_um > 8 and particle_id != 'p000003'\""
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def selected(index: pd.DataFrame, expression: str) -> pd.DataFrame:
    """Rows of ``index`` for which ``expression`` holds, in their order.

    A comparison with a value that is missing does not hold.

    Raises
    ------
    DatasetError
        If the expression is not of the form above, names a column that is not there, or
        compares text with numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> index = pd.DataFrame({"path": ["a", "b"], "diameter_um": [7.5, 8.5]})
    >>> list(selected(index, "diameter_um > 8 or not path != 'a'").path)
    ['a', 'b']
    >>> list(selected(index, "8 < diameter_um <= 9").path)
    ['b']
    """
    condition = _Condition(expression, index)
    return index[condition.rows(_parsed(expression))]


def _parsed(expression: str) -> ast.expr:
    if len(expression) > LONGEST:
        msg = f"the selection has {len(expression)} characters, expected at most {LONGEST}"
        raise DatasetError(msg)
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        msg = f"the selection {expression!r} cannot be read ({error}); expected {EXAMPLE}"
        raise DatasetError(msg) from error


class _Condition:
    """One expression and the columns that it may name."""

    def __init__(self, expression: str, index: pd.DataFrame) -> None:
        self.expression, self.index = expression, index

    def rows(self, node: ast.expr) -> pd.Series[bool]:
        """Whether the condition holds, for each row."""
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return reduce(operator.and_, map(self.rows, parts))
            case ast.BoolOp(op=ast.Or(), values=parts):
                return reduce(operator.or_, map(self.rows, parts))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return ~self.rows(part)
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [self.value(side) for side in (left, *others)]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return reduce(operator.and_, (self.compared(*pair) for pair in pairs))
            case ast.Name(id=name) if (column := self.column(name)).dtype == bool:
                return column
        raise self.refused(node, "a comparison, and, or, not")

    def value(self, node: ast.expr) -> Any:
        """Column, number or text."""
        match node:
            case ast.Name(id=name):
                return self.column(name)
            case ast.Constant(value=int() | float() | str() as constant):
                return constant
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
        raise self.refused(node, "a column, a number or a text in quotes")

    def column(self, name: str) -> pd.Series[Any]:
        if name in self.index.columns:
            return self.index[name]
        meant = suggestion(name, sorted(map(str, self.index.columns)))
        msg = f"the selection names {name!r}, which is no column of the index; {meant}"
        raise DatasetError(msg)

    def compared(self, left: Any, op: ast.cmpop, right: Any) -> pd.Series[bool]:
        import pandas as pd

        if type(op) not in COMPARISONS:
            msg = f"the selection {self.expression!r} compares with in or is, expected ==, <, > ..."
            raise DatasetError(msg)
        if _is_text(left) != _is_text(right):
            msg = f"the selection {self.expression!r} compares text with a number; {EXAMPLE}"
            raise DatasetError(msg)
        held = COMPARISONS[type(op)](_comparable(left), _comparable(right))
        everywhere = held if isinstance(held, pd.Series) else pd.Series(held, self.index.index)
        return everywhere.fillna(False).astype(bool)

    def refused(self, node: ast.expr, expected: str) -> DatasetError:
        part = ast.get_source_segment(self.expression.strip(), node)
        msg = f"the selection has {part!r}, expected {expected}; {EXAMPLE}"
        return DatasetError(msg)


def _is_text(value: Any) -> bool:
    from pandas.api.types import is_numeric_dtype

    return isinstance(value, str) if not hasattr(value, "dtype") else not is_numeric_dtype(value)


def _comparable(value: Any) -> Any:
    """Column of text as pandas' own strings, where what is missing stays missing."""
    return value.astype("string") if hasattr(value, "dtype") and _is_text(value) else value
