"""What pydantic finds wrong, in sentences that hold nothing of what was sent."""

from typing import Any

OBJECT = "This is an object."
LIST = "This is a list."
NO_FIELD = "There is no such field here."
DATE = "This is a date, such as 2026-11-01."
TIME = "This is a time with its zone, such as 2026-11-01T00:00:00Z."
WHOLE = "This is a whole number."
# Only these of the validator's own messages, and those of this project, are known to hold nothing that was sent.
SENTENCES = {
    "missing": "This is required.",
    "extra_forbidden": NO_FIELD,
    "unexpected_keyword_argument": NO_FIELD,
    "string_type": "This is text.",
    "string_unicode": "Text has no lone surrogates.",
    "string_too_short": "This has {min_length} characters at least.",
    "string_too_long": "This has {max_length} characters at most.",
    "string_pattern_mismatch": "This has the form {pattern}",
    "bool_type": "This is true or false.",
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "float_parsing": "This is a number.",
    "date_type": DATE,
    "date_parsing": DATE,
    "datetime_type": TIME,
    "datetime_parsing": TIME,
    "list_type": LIST,
    "tuple_type": LIST,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "dataclass_type": OBJECT,
    "too_short": "This has {min_length} items at least.",
    "too_long": "This has {max_length} items at most.",
    "literal_error": "This is {expected}.",
    "union_tag_invalid": "{discriminator} is one of {expected_tags}.",
    "union_tag_not_found": "{discriminator} is required.",
    "greater_than_equal": "This is {ge} at least.",
    "less_than_equal": "This is {le} at most.",
}


def sentence(error: dict[str, Any]) -> str:
    """What is wrong, and so how to mend it."""
    kind = error["type"]
    if "-" in kind:  # one of this project's own, whose messages are fixed
        return str(error["msg"])
    return SENTENCES.get(kind, "This is not what is taken here.").format_map(error.get("ctx", {}))
