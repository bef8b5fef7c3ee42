"""Everything the stages need, made once: tiny random models, pairs, rewards, a selection, undisturbed outputs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import save_tiny_model, tiny_tokenizer
from tests.fixtures.models import SepoServer
from tests.reliability.faults import counting_names
from tests.reliability.harness import SCORE, SELECT, content, remove

if TYPE_CHECKING:
    from tests.reliability.harness import Stage

IMPORTS = (
    "peft",
    "sepo_data.analysis.query",
    "sepo_data.selection.select",
    "sepo_train.evaluation.evaluate",
    "sepo_train.training.oracle",
    "sepo_train.training.policy",
    "transformers.trainer",
)
STEERING = ("SEPO_", "HF_", "TQDM_", "PYTHON", "RAY_", "FORCE_COLOR", "RANK", "WORLD_SIZE", "LOCAL_RANK")
SWITCHES = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Undisturbed:
    """The output of a stage that nobody disturbed."""

    content: dict[str, object]
    names: int
    """Changes of names on the way."""
    largest: int
    """Bytes of its largest file."""
    disk: int
    """Bytes that its files take on a disk."""
    seconds: float


class Workshop:
    """A folder with the inputs of all stages, and a process from which `sepo` is forked, without its imports' time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tokenizer = tiny_tokenizer()
        self.model = save_tiny_model(folder / "ref", tokenizer, seed=0)
        self.other = save_tiny_model(folder / "oracle", tokenizer, seed=1)
        self.pairs, self.prompts = folder / "pairs.jsonl", folder / "prompts.jsonl"
        self.pairs.write_text("".join(json.dumps(row) + "\n" for row in _pairs()), encoding="utf-8")
        self.prompts.write_text('{"prompt": "Tea?"}\n{"prompt": ["Milk?", "Why?"]}\n', encoding="utf-8")
        (folder / "processes").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
        home = {"HF_HOME": str(folder / "home"), "SEPO_CACHE": str(folder / "cache")}
        self.server = SepoServer(
            kept | dict.fromkeys(SWITCHES, "1") | home, self.model, folder / "processes", imports=IMPORTS
        )
        self.rewards, self.selection = folder / "rewards", folder / "selection"
        for stage, out in ((SCORE, self.rewards), (SELECT, self.selection)):
            self.must(*self.arguments(stage, out))

    def run(self, *arguments: object, before: str = "") -> tuple[int, str, str]:
        """The exit code (negative for a signal), standard output and standard error of `sepo` with these arguments."""
        return self.server.run(*arguments, before=before)

    def place(self, name: str) -> Path:
        """A folder for outputs, all of which have the same name: some files repeat it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def must(self, *arguments: object, before: str = "") -> None:
        code, _, talk = self.run(*arguments, before=before)
        if code:
            raise RuntimeError(f"sepo {' '.join(map(str, arguments))} ended with {code}:\n{talk}")

    def batch(self, tasks: list[list[str]]) -> list[tuple[int, str, str]]:
        """`run` for each task, in as few processes as possible: one more for each task that ends its process."""
        done: list[tuple[int, str, str]] = []
        log, child = self.folder / "tasks", Path(__file__).with_name("batch_child.py")
        while len(done) < len(tasks):
            log.write_text("", encoding="utf-8")
            given = {"TASKS": tasks[len(done) :], "LOG": str(log)}
            before = f"exec(compile(open({str(child)!r}).read(), {str(child)!r}, 'exec'), {given!r})"
            code, _, talk = self.run("--version", before=before)
            done += [tuple(json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]
            if code:
                done.append((code, "", talk))
        return done

    def arguments(self, stage: Stage, out: object, *, resumes: bool = False) -> list[str]:
        return [*stage.command(self), *(stage.resumes_with if resumes else ()), "--out", str(out)]

    @cache  # noqa: B019 - a workshop lives as long as its process
    def undisturbed(self, stage: Stage) -> Undisturbed:
        """What the stage writes when nothing happens."""
        out, log = self.place("undisturbed") / f"out{stage.suffix}", self.folder / "names"
        log.write_bytes(b"")
        began = time.monotonic()
        self.must(*self.arguments(stage, out), before=counting_names(str(out), str(log)))
        seconds = time.monotonic() - began
        sizes = [file.stat().st_size for file in (out.rglob("*") if out.is_dir() else [out]) if file.is_file()]
        blocks = sum(-(-size // 4096) * 4096 for size in sizes)
        found = Undisturbed(content(out), len(log.read_bytes()), max(sizes), blocks, seconds)
        remove(out)
        return found

    def dataset(self, stage: Stage) -> Path:
        """The dataset that one of the stages SCORE and SELECT made here."""
        return self.rewards if stage is SCORE else self.selection

    def stop(self) -> None:
        self.server.stop()


def _pairs() -> list[dict[str, object]]:
    """12 rows, the eighth of which has no answer."""
    drinks = ["tea", "coffee", "milk", "water", "juice"]
    return [
        {
            "prompt": f"Shall I have {drinks[number % 5]} or soup, option {number}?",
            "chosen": f" Take the {drinks[number % 5]}." + " It is a lovely one." * (number % 4),
            "rejected": " Soup." + " No, never." * (number % 5) if number != 7 else None,
        }
        for number in range(12)
    ]
