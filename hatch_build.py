"""Build hook: a wheel carries cli.py inside `sepo_train`, for a module `cli` at the top would be everybody's."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface[Any]):
    """Place cli.py in a wheel; an editable install finds it at the top of the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"]["cli.py"] = "sepo_train/cli.py"
