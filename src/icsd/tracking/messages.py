"""Warnings of tracking: one line each, without credentials."""

import logging
import os
import re
from urllib.parse import unquote

_LONGEST = 500
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST_SECRET = 4  # a shorter one would match, and mask, parts of ordinary words
# Key=value pairs of an address that have secret values.
_SECRET_PAIRS = re.compile(r"(?i)([?&](?:password|passwd|pwd|token|key|secret)=)([^&\s]*)")
_LOGIN = re.compile(r"(?<=://)[^/\s@]*@")


def without_secrets(text: object) -> str:
    """The text, such as an error of MLflow or an address, without the tracking server's credentials."""
    shown = str(text)
    for secret in sorted(_secrets(), key=len, reverse=True):
        shown = shown.replace(secret, "***")
    return _SECRET_PAIRS.sub(r"\1***", _LOGIN.sub("***@", shown))


def _secrets() -> set[str]:
    """The login in the tracking server's address and all passwords, as written and URL-decoded."""
    rest = os.environ.get("MLFLOW_TRACKING_URI", "").partition("://")[2]
    authority = rest.partition("/")[0]
    login = (authority if "@" in authority else rest).rpartition("@")[0]
    queried = [value for _, value in _SECRET_PAIRS.findall(rest)]
    passwords = (login.partition(":")[2], *queried, *map(os.environ.get, _SECRET_VARIABLES))
    written = {login, *(text for text in passwords if text and len(text) >= _SHORTEST_SECRET)}
    return {form for text in written if text for form in (text, unquote(text))}


class _OneLine(logging.Filter):
    """Cuts every record to one line without secrets: MLflow's errors hold addresses, SQL, whole pages."""

    def filter(self, record: logging.LogRecord) -> bool:
        line = " ".join(without_secrets(record.getMessage()).split())
        record.msg = line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
        record.args = ()
        return True


log = logging.getLogger("icsd.tracking")
log.addFilter(_OneLine())
