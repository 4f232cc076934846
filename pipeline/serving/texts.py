"""The texts of a request, in every format that MLflow's scoring protocol has for one text per row.

{"inputs": ["Ein Hund.", ...]}, {"inputs": "Ein Hund."}, {"inputs": {"de": ["Ein Hund.", ...]}}
{"instances": ...}                                          the same
{"dataframe_records": [{"de": "Ein Hund."}, ...]}
{"dataframe_split": {"columns": ["de"], "data": [["Ein Hund."], ...]}}

Columns may have any name, since the model knows none; there must be one.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.errors import InputError

INPUTS, SPLIT = "inputs", "dataframe_split"
FORMATS = (INPUTS, "instances", "dataframe_records", SPLIT)
"""The keys that a request has one of."""
SPLIT_KEYS = ("columns", "index", "data")


def read_texts(key: str, value: Any) -> list[str]:
    """Return the texts in `value`, which a request has under `key`. Raises InputError with the key and what is wrong.

    >>> read_texts("dataframe_split", {"columns": ["de"], "data": [["Ein Hund."], ["Ja."]]})
    ['Ein Hund.', 'Ja.']
    """
    rows = _rows_of_split(value) if key == SPLIT else _rows(key, value)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, str):
            raise InputError(f"{key}: line {number} is {row!r:.40} ({type(row).__name__}), not text")
    return rows


def _rows(key: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = value[_only_column(key, value)]
    if not isinstance(value, list):
        raise InputError(f"{key} must be a list of texts, not {type(value).__name__}")
    columns = dict.fromkeys(name for row in value if isinstance(row, Mapping) for name in row)
    if columns:
        column = _only_column(key, columns)
        return [row.get(column) if isinstance(row, Mapping) else row for row in value]
    return value


def _rows_of_split(value: Any) -> list[Any]:
    if not isinstance(value, Mapping) or "data" not in value:
        raise InputError(f'{SPLIT} must be an object such as {{"columns": ["de"], "data": [["Ein Hund."]]}}')
    for name in value:
        if name not in SPLIT_KEYS:
            raise InputError(f"{SPLIT}.{name:.40}: no such key; there are {', '.join(SPLIT_KEYS)}")
    for name in SPLIT_KEYS:
        if value.get(name) is not None and not isinstance(value[name], list):
            raise InputError(f"{SPLIT}.{name} must be a list, not {type(value[name]).__name__}")
    if value.get("columns"):
        _only_column(f"{SPLIT}.columns", value["columns"])
    rows = []
    for number, row in enumerate(value["data"] or [], start=1):
        if isinstance(row, list) and len(row) != 1:
            raise InputError(f"{SPLIT}.data: row {number} has {len(row)} values; send one per row, the text")
        rows.append(row[0] if isinstance(row, list) else row)
    return rows


def _only_column(key: str, columns: Collection[Any]) -> Any:
    if len(columns) != 1:
        listed = ", ".join(str(name) for name in columns)
        raise InputError(f"{key}: send one column, with the texts, instead of {len(columns)} ({listed:.80})")
    return next(iter(columns))
