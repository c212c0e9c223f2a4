"""What an object store answered, in our words: what went wrong, where, and what to do about it."""

from __future__ import annotations

import os
import re

from sweeper.errors import StorageError
from sweeper.storage.stores import Kind

_NO_CONTAINER = ("NoSuchBucket", "ContainerNotFound")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AuthenticationFailed")
_METADATA = r"169\.254\.169\.254|metadata\.google"
_CAUSES = {
    "dns error": "there is no such host",
    "TimedOut": "it took too long",
    "InvalidCertificate": "its certificate is not trusted",
}


class UnansweredError(StorageError):
    """No answer came to a request that may have been carried out."""


def is_about_a_file(text: str) -> bool:
    """Whether it says that there is no such file, in a bucket that there is."""
    return text.startswith("Object at location") and " not found" in text and _code(text) not in _NO_CONTAINER


def is_refusal(text: str) -> bool:
    """Whether whoever asked may not ask that."""
    first = text.partition("\n\nDebug source")[0]
    return _code(first) in _REFUSED or re.search("status code: 40[13]", first) is not None


def explained(text: str, where: str, container: str, kind: Kind, endpoint: str | None) -> StorageError:
    """The error for an answer.

    Args:
        text: What `obstore` says: a line, and below it the error in full.
        where: The place that the request was for.
        container: Its bucket.
        kind: Its kind of store.
        endpoint: The store's address, None for the kind's own.
    """
    at = f"at {endpoint}" if endpoint else f"at {kind.name} (for another store set {kind.endpoints[-1]})"
    first, _, full = text.partition("\n\nDebug source")
    status = re.search(r"status code: (\d+)", first)
    code = _code(first)
    if code in _NO_CONTAINER:
        return StorageError(f"{where}: there is no {kind.container} '{container}' {at}. Create it, or name another one.")
    if re.search(_METADATA, first):
        return StorageError(f"{where}: there are no credentials, and this machine has no role of its own. {kind.give}")
    if is_refusal(first):
        key = f"the key in {kind.key}" if os.environ.get(kind.key) else f"{kind.key} is not set; what else this machine gives"
        return StorageError(f"{where}: access was refused {at}. Tried: {key}. {kind.give}")
    if code == "AuthorizationHeaderMalformed" or (status and status[1] == "301") or "redirect without LOCATION" in first:
        return StorageError(
            f"{where}: the {kind.container} is in another region than the one asked {at}. Set AWS_DEFAULT_REGION to the bucket's."
        )
    if status is None and "HTTP error" in first:
        cause = re.search(r'message: "([^"]*)"', full)
        said = cause[1] if cause else next((ours for word, ours in _CAUSES.items() if word in full), "the connection broke")
        kind_of_error = StorageError if "kind: Connect" in full else UnansweredError
        return kind_of_error(
            f"{where}: no answer {at}: {said}. Check {kind.endpoints[-1]} and the network, then run the command again."
        )
    return StorageError(
        f"{where}: {_detail(first)} {at}. Check {kind.endpoints[-1]} and the settings of the {kind.container}, then run the "
        "command again."
    )


def _code(text: str) -> str:
    found = re.search(r"<Code>(\w+)</Code>", text)
    return found[1] if found else ""


def _detail(text: str) -> str:
    """What was asked and what came, without what an address may hold: with Azure the rights to the store."""
    method = re.search(r"Error performing ([A-Z]+)\b", text)
    said = re.search(r"<Message>([^<]*)</Message>", text)
    code = _code(text)
    if code:
        came = code + (f": {said[1]}" if said and said[1] else "")
    else:
        came = re.sub(r"https?://\S+", "", text.partition("status code: ")[2] or text)
    came = " ".join(came.split())[:200].rstrip(".")
    return f"{method[1]} failed with {came}" if method else f"a request failed with {came}"
