"""Credentials in text: recognised where a user wrote one down, struck out of whatever is kept or shown.

A study file, a ledger, a log and a report are read by more people than may have a password. So a study file with one is refused,
and texts of other programs (an error of a download, say) are kept without.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

STRUCK = "***"
"""Stands where a credential was."""

LEAST = 8
"""Characters of a variable's value that is struck out; a shorter one would be found everywhere."""

_KINDS: Mapping[str, re.Pattern[str]] = {
    "a password in an address": re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),
    "a token in an address": re.compile(
        r"(?<=[?&])(?:X-Amz-(?:Signature|Credential|Security-Token)|sig|AWSAccessKeyId|access_token|api_?key|token)=[^\s&'\"]{8,}",
        re.IGNORECASE,
    ),
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token": re.compile(
        r"\b(?:gh[opsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|hf_[A-Za-z0-9]{30,}|xox[abp]-[\w-]{20,}|AIza[\w-]{35})"
    ),
    "a token of a request": re.compile(r"(?<=Bearer )[\w.~+/=-]{16,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"),
}
"""What a credential looks like wherever it stands."""

_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:secret|password|passwd|token|credential|api_?key|access_?key|private_?key)s?(?![a-z])", re.IGNORECASE
)

_PLACES = ("_PATH", "_FILE", "_DIR", "_URI", "_URL", "_MODE")
"""How names of variables end that say where a secret is, not what."""


def is_secret_name(name: str) -> bool:
    """Whether what goes by a name, of an option or a variable of the environment, is a secret."""
    return _SECRET_NAME.search(name) is not None and not name.upper().endswith(_PLACES)


def found_in(text: str, name: str = "") -> str | None:
    """What credential a text holds, in words that do not repeat it; None where it holds none.

    Args:
        text: Anything that a user wrote.
        name: What it goes by; of a secret's name every long word without a slash is one.
    """
    for kind, pattern in _KINDS.items():
        if pattern.search(text):
            return kind
    is_one_word = re.fullmatch(r"[^\s/\\]{16,}", text) is not None
    return f"a secret, going by the name '{name}'" if is_one_word and is_secret_name(name) else None


def without(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with every credential struck out: those that look like one, and those that the environment holds.

    Args:
        text: An error, a line of a log.
        environment: Variables; None for those of this process.
    """
    for value in secrets_of(os.environ if environment is None else environment):
        text = text.replace(value, STRUCK)
    for pattern in _KINDS.values():
        text = pattern.sub(STRUCK, text)
    return text


def secrets_of(environment: Mapping[str, str]) -> Iterable[str]:
    """The values of variables that are secrets by their names, the longest first."""
    found = {value for name, value in environment.items() if len(value) >= LEAST and is_secret_name(name)}
    return sorted(found, key=len, reverse=True)
