"""The Hugging Face Hub: whether it answers, and its refusals, in one sentence and a hint each."""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from sepo_data.errors import HubError, causes, first_line

if TYPE_CHECKING:
    Kind = Literal["model", "dataset"]

ANSWER_SECONDS = 4.0
"""Time that the Hub has for its first answer. The libraries would wait and repeat for minutes."""

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
NO_NETWORK = "check the connection, the proxy and HF_ENDPOINT, or name a local copy"

_SERVER_ERROR = 500
_TOO_MANY = 429


@cache
def out_of_reach(repository: str, kind: Kind) -> str:
    """Ask the Hub for `repository` once; the reason where it cannot answer, else "".

    The libraries then read from their caches alone, until the process ends.
    """
    from huggingface_hub import constants

    if not HUB_ID.fullmatch(repository) or repository.endswith(".gguf"):
        return ""
    if constants.is_offline_mode():
        return _offline_reason()
    failed: list[BaseException | int] = []
    asking = threading.Thread(target=_ask, args=(f"{constants.ENDPOINT}/api/{kind}s/{repository}", failed), daemon=True)
    asking.start()  # a resolver has no time limit
    asking.join(_answer_seconds() + 0.5)
    if asking.is_alive():
        failed.append(TimeoutError())
    if not failed:
        return ""
    outcome = failed[0]
    reason = _no_answer(outcome) if isinstance(outcome, BaseException) else _bad_answer(outcome)
    if reason:
        _read_caches_alone()
    return reason


def reach_model(name: str) -> str:
    """The reason where the Hub cannot answer, and the model `name` is read from the cache alone; else "".

    Asked before torch is imported, the answer is there in a few seconds.

    Raises:
        HubError: the cache does not have it, either.
    """
    if Path(name).exists() or not (reason := out_of_reach(name, "model")):
        return ""
    from huggingface_hub import try_to_load_from_cache

    if not any(isinstance(try_to_load_from_cache(name, file), str) for file in _MODEL_FILES):
        explained = not_cached(reason, name)
        raise HubError(f"{name} is no local folder, and {explained}", explained.hint)
    return f"{reason}; {name} is read from its cache"


def reach_files(path: str) -> None:
    """Raise where the Hub cannot answer, and `path`, hf://..., is on it."""
    parts = path.partition("://")[2].split("/")
    kind: Kind = "dataset" if parts[0] == "datasets" else "model"
    repository = "/".join(parts[kind == "dataset" :][:2]).partition("@")[0]
    if reason := out_of_reach(repository, kind):
        raise HubError(f"{path}: {reason}", _hint(reason))


def not_cached(reason: str, repository: str) -> HubError:
    """The error for a repository that the cache of the libraries does not have, either."""
    return HubError(f"{reason}; the cache on this machine does not have {repository}", _hint(reason))


def explain(error: BaseException, repository: str, kind: Kind) -> HubError | None:
    """The meaning of an error of the libraries for `repository` on the Hub; None if it has none."""
    chain = list(causes(error))
    names = {parent.__name__ for cause in chain for parent in type(cause).__mro__}
    status = next((code for code in map(_status, chain) if code), None)
    if names & {"LocalEntryNotFoundError", "OfflineModeIsEnabled"} and (reason := out_of_reach(repository, kind)):
        return not_cached(reason, repository)
    if "GatedRepoError" in names:
        return HubError(f"the {kind} {repository} is gated", f"ask for access on its page, then {LOG_IN}")
    if status in {401, 403} and "RepositoryNotFoundError" not in names:
        return HubError(f"the Hub refuses {repository} with status {status}: the token is not accepted", LOG_IN)
    if status is not None and (reason := _bad_answer(status)):
        return HubError(reason, "try again later, or name a local copy")
    if status is None and names & _NETWORK:
        return HubError(_no_answer(error), NO_NETWORK)
    return None


_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_MODEL_FILES = ("config.json", "adapter_config.json", "tokenizer.json")
_NETWORK = {
    *("TransportError", "RequestException", "ClientConnectionError"),
    *("ConnectionError", "TimeoutError", "gaierror"),
}
"""Base classes of the errors of the network, in the libraries for HTTP and below them."""


def _answer_seconds() -> float:
    return float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or ANSWER_SECONDS)


def _ask(url: str, failed: list[BaseException | int]) -> None:
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # it has no __all__

    try:
        status = get_session().head(url, headers=build_hf_headers(), timeout=_answer_seconds()).status_code
        if status >= _SERVER_ERROR or status == _TOO_MANY:
            failed.append(status)
    except Exception as error:  # noqa: BLE001 - whatever the HTTP library raises
        failed.append(error)


def _read_caches_alone() -> None:
    """Turn on the offline mode of the libraries, of those as well that are imported later."""
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True
    if (datasets := sys.modules.get("datasets")) is not None:
        datasets.config.HF_HUB_OFFLINE = datasets.config.HF_DATASETS_OFFLINE = True


def _offline_reason() -> str:
    switch = next((name for name in _OFFLINE if os.environ.get(name)), _OFFLINE[0])
    return f"{switch} is set, so the Hub is not asked"


def _hint(reason: str) -> str:
    switch = reason.partition(" ")[0]
    return f"unset {switch}, or name a local copy" if switch in _OFFLINE else NO_NETWORK


def _bad_answer(status: int) -> str:
    if status == _TOO_MANY:
        return "the Hub has had too many requests from here (status 429)"
    return f"the Hub is out of order (status {status})" if status >= _SERVER_ERROR else ""


def _no_answer(error: BaseException) -> str:
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).netloc
    chain = list(causes(error))
    names = {parent.__name__ for cause in chain for parent in type(cause).__mro__}
    text = " ".join(map(str, chain))
    if any(isinstance(cause, socket.gaierror) for cause in chain) or "ame resolution" in text or "not known" in text:
        what = f"no address was found for {host}; there is no network or no DNS"
    elif "ProxyError" in names:
        what = f"the proxy does not let through to {host}: {without_token(error)}"
    elif any(isinstance(cause, ssl.SSLError) for cause in chain) or "SSL" in text:
        what = f"no secure connection to {host}: {without_token(error)}"
    elif names & {"TimeoutError", "TimeoutException", "Timeout"}:
        what = f"{host} does not answer; HF_HUB_ETAG_TIMEOUT=30 waits longer"
    elif "refused" in text:
        what = f"{host} refuses the connection"
    else:
        what = f"{host}: {type(error).__name__}: {without_token(error)}"
    return f"the Hub cannot be reached: {what}"


def _status(error: BaseException) -> int | None:
    code = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    return code if isinstance(code, int) else None


def without_token(error: BaseException) -> str:
    """The first line of an error's message, without the token of the Hub."""
    from huggingface_hub import get_token

    return first_line(error).replace(get_token() or "\0", "***")
