"""SQL functions whose name or form depends on the engine: SQLite's, and their twins elsewhere."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Integer,
    String,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

_POSTGRESQL = "postgresql"


class json_each(GenericFunction[Any]):
    """The values of a JSON list, a row each."""

    inherit_cache = True


class json_extract(GenericFunction[Any]):
    """A value of a row of `json_each`, by its position in a list."""

    inherit_cache = True


class json_array(GenericFunction[str]):
    inherit_cache = True


class json_object(GenericFunction[str]):
    inherit_cache = True


class json_group_array(GenericFunction[str]):
    """A JSON list, as text, of JSON values."""

    type = String()
    inherit_cache = True


class group_concat(GenericFunction[str]):
    type = String()
    inherit_cache = True


class instr(GenericFunction[int]):
    inherit_cache = True


class whole_part(GenericFunction[int]):
    """Of a number that is not negative."""

    type = Integer()
    inherit_cache = True


@compiles(whole_part)
def _whole_part(element: whole_part, compiler: Any, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS INTEGER)"


@compiles(whole_part, _POSTGRESQL)
def _truncated(element: whole_part, compiler: Any, **kw: Any) -> str:
    return f"CAST(trunc({compiler.process(element.clauses, **kw)}) AS INTEGER)"


class has_path(GenericFunction[bool]):
    """Whether a path is one of an expanding parameter's. The indexes of a server, where a path may
    be too long for one, have its SHA-256, and so has the parameter there.
    """

    inherit_cache = True


@compiles(has_path)
def _has_path(element: has_path, compiler: Any, **kw: Any) -> str:
    path, keys = (compiler.process(each, **kw) for each in element.clauses)
    return f"{path} IN {keys}"


@compiles(has_path, _POSTGRESQL)
def _has_digest_of_path(element: has_path, compiler: Any, **kw: Any) -> str:
    """By a subquery: a server without figures of a new ledger takes a list for a long one."""
    path, keys = (compiler.process(each, **kw) for each in element.clauses)
    return f"sha256({path}) = ANY (ARRAY(SELECT unnest(CAST(ARRAY[{keys[1:-1]}] AS bytea[]))))"


class found_first(GenericFunction[bool]):
    """Whether a value is one of a subquery's, which a server asks before anything else."""

    type = Boolean()
    inherit_cache = True


@compiles(found_first, _POSTGRESQL)
def _found_first(element: found_first, compiler: Any, **kw: Any) -> str:
    value, subquery = (compiler.process(each, **kw) for each in element.clauses)
    return f"{value} = ANY (ARRAY{subquery})"


class server_seconds(GenericFunction[float]):
    """Seconds since 1970 by the engine's clock, now and not when the transaction began."""

    type = Double()
    inherit_cache = True


@compiles(server_seconds)
def _clock_of_file(element: server_seconds, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(server_seconds, _POSTGRESQL)
def _clock_of_server(element: server_seconds, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class fits_glob(GenericFunction[bool]):
    """Whether a text fits a glob, as a regular expression of either engine."""

    type = Boolean()
    inherit_cache = True


@compiles(json_each, _POSTGRESQL)
def _json_each(element: json_each, compiler: Any, **kw: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **kw)} AS jsonb))"


@compiles(json_extract, _POSTGRESQL)
def _json_extract(element: json_extract, compiler: Any, **kw: Any) -> str:
    value, path = element.clauses  # a literal, so that it is a part of the statement's cache key
    position = re.sub(r"\D", "", path.name)
    kind = compiler.dialect.type_compiler_instance.process(element.type)
    return f"CAST({compiler.process(value, **kw)} ->> {position} AS {kind})"


@compiles(json_array, _POSTGRESQL)
def _json_array(element: json_array, compiler: Any, **kw: Any) -> str:
    return f"json_build_array({compiler.process(element.clauses, **kw)})"


@compiles(json_object, _POSTGRESQL)
def _json_object(element: json_object, compiler: Any, **kw: Any) -> str:
    return f"json_build_object({compiler.process(element.clauses, **kw)})"


@compiles(json_group_array)
def _json_group_array(element: json_group_array, compiler: Any, **kw: Any) -> str:
    return f"json_group_array(json({compiler.process(element.clauses, **kw)}))"


@compiles(json_group_array, _POSTGRESQL)
def _json_agg(element: json_group_array, compiler: Any, **kw: Any) -> str:
    return f"coalesce(CAST(json_agg({compiler.process(element.clauses, **kw)}) AS text), '[]')"


@compiles(group_concat, _POSTGRESQL)
def _string_agg(element: group_concat, compiler: Any, **kw: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **kw)})"


@compiles(instr, _POSTGRESQL)
def _strpos(element: instr, compiler: Any, **kw: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **kw)})"


def has_glob(column: ColumnElement[Any], glob: str) -> ColumnElement[bool]:
    """Whether a text fits a glob of `fnmatch`, from its beginning to its end."""
    return fits_glob(column, literal(rf"\A{translate(glob)}"), literal(glob_expression(glob)))


@compiles(fits_glob)
def _fits_glob(element: fits_glob, compiler: Any, **kw: Any) -> str:
    column, expression, _ = element.clauses
    return compiler.process(column.regexp_match(expression), **kw)  # type: ignore[no-any-return]


@compiles(fits_glob, _POSTGRESQL)
def _fits_glob_there(element: fits_glob, compiler: Any, **kw: Any) -> str:
    column, _, expression = element.clauses
    return compiler.process(column.regexp_match(expression), **kw)  # type: ignore[no-any-return]


def glob_expression(glob: str) -> str:
    """A glob as a regular expression of PostgreSQL and RE2, where `.` has to mean any sign."""
    out, at = "", 0
    while at < len(glob):
        sign, at = glob[at], at + 1
        end = glob.find("]", at + 1 + (glob[at : at + 1] == "!")) if sign == "[" else -1
        if sign == "*":
            out += ".*"
        elif sign == "?":
            out += "."
        elif end > 0:
            inside = glob[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out += f"[^{inside[1:]}]" if inside.startswith("!") else f"[{_escaped(inside)}]"
            at = end + 1
        else:
            out += re.escape(sign)
    return f"^(?:{out})$"


def _escaped(inside: str) -> str:
    return f"\\{inside}" if inside.startswith("^") else inside
