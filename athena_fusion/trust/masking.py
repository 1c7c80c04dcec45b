"""Takes credentials out of text before it reaches a log, a message or a screen."""

import logging
import re

MASK = "***"

_LABEL = (
    r"(?:access_?token|refresh_?token|id_?token|client_?secret|client_?assertion|assertion|token|secret|password|"
    r"passwd|pwd|api_?key|apikey|x-api-key|signature|x-amz-signature|x-amz-security-token|x-amz-credential|sig|code)"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Authorization headers, and the schemes wherever they stand
    (re.compile(r"\b(Bearer|Basic)[ \t]+[A-Za-z0-9+/_.~=:-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    # JSON Web Tokens without any label
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
    # user:password@ in addresses
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+@"), f"{MASK}@"),
    # JSON members and Python dictionaries
    (re.compile(rf"""((["']){_LABEL}\2\s*:\s*(["'])).*?(?<!\\)\3""", re.IGNORECASE), rf"\1{MASK}\3"),
    # forms, query strings, key=value
    (re.compile(rf"(\b{_LABEL}=)[^&\s\"',;)]+", re.IGNORECASE), rf"\1{MASK}"),
    # header lines and `label: value`
    (
        re.compile(
            rf"(\b(?:authorization|{_LABEL}):[ \t]*)(?!{re.escape(MASK)})(?!(?:Bearer|Basic) )[^\s,;]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)


def mask(text: str) -> str:
    """`text` with bearer tokens, Basic credentials, client secrets and secret query values replaced by `***`."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class MaskingFilter(logging.Filter):
    """Masks the finished message and the traceback of every record that passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = mask(record.getMessage())
        record.args = None
        if record.exc_info:
            # Later handlers would format the exception again, unmasked: hand them text only.
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = mask(record.exc_text)
        return True


def mask_handlers(logger: logging.Logger) -> None:
    """Put a `MaskingFilter` on every handler of `logger` (a filter on the logger would miss its children)."""
    for handler in logger.handlers:
        if not any(isinstance(existing, MaskingFilter) for existing in handler.filters):
            handler.addFilter(MaskingFilter())
