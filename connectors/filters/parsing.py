"""The syntax of the filter language: SQL's conditions and an infix `contains`, by sqlglot."""

import logging
import math
from typing import Any, ClassVar

from cohorts.connectors.filters.conditions import (
    ALLOWED,
    MAX_NUMBER,
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Not,
    OneOf,
    Value,
)
from cohorts.errors import FilterError
from sqlglot import TokenType, exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError

# It logs filters that it doesn't understand, with the values in them.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
_OPS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_INFIX = "infix"  # marks the Not of `x not in (…)`
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class _Conditions(Dialect):
    """SQL's conditions, with `contains` between a list and a value."""

    class Tokenizer(tokens.Tokenizer):
        """Reads `contains` as an operator, and a name on through hyphens and dots: the language has no arithmetic."""

        VAR_SINGLE_TOKENS: ClassVar[set[str]] = {"-", "."}
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **tokens.Tokenizer.KEYWORDS,
            "CONTAINS": TokenType.AT_GT,
        }

    class Parser(parser.Parser):
        """Reads the operator as one between a field and a value."""

        RANGE_PARSERS: ClassVar[dict[TokenType, Any]] = {
            **parser.Parser.RANGE_PARSERS,
            TokenType.AT_GT: parser.binary_range_parser(exp.ArrayContainsAll),
        }

        def _negate_range(self, this: Any = None) -> Any:
            """Mark `x not in (…)`, which is a comparison of its own, apart from `not (x in (…))`."""
            negation = self.expression(exp.Not(this=this))
            negation.meta[_INFIX] = True
            return negation


def parse(text: str) -> exp.Expression:
    """Return the syntax tree of a condition. Raises FilterError."""
    try:
        trees = [tree for tree in _Conditions().parse(text) if tree is not None]
    except SqlglotError as error:
        raise FilterError(f"The filter can't be read: {_where(error)}. Allowed: {ALLOWED}.") from error
    if len(trees) != 1:
        what = f"holds {len(trees)} statements; it must be one condition" if trees else "is empty"
        raise FilterError(f"The filter {what}. Allowed: {ALLOWED}.")
    return trees[0]  # type: ignore[return-value]


def _where(error: SqlglotError) -> str:
    """Return where the syntax is wrong, in the words of the filter: the parser's own name its classes."""
    if not isinstance(error, ParseError) or not error.errors:
        return "a quote or a comment in it has no end"
    fault = error.errors[0]
    shown, wanted = fault["highlight"], fault["description"].removeprefix("Expecting ")
    if wanted != fault["description"]:
        return f"{wanted} is missing behind {shown!r}"
    if fault["description"].startswith("Required keyword"):
        return f"something is missing before or behind {shown!r}"
    return f"{shown!r} can't stand there"


def condition(tree: exp.Expression) -> Filter:
    """Turn a syntax tree into a filter. Raises FilterError for anything that is no condition of ours."""
    match tree:
        case exp.Paren():
            return condition(tree.this)
        case exp.Not():
            return _negated(tree)
        case exp.And():
            return All(_parts(tree))
        case exp.Or():
            return AnyOf(_parts(tree))
    if type(tree) in _OPS:
        return _comparison(tree, _OPS[type(tree)])
    return _predicate(tree)


def _parts(tree: Any) -> tuple[Filter, ...]:
    """Read a chain of the same connector as one: a long one must not become a deep one."""
    return tuple(condition(part) for part in tree.flatten())


def _negated(tree: exp.Not) -> Filter:
    """Read `not (…)`, and the comparisons that hold a `not` in them; of `is null` both mean the same."""
    inner, infix = condition(tree.this), tree.meta.get(_INFIX)
    match inner:
        case IsNull(field, negated):
            return IsNull(field, not negated)
        case OneOf(field, values) if infix:
            return OneOf(field, values, negated=True)
        case Contains(field, value) if infix:
            return Contains(field, value, negated=True)
        case All((Comparison(field, ">=", low), Comparison(_, "<=", high))) if infix:
            return AnyOf((Comparison(field, "<", low), Comparison(field, ">", high)))
    return Not(inner)


def _predicate(tree: exp.Expression) -> Filter:
    match tree:
        case exp.Is() if isinstance(tree.expression, exp.Null):
            return IsNull(_field(tree.this))
        case exp.In() if tree.expressions and not tree.args.get("query"):
            return OneOf(_field(tree.this), tuple(_value(one) for one in tree.expressions))
        case exp.Between():
            field = _field(tree.this)
            low, high = _value(tree.args["low"]), _value(tree.args["high"])
            return All((Comparison(field, ">=", low), Comparison(field, "<=", high)))
        case exp.ArrayContainsAll():
            value = _value(tree.expression)
            if not isinstance(value, str):
                raise FilterError(f"contains asks for text in single quotes, not for {value!r}.")
            return Contains(_field(tree.this), value)
        case exp.Column():
            return Comparison(_field(tree), "=", True)
    raise _not_understood(tree)


def _comparison(tree: exp.Expression, op: str) -> Filter:
    if isinstance(tree.this, exp.Column):
        return Comparison(_field(tree.this), op, _value(tree.expression))
    if isinstance(tree.expression, exp.Column):
        return Comparison(_field(tree.expression), _MIRRORED[op], _value(tree.this))
    raise _not_understood(tree)


def _field(tree: exp.Expression) -> str:
    if isinstance(tree, exp.Column) and not tree.args.get("table") and isinstance(tree.this, exp.Identifier):
        return str(tree.this.this)
    raise _not_understood(tree)


def _value(tree: exp.Expression) -> Value:
    match tree:
        case exp.Paren():
            return _value(tree.this)
        case exp.Literal(is_string=True):
            return str(tree.this)
        case exp.Boolean():
            return bool(tree.this)
        case exp.Literal():
            return _number(str(tree.this))
        case exp.Neg() if isinstance(tree.this, exp.Literal) and not tree.this.is_string:
            value = _value(tree.this)
            return -value if isinstance(value, (int, float)) else value
        case exp.Null():
            raise FilterError("null is no value to compare with: ask FIELD is null, or FIELD is not null.")
        case exp.Column():
            raise FilterError(
                f"{tree.sql()} stands where a value belongs; text goes in single quotes: '{tree.name}'."
            )
    raise _not_understood(tree)


def _number(text: str) -> int | float:
    try:
        value = int(text) if text.isdecimal() else float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_NUMBER:
        raise FilterError(
            f"The filter can't use {text!r}: it is no number, or lies beyond 2**53. Allowed: {ALLOWED}."
        )
    return value


def _not_understood(tree: exp.Expression) -> FilterError:
    return FilterError(f"The filter can't use {tree.sql()!r}. Allowed: {ALLOWED}.")
