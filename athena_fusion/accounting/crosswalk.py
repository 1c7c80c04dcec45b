"""The crosswalk engine: effective-dated tables from source codes to accounting values.

A line of a table names some keys and leaves others blank (any). A key may end in `*` (prefix). For each row the
most specific matching line in effect wins: more keys named first, then exact values over prefixes and longer
prefixes over shorter ones. Two lines that are equally specific and disagree are an error of the table, never a
choice of the program. Codes compare without regard to case and outer blanks.
"""

from collections.abc import Mapping, Sequence

import polars as pl

_EFFECTIVE = ("effective_from", "effective_to")


class CrosswalkTie(ValueError):
    """Two lines of a crosswalk answer the same question equally well and differently."""


def resolve(
    rows: pl.DataFrame,
    table: pl.DataFrame,
    keys: Mapping[str, str],
    effective_on: str,
    *,
    crosswalk: str,
    results: Sequence[str],
    lists: Sequence[str] = (),
) -> pl.DataFrame:
    """The answer of `table` for every row, in the order of `rows`.

    `keys` maps key columns of the table to columns of `rows`; `effective_on` is a date column of `rows`. Keys in
    `lists` hold several codes in one row value (`25,95`): a line matches when any of them does. `table` has the
    key and result columns as text, `effective_from`/`effective_to` (inclusive, blank = open end) and `line`.

    Returns the `results` columns, `line` (null where nothing matched) and `missing` (then: the key in words).
    Raises `CrosswalkTie`. The cost depends on the distinct keys, not on the rows.
    """
    names = list(keys)
    asked_all = rows.select(
        *(code(pl.col(source)).alias(key) for key, source in keys.items()), pl.col(effective_on).alias("_on")
    )
    asked = asked_all.unique(maintain_order=True).with_row_index("_ask")
    lines = _lines(table, names, results)
    best = _best(_matches(asked, lines, names, results, lists), asked, names, results, crosswalk)
    answers = asked.join(best, on="_ask", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("line").is_null()).then(_in_words(names)).alias("missing")
    )
    return asked_all.join(
        answers, on=[*names, "_on"], how="left", nulls_equal=True, maintain_order="left"
    ).select(*results, "line", "missing")


def code(value: pl.Expr) -> pl.Expr:
    """A code as it is compared: no outer blanks, upper case, blank for null."""
    return value.cast(pl.String).fill_null("").str.strip_chars().str.to_uppercase()


def effective_dates(table: pl.DataFrame) -> pl.DataFrame:
    """`table` with `effective_from`/`effective_to` as dates, null where the end is open."""
    return table.with_columns(
        pl.col(name).replace("", None).str.to_date("%Y-%m-%d")
        for name in _EFFECTIVE
        if table.schema[name] == pl.String
    )


def in_effect(on: pl.Expr) -> pl.Expr:
    """True where the line is in effect on the date; an unknown date is covered by nothing."""
    start, end = (pl.col(name) for name in _EFFECTIVE)
    return on.is_not_null() & (start.is_null() | (start <= on)) & (end.is_null() | (on <= end))


def _lines(table: pl.DataFrame, names: Sequence[str], results: Sequence[str]) -> pl.DataFrame:
    """The table ready to join: keys folded, prefix length per key (-1 exact, null any), rank of specificity."""
    lines = effective_dates(table).select(
        *(code(pl.col(name)).alias(name) for name in names), *results, *_EFFECTIVE, "line"
    )
    for name in names:
        value = pl.col(name)
        prefix = value.str.ends_with("*")
        lines = lines.with_columns(
            pl.when(value == "")
            .then(None)
            .when(prefix)
            .then(value.str.len_chars().cast(pl.Int64) - 1)
            .otherwise(-1)
            .alias(f"_{name}"),
            pl.when(prefix).then(value.str.head(-1)).otherwise(value).alias(name),
        )
    patterns = [pl.col(f"_{name}") for name in names]
    # One named key outweighs any prefix length; an exact value outweighs any prefix.
    weight = [pl.when(p == -1).then(1_000).otherwise(p).fill_null(0) for p in patterns]
    named = [p.is_not_null().cast(pl.Int64) for p in patterns]
    return lines.with_columns(
        (pl.sum_horizontal(named) * 1_000_000 + pl.sum_horizontal(weight)).alias("_rank")
    )


def _matches(
    asked: pl.DataFrame,
    lines: pl.DataFrame,
    names: Sequence[str],
    results: Sequence[str],
    lists: Sequence[str],
) -> pl.DataFrame:
    """Every line in effect that matches a question: one join per pattern of named keys."""
    questions = asked
    for name in lists:
        questions = questions.with_columns(pl.col(name).str.split(",").list.eval(code(pl.element())))
        questions = questions.explode(name, empty_as_null=True, keep_nulls=True)
    found = [lines.head(0).select(*results, "line", "_rank").insert_column(0, asked.head(0)["_ask"])]
    for pattern, group in lines.group_by([f"_{name}" for name in names], maintain_order=True):
        used = {name: length for name, length in zip(names, pattern, strict=True) if length is not None}
        left = questions.with_columns(
            pl.col(name).str.head(int(str(length))) for name, length in used.items() if length != -1
        )
        right = group.select(*used, *results, *_EFFECTIVE, "line", "_rank")
        joined = left.join(right, on=list(used)) if used else left.join(right, how="cross")
        found.append(joined.filter(in_effect(pl.col("_on"))).select("_ask", *results, "line", "_rank"))
    return pl.concat(found)


def _best(
    matches: pl.DataFrame, asked: pl.DataFrame, names: Sequence[str], results: Sequence[str], crosswalk: str
) -> pl.DataFrame:
    top = matches.filter(pl.col("_rank") == pl.col("_rank").max().over("_ask")).sort("_ask", "line")
    ties = top.filter(pl.struct(results).n_unique().over("_ask") > 1)
    if ties.height:
        question = ties.select("_ask").head(1)
        words = asked.join(question, on="_ask").select(_in_words(names)).item()
        numbers = ties.join(question, on="_ask")["line"].unique().sort().to_list()
        raise CrosswalkTie(
            f"crosswalk {crosswalk}: lines {' and '.join(map(str, numbers))} answer {words} equally well and "
            "differently; nothing was mapped. Make one of them more specific, or end one of them."
        )
    return top.unique("_ask", keep="first", maintain_order=True).select("_ask", *results, "line")


def _in_words(names: Sequence[str]) -> pl.Expr:
    """`cas_group CO, carc 999 on 2026-09-15`: the named keys of the question; blank keys only if all are."""
    parts = [pl.when(pl.col(n) != "").then(pl.format(f"{n} {{}}", pl.col(n))) for n in names]
    said = pl.concat_str(parts, separator=", ", ignore_nulls=True)
    words = pl.when(said == "").then(pl.lit(f"{', '.join(names)} (blank)")).otherwise(said)
    return pl.format("{} on {}", words, pl.col("_on").cast(pl.String).fill_null("an unknown date"))
