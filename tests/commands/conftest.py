"""The `sepo` executable as a user runs it, and one run of the whole pipeline that the tests look at."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Sepo = Callable[..., subprocess.CompletedProcess[str]]

SEPO = Path(sys.executable).with_name("sepo")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "preferences.jsonl"
ROWS = 24

TOGETHER = """
import contextlib, io, json, sys
import cli
results = {}
for name, arguments in json.load(sys.stdin).items():
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    sys.argv = ["sepo", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as exit:
            code = exit.code or 0
        out.flush(), err.flush()
    results[name] = [code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()]
print(json.dumps(results))
"""
WORDS = ["Ġgo", "od", ".", "Ġday", "<|im_end|>"]
"""The texts of the token ids 10, 11, ... of `scored`."""
PAIRS = [
    ([0.5, -0.25, 2.0, 1.0, -1.0], [1.0, -3.0]),
    ([0.25], [-0.5, 0.0, -0.5]),
    ([1.0, 1.0, 1.0, 1.0], [4.0, -4.0]),
]
"""The (chosen, rejected) rewards of `scored`."""
OTHER_PAIRS = [
    ([0.5, -0.25, 1.0, 2.0, -1.0], [-3.0, 1.0]),
    ([0.5], [-0.5, 0.0, -1.5]),
    ([1.0, 2.0, 3.0, 4.0], [4.0, -4.0]),
]
"""Those of `scored_otherwise`."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The caller's environment without what steers sepo, colours or progress; the Hub is switched off."""
    steering = ("SEPO_", "HF_", "TQDM_", "PYTHON", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "TERM", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    home = str(tmp_path_factory.mktemp("home"))
    ours = {"HF_HUB_OFFLINE": "1", "HF_HOME": home, "SEPO_CACHE": home, "PYTHONIOENCODING": "utf-8"}
    return kept | ours | {"OMP_NUM_THREADS": "1"}  # for tiny models threads only wait for one another


@pytest.fixture(scope="session")
def sepo(environment: dict[str, str]) -> Sepo:
    """Run `sepo` with these arguments; neither stream is a terminal, so neither may be steered like one."""

    def run(*arguments: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [SEPO, *map(str, arguments)],
            cwd=cwd,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding=more.get("PYTHONIOENCODING", "utf-8"),
            timeout=120,
            check=False,
        )
        for stream in (done.stdout, done.stderr):
            assert "\x1b" not in stream
            assert "\r" not in stream
        return done

    return run


@pytest.fixture(scope="session")
def on_terminal(environment: dict[str, str]) -> Callable[..., tuple[int, str, str]]:
    """Run `sepo` with one of its streams on a terminal: exit code, what that was sent, and what the other one got."""

    def run(stream: str, *arguments: object, cwd: Path | None = None, **more: str) -> tuple[int, str, str]:
        other = {"stdout": "stderr", "stderr": "stdout"}[stream]
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [SEPO, *map(str, arguments)],
            cwd=cwd,
            env=environment | more,
            encoding="utf-8",
            **{stream: theirs, other: subprocess.PIPE},
        ) as process:
            os.close(theirs)
            received = b""
            try:
                while piece := os.read(ours, 4096):
                    received += piece
            except OSError:  # Linux says so when the other end is closed
                pass
            rest = getattr(process, other).read()
        os.close(ours)
        return process.returncode, received.decode(), rest

    return run


@pytest.fixture(scope="session")
def prefs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first rows of the example data; two of them are spoiled."""
    rows = EXAMPLES.read_text(encoding="utf-8").splitlines()[: ROWS - 2]
    rows.insert(3, '{"prompt": [], "chosen": "half a line')
    rows.insert(7, rows[0].replace("Both are lovely choices! ", "").replace('"rejected"', '"other"'))
    file = tmp_path_factory.mktemp("data") / "prefs.jsonl"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, sepo: Sepo, prefs: Path, tiny_model: Path
) -> dict[str, tuple[Path, subprocess.CompletedProcess[str]]]:
    """The four steps, each run once: its directory, and what it answered and told."""
    folder = tmp_path_factory.mktemp("pipeline")
    oracle, rewards, selection, policy = (folder / name for name in ("oracle", "rewards", "selection", "policy"))
    fast = ("--lr", "1e-3", "--batch-size", "8")
    runs = {
        "oracle": (oracle, sepo("oracle", prefs, "--ref", tiny_model, "--fraction", "50%", *fast, "--out", oracle)),
        "score": (rewards, sepo(*score_command(prefs, oracle, tiny_model), "--out", rewards, "--json")),
        "select": (selection, sepo("select", rewards, "--out", selection)),
        "train": (policy, sepo("train", selection, "--policy", tiny_model, "--holdout", "20%", *fast, "--out", policy)),
    }
    for _, done in runs.values():
        assert done.returncode == 0, done.stderr
    return runs


def score_command(prefs: Path, oracle: Path, ref: Path) -> list[str]:
    models = ("--oracle", str(oracle), "--ref", str(ref))
    return ["score", str(prefs), *models, "--keep", "category", "--shard-rows", "2", "--max-skipped", "10%"]


@pytest.fixture(scope="session")
def score_arguments(pipeline: dict[str, tuple[Path, object]], prefs: Path, tiny_model: Path) -> list[str]:
    """The command that wrote the pipeline's rewards, without --out."""
    return score_command(prefs, pipeline["oracle"][0], tiny_model)


@pytest.fixture(scope="session")
def together(environment: dict[str, str]) -> Callable[..., dict[str, tuple[int, str, str]]]:
    """Run several commands in one process, which imports only once: exit code, answer and talk by name."""

    def run(commands: Mapping[str, Sequence[object]], cwd: Path) -> dict[str, tuple[int, str, str]]:
        done = subprocess.run(
            [sys.executable, "-c", TOGETHER],
            input=json.dumps({name: [str(part) for part in command] for name, command in commands.items()}),
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return {name: tuple(result) for name, result in json.loads(done.stdout).items()}

    return run


@pytest.fixture(scope="session")
def texts() -> str:
    """The tokenizer.json of `scored`: " good. day<|im_end|>" is the tokens 10 to 14."""
    from tokenizers import AddedToken, Tokenizer, decoders, models

    vocabulary = {f"x{number}": number for number in range(10)} | {word: 10 + at for at, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="x0"))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(WORDS[-1], special=True, normalized=False)])
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def scored(tmp_path_factory, rewards_of, write_rewards, texts) -> Path:
    """A rewards directory of three pairs in two shards, small enough to work out every answer by hand."""
    folder = tmp_path_factory.mktemp("scored") / "rewards"
    write_rewards(folder, [rewards_of(PAIRS[:2]), rewards_of(PAIRS[2:], first=2)], tokenizer=texts)
    return folder


@pytest.fixture(scope="session")
def scored_otherwise(scored, rewards_of, write_rewards, texts) -> Path:
    """The same pairs as another oracle sees them."""
    folder = scored.with_name("rewards_otherwise")
    write_rewards(folder, [rewards_of(OTHER_PAIRS)], tokenizer=texts)
    return folder


@pytest.fixture(scope="session")
def selected(scored, scored_otherwise, together) -> Path:
    """What `sepo select` makes of `scored`; beside it `half`, half of the chosen tokens of `scored_otherwise`."""
    folder = scored.parent
    commands = {
        "selection": ["select", scored.name, "--out", "selection"],
        "half": ["select", scored_otherwise.name, "--chosen", "50%", "--out", "half"],
    }
    assert [code for code, *_ in together(commands, folder).values()] == [0, 0]
    return folder / "selection"
