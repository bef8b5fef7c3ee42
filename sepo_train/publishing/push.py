"""Publish a finished policy or oracle on the Hub."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import HubError, RefusedError, SepoError
from sepo_data.publishing.citation import PAPER
from sepo_data.publishing.public_manifest import public_manifest, without_folders
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import MANIFEST, SKIPPED, read_stage
from sepo_train.models.files import ADAPTER
from sepo_train.publishing.model_card import CARD, card_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest

KINDS = frozenset({".safetensors", ".json", ".jsonl", ".jinja", ".model", ".txt", ".png", ".md"})
"""What is published: weights, configurations, the tokenizer, and what tells of the training."""

TEMPLATES = "additional_chat_templates"
CONFIGS = frozenset({ADAPTER, "config.json", "generation_config.json", "tokenizer_config.json"})
WEIGHTS = (".safetensors", ".safetensors.index.json", ADAPTER)


def push(out: Path, repo_id: str, *, private: bool = True, progress: Progress = SILENT) -> str:
    """Publish the finished directory `out` as the model repository `repo_id`, in one commit.

    What is uploaded names no folder of this machine: `sepo.json` and the configurations go with the base names of
    paths, and the card with the name of the repository. Weights that the repository had before are deleted there.

    Args:
        out: what `sepo train` or `sepo oracle` wrote.
        repo_id: USER/NAME, or NAME for the user whose token it is; made where there is none yet.
        private: who may see it; an existing repository is never made public or private.
        progress: told what is uploaded.

    Returns:
        The address of the repository.

    Raises:
        SepoError: `out` is unfinished, or `repo_id` is no name.
        RefusedError: the repository holds something else, or is public while `private` was asked for.
        HubError: there is no token, it does not permit this, or the Hub cannot be reached.
    """
    manifest = read_stage(out, Stage.POLICY, Stage.ORACLE)
    check_push(repo_id)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()  # in a log every update of a bar is a line
    api = HfApi(library_name="sepo")
    with _explained(repo_id):
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        there = api.model_info(repo.repo_id)
    held = {file.rfilename for file in there.siblings or ()}
    if held - {".gitattributes", CARD} and MANIFEST not in held:
        raise RefusedError(f"{repo.repo_id} on the Hub holds something that sepo did not write", "choose another name")
    if private and there.private is False:
        raise RefusedError(f"{repo.repo_id} is on the Hub already, and public", "choose another name, or push publicly")
    files = published_files(out, manifest, repo.repo_id)
    size = sum(len(content) if isinstance(content, bytes) else content.stat().st_size for content in files.values())
    progress.note(f"uploading {len(files)} files, {size / 1e6:,.1f} MB, to {repo.url}")
    old = {name for name in held if name.endswith(WEIGHTS)} - files.keys()
    with _explained(repo_id):
        api.create_commit(
            repo.repo_id,
            [
                *(CommitOperationAdd(name, content) for name, content in files.items()),
                *(CommitOperationDelete(name) for name in sorted(old)),
            ],
            commit_message=f"Upload {manifest.stage} {manifest.fingerprint}",
        )
    return str(repo.url)


def check_push(repo_id: str) -> None:
    """Raise where `push` could not work, before hours are spent on what is to be pushed.

    Raises:
        SepoError, HubError: as in `push`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # it has no __all__

    with _explained(repo_id):
        validate_repo_id(repo_id)
        user = HfApi(library_name="sepo").whoami()
    token = user.get("auth", {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(
            f"the token of {user['name']} may only read from the Hub",
            "log in with `hf auth login` or set HF_TOKEN, with a token that may write",
        )


def published_files(out: Path, manifest: Manifest, repo_id: str) -> dict[str, Path | bytes]:
    """What `push` uploads of `out`: names in the repository, each with a file or, where it goes changed, its bytes."""
    found = [
        *(file for file in out.iterdir() if file.suffix in KINDS and file.name != SKIPPED),  # those may quote the data
        *(out / TEMPLATES).glob("*.jinja"),
    ]
    files: dict[str, Path | bytes] = {
        file.relative_to(out).as_posix(): file
        for file in sorted(found)
        if file.is_file() and not file.name.startswith(".")
    }
    for name in CONFIGS & files.keys():
        files[name] = _public_config(out / name)
    files[CARD] = _card(out, manifest, repo_id).encode()
    files[MANIFEST] = public_manifest(manifest).to_json().encode()
    return files


def _public_config(file: Path) -> bytes:
    """A configuration with the base name of a model that lies on this machine; as it is, where it names none."""
    text = file.read_bytes()
    config = json.loads(text)
    named = {name: without_folders(value) for name, value in config.items() if name.endswith("name_or_path")}
    return text if named.items() <= config.items() else (json.dumps(config | named, indent=2) + "\n").encode()


def _card(out: Path, manifest: Manifest, repo_id: str) -> str:
    """The card in `out` as its author left it; one that nobody touched, under the name of the repository."""
    file = out / CARD
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    # peft puts a card of its own beside an adapter, with the path of the model in it.
    written = PAPER in text and text != card_of(out, manifest, name=out.resolve().name)
    return text if written else card_of(out, manifest, name=repo_id)


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn the ways in which the Hub refuses into one sentence and a hint."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    any_http: type[Exception] = HfHubHTTPError.__mro__[1]  # of httpx or httpx2, whichever the library uses
    found: SepoError
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
        found = SepoError(f"the Hub does not take {repo_id}: {_first_line(error)}", f"look at its {CARD}")
    except (any_http, ConnectionError, TimeoutError, RuntimeError) as error:  # Xet's are RuntimeErrors
        found = HubError(
            f"the Hub cannot be reached: {type(error).__name__}: {_first_line(error)}",
            "check the connection, and push again: what is there already is not uploaded twice",
        )
    else:
        return
    # The cause is cut off: some HTTP errors quote the header with the token.
    raise found from None


def _refusal(repo_id: str, status: int, said: str) -> HubError:
    said = f": {said}" if said else ""
    match status:
        case 401:
            return HubError("the Hub does not know the token", "log in with `hf auth login`, or set HF_TOKEN")
        case 403:
            return HubError(
                f"the token may not write to {repo_id}{said}", "use one that may write there, or choose another name"
            )
        case _:
            return HubError(f"the Hub refuses {repo_id} with status {status}{said}", "push again later")


def _first_line(error: BaseException) -> str:
    """What an error says first, without the token."""
    from huggingface_hub import get_token

    text = (str(error).strip().splitlines() or [""])[0]
    return text.replace(get_token() or "\0", "***")
