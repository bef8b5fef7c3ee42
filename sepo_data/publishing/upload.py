"""Upload files to a repository on the Hub in one commit; every refusal becomes one sentence and a hint."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import HubError, RefusedError, SepoError
from sepo_data.schemas.folder import MANIFEST
from sepo_data.storage.hub import out_of_reach, without_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from huggingface_hub import HfApi

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on the Hub: its complete id, its address, and the names of the files it holds."""

    repo_id: str
    url: str
    files: frozenset[str]


def check_upload(repo_id: str) -> None:
    """Raise where an upload to `repo_id` could not work, before hours are spent on the files.

    Raises:
        SepoError: `repo_id` is not a valid name.
        HubError: there is no token, it permits reading alone, or the Hub cannot be reached.
    """
    from huggingface_hub import is_offline_mode
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # it has no __all__

    with hub_errors(repo_id):
        validate_repo_id(repo_id)
        if not is_offline_mode() and (reason := out_of_reach(repo_id, "model")):
            raise HubError(reason, "check the connection, the proxy and HF_ENDPOINT, and push again") from None
        user = _api().whoami()
    token = user.get("auth", {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(
            f"the token of {user['name']} may only read from the Hub",
            "log in with `hf auth login` or set HF_TOKEN, with a token that may write",
        )


def open_repository(repo_id: str, *, private: bool) -> Repository:
    """The model repository `repo_id`, created where it does not exist.

    Args:
        repo_id: USER/NAME, or NAME for the user of the token.
        private: visibility of a new repository; an existing one is never made public or private.

    Raises:
        RefusedError: the repository holds files that sepo did not write, or is public while `private` was asked for.
        HubError: the token does not permit this, or the Hub cannot be reached.
    """
    api = _api()
    with hub_errors(repo_id):
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        present = api.model_info(repo.repo_id)
    files = frozenset(file.rfilename for file in present.siblings or ())
    if files - {".gitattributes", CARD} and MANIFEST not in files:
        raise RefusedError(f"{repo.repo_id} on the Hub holds something that sepo did not write", "choose another name")
    if private and present.private is False:
        raise RefusedError(f"{repo.repo_id} is on the Hub already, and public", "choose another name, or push publicly")
    return Repository(repo.repo_id, str(repo.url), files)


def upload(
    repository: Repository,
    files: Mapping[str, Path | bytes],
    *,
    message: str,
    delete: Iterable[str] = (),
    progress: Progress = SILENT,
) -> None:
    """Commit `files` to the repository, and delete the files called `delete`.

    Args:
        repository: from `open_repository`.
        files: by name in the repository, each a file or its bytes.
        message: title of the commit.
        delete: names in the repository.
        progress: gets the number and size of the files.

    Raises:
        SepoError: the Hub does not accept a file.
        HubError: the token does not permit this, or the Hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    size = sum(len(content) if isinstance(content, bytes) else content.stat().st_size for content in files.values())
    progress.note(f"uploading {len(files)} files, {size / 1e6:,.1f} MB, to {repository.url}")
    with hub_errors(repository.repo_id):
        _api().create_commit(
            repository.repo_id,
            [
                *(CommitOperationAdd(name, content) for name, content in files.items()),
                *(CommitOperationDelete(name) for name in sorted(delete)),
            ],
            commit_message=message,
        )


def _api() -> HfApi:
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()  # in a log every update of a bar is a line
    return HfApi(library_name="sepo")


def http_errors() -> tuple[type[Exception], ...]:
    """The base of the errors of the HTTP library that huggingface_hub uses: httpx2, or httpx in earlier versions."""
    return tuple(import_module(name).HTTPError for name in ("httpx2", "httpx") if find_spec(name))


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn the errors of the Hub and of the connection into one sentence and a hint."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    found: SepoError
    # The errors of Xet are RuntimeErrors.
    no_connection: tuple[type[Exception], ...] = (*http_errors(), ConnectionError, TimeoutError, RuntimeError)
    try:
        yield
    except HFValidationError:
        found = SepoError(f"{repo_id!r} is no name of a repository", "give USER/NAME, of letters, digits, - _ and .")
    except LocalTokenNotFoundError:
        found = HubError(
            "there is no token to push to the Hub with", "log in with `hf auth login`, or set HF_TOKEN, and push again"
        )
    except OfflineModeIsEnabled:
        found = HubError("HF_HUB_OFFLINE is set, so nothing can be pushed", "unset it, and push again")
    except HfHubHTTPError as error:
        found = _refusal(repo_id, error.response.status_code, error.server_message or "")
    except ValueError as error:
        found = SepoError(f"the Hub does not take {repo_id}: {without_token(error)}", f"look at its {CARD}")
    except no_connection as error:
        found = HubError(
            f"the Hub cannot be reached: {type(error).__name__}: {without_token(error)}",
            "check the connection, and push again: files that arrived are not uploaded twice",
        )
    else:
        return
    # The cause is cut off: some HTTP errors quote the header with the token.
    raise found from None


def _refusal(repo_id: str, status: int, reason: str) -> HubError:
    reason = f": {reason}" if reason else ""
    match status:
        case 401:
            return HubError("the Hub rejected the token", "log in with `hf auth login`, or set HF_TOKEN")
        case 403:
            return HubError(
                f"the token may not write to {repo_id}{reason}", "use one that may write there, or choose another name"
            )
        case _:
            return HubError(f"the Hub refuses {repo_id} with status {status}{reason}", "push again later")
