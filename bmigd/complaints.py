"""What is wrong with the fields of a file or a message, in the words of whoever wrote it. Pure.

Rule: a field is named by its path, and nobody reads the name of a type in our code.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

# Of storages and networks, which the configuration has and guests' descriptions name.
LABEL = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$"
LABEL_FORM = "letters, digits, dots and hyphens, at most 63, with a letter or digit at either end"
MOST = 8
OF_A_KEY = "[key]"  # how pydantic ends the path of a key
A_LIST, A_TABLE, WHOLE = "must be a list", "must be a table", "must be a whole number"
A_NUMBER, YES_OR_NO = "must be a number", "must be true or false"
WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "is missing",
    "string_type": "must be a text",
    "path_type": "must be a path",
    "tuple_type": A_LIST,
    "list_type": A_LIST,
    "dict_type": A_TABLE,
    "model_type": A_TABLE,
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_from_float": WHOLE,
    "float_type": A_NUMBER,
    "float_parsing": A_NUMBER,
    "finite_number": A_NUMBER,
    "bool_type": YES_OR_NO,
    "bool_parsing": YES_OR_NO,
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "greater_than": "must be more than {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "too_short": "must have at least {min_length} of them",
    "too_long": "must have at most {max_length} of them",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be {expected}",
}


def complaints(error: ValidationError, whole: str, forms: Mapping[str, str]) -> str:
    """Each with the path of its field, or `whole` for all of it; `forms` are words for patterns.

    Members of lists are counted from 1. Of more than eight complaints the rest is counted.
    """
    found = error.errors(include_url=False, include_input=False)
    told = [f"{_path(one['loc']) or whole}: {_words(forms, one)}" for one in found[:MOST]]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return "; ".join([*told, *more])


def _path(parts: tuple[int | str, ...]) -> str:
    if parts[-1:] == (OF_A_KEY,):
        *table, name = parts[:-1]
        return f'{_path(tuple(table))}: the name "{name}"'
    return ".".join(f"#{part + 1}" if isinstance(part, int) else part for part in parts)


def _words(forms: Mapping[str, str], one: Mapping[str, Any]) -> str:
    if one["type"] == "string_pattern_mismatch":
        return f"must be {forms[one['ctx']['pattern']]}"
    if known := WORDS.get(one["type"]):
        return known.format_map(one.get("ctx", {}))
    message: str = one["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
