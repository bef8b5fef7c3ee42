"""The page as one file: the template filled, the style and the script inside, and a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from sepo_data.report.pairs.json_text import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = ("selection.js", "pairs.js", "elements.js", "options.js", "report.js")
"""Modules in the order in which they are joined to one."""

NOTICE = "// The script of sepo report, Apache License 2.0. It is sepo_data/report/page/*.js of sepo, joined.\n"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[a-z]+\.js";\n', re.MULTILINE)


def document(parts: Mapping[str, str], data: Mapping[str, Any]) -> bytes:
    """The page.

    Args:
        parts: HTML of the template's places, by name; texts from data in it are escaped.
        data: that the script reads.
    """
    style, script = _asset("report.css"), script_text()
    # A browser believes this mark before the charset that a server names: the policy's hashes are of UTF-8.
    filled = "\ufeff" + Template(_asset("report.html")).substitute(
        parts,
        ramp="".join(f'<span class="r{step}"></span>' for step in range(21)),
        policy=policy(style, script),
        style=style,
        script=script,
        data=json_text(data),
    )
    return filled.encode("utf-8", "backslashreplace")


def script_text() -> str:
    """The modules as one: what one imports from another is in the same scope."""
    return NOTICE + "".join(_IMPORT.sub("", _asset(name)) for name in SCRIPTS)


def policy(style: str, script: str) -> str:
    """The content security policy of a page with this style and this script: no origin, no `eval`, nothing else."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
