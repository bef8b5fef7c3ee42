"""The directories of the report and what made them, as cards of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.report.caption import model_name, plain, rule_text
from sepo_data.report.page.markup import definitions, escaped
from sepo_data.schemas.folder import COMMANDS
from sepo_data.schemas.stages import SIDES
from sepo_data.storage.location import public_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sepo_data.report.source import Source

PARTS = ("prompt", *SIDES)
ROLES = {"oracle": "oracle", "ref": "reference model"}


def directory_html(source: Source) -> str:
    """The card of a directory."""
    unfinished = (
        ""
        if source.complete
        else f'<p class="warning">Unfinished: {source.manifest.rows:,} pairs so far. The same '
        f"<code>sepo {COMMANDS[source.manifest.stage]}</code> resumes it.</p>"
    )
    return (
        f'<article class="card"><h3>{escaped(source.name)} <span class="stage">{escaped(source.manifest.stage)} '
        f"{source.manifest.fingerprint}</span></h3>{unfinished}{definitions(_facts(source))}</article>"
    )


def _facts(source: Source) -> Iterator[tuple[str, str]]:
    manifest = source.manifest
    made_from = manifest.input
    yield "made from", plain(_end(made_from.name)) + (f", split {plain(made_from.split)}" if made_from.split else "")
    for role, record in manifest.models.items():
        yield ROLES.get(role, plain(role)), f"{model_name(record)}, {record.parameters:,} parameters"
    if source.is_selection:
        yield "rule", rule_text(manifest)
    elif (beta := manifest.options.get("beta")) is not None:
        yield "beta", str(beta)
    if manifest.tokenizer:
        yield "tokenizer", f"{plain(_end(manifest.tokenizer.name))}, {manifest.tokenizer.vocabulary:,} tokens"
    yield "pairs", f"{manifest.rows:,}"
    tokens = manifest.total("tokens")
    yield "tokens", _counts({part: tokens[part] for part in sorted(tokens, key=_reading_place)})
    yield "skipped", _counts(manifest.total("skipped"))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{plain(name).replace('_', ' ')} {count:,}" for name, count in counts.items()) or "none"


def _reading_place(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _end(name: str) -> str:
    """The id of the Hub, or the last part of a path: a report is passed around."""
    if "://" in name:
        return public_name(name)
    parts = name.replace("\\", "/").rstrip("/").split("/")
    return name if len(parts) <= 2 and not name.startswith((".", "/")) else parts[-1]  # noqa: PLR2004 - owner/name
