"""Score on a Ray cluster: every worker makes the same call of `score`, and they share nothing but the shards."""

from __future__ import annotations

import math
import os
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError, first_line
from sepo_data.schemas.folder import shards_of
from sepo_data.stages.directory import is_complete, read_manifest
from sepo_data.stages.records import finished_shards
from sepo_data.stages.rewards import EQUAL_MODELS
from sepo_data.storage.location import is_remote
from sepo_train.scoring.inherited import DIFFERING
from sepo_train.scoring.model_roles import equal_models_text
from sepo_train.scoring.options import DEFAULTS, ScoringOptions
from sepo_train.scoring.precision import precision_text
from sepo_train.scoring.process_rank import Rank
from sepo_train.scoring.score import score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.preferences.reading import Reading
    from sepo_data.schemas.manifest import Manifest

MAX_RESTARTS = 3
"""Times that Ray restarts a worker that died."""

POLL_SECONDS = 5.0
"""Time between two reports of progress."""


def score_with_ray(
    dataset: str | Reading,
    out: Path,
    *,
    workers: int,
    gpus: float = 0,
    oracle: str,
    ref: str,
    options: ScoringOptions = DEFAULTS,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Run `score` in `workers` processes of the Ray cluster at RAY_ADDRESS, or of one that is started on this machine.

    Each is an actor that loads the models once. Ray restarts one that dies, and it resumes with the pending shards;
    until then the others take them.

    Args:
        dataset: as for `score`; every worker has to find it, the models and `out` by the same names.
        out: a directory that all workers see, or a URL.
        workers: number of processes, each with an equal part of the CPUs of the cluster.
        gpus: GPUs of each worker.
        oracle: model name, as for `score`.
        ref: model name, as for `score`.
        options: as for `score`; the precision check is done by the first worker.
        overwrite: replace another run in `out`; the first worker does so before the others start.
        progress: receives the number of finished shards.

    Raises:
        SepoError: a worker raised it, the workers died more than `MAX_RESTARTS` times, or no node has enough GPUs.
    """
    # Read when Ray is imported; usage statistics would leave the machine.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise SepoError("--backend ray needs Ray, which is not installed", "pip install 'sepo[ray]'") from None
    ours = not ray.is_initialized()
    with redirect_stdout(sys.stderr):  # Ray prints there that a worker died, also when it ends
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
        try:
            return _score(
                ray,
                _Call(dataset, out if is_remote(out) else out.absolute(), oracle, ref, options),
                workers=workers,
                gpus=gpus,
                overwrite=overwrite,
                progress=progress,
            )
        finally:
            if ours:
                ray.shutdown()


def _score(
    ray: Any,  # noqa: ANN401 - the module
    call: _Call,
    *,
    workers: int,
    gpus: float,
    overwrite: bool,
    progress: Progress,
) -> Manifest:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not (able := [node for node in nodes if node.get("GPU", 0) >= gpus]):
        most = max(node.get("GPU", 0) for node in nodes)
        raise SepoError(
            f"a worker needs {gpus:g} GPUs, no node of the Ray cluster has more than {most:g}", "lower --gpus"
        )
    cpus = cpus_of_each([node.get("CPU", 0) for node in able], workers)
    limits = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": MAX_RESTARTS, "max_task_retries": MAX_RESTARTS}
    actor = ray.remote(**limits)(_Worker)
    actors = [actor.remote(str(Path.cwd()), gpus, call) for _ in range(workers)]
    progress.note(f"{workers} Ray workers with {cpus:g} CPUs and {gpus:g} GPUs each")
    out = call.out
    try:
        if overwrite:
            ray.get(actors[0].score.remote(overwrite=True, only_shard=0))
        running = {worker.score.remote(rank=Rank(index, workers)): worker for index, worker in enumerate(actors)}
        first, reported = next(iter(running)), 0
        while running:
            done, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for task in done:
                _outcome(ray, task, progress)
                ray.kill(running.pop(task))  # another one may be waiting for its CPUs and GPUs
            reported = _report(out, reported, progress)
            if first in done and is_complete(out):
                break  # the others have nothing left to do, or never started because CPUs or GPUs are few
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        for worker in actors:
            ray.kill(worker)
    if not is_complete(out):
        raise SepoError(
            "the Ray workers died before the dataset was complete", "run the same command again; it resumes"
        )
    manifest = read_manifest(out)
    _note_results(manifest, call, progress)
    return manifest


def _note_results(manifest: Manifest, call: _Call, progress: Progress) -> None:
    """Note what the workers found, whose own notes are not shown."""
    results = manifest.results
    progress.note(str(results["layout"]))
    if EQUAL_MODELS in results:
        progress.note(equal_models_text(f"{call.oracle} and {call.ref} give the same numbers"))
    if DIFFERING in results:
        progress.note(f"note: the oracle was trained with other options: {results[DIFFERING]}")
    if call.options.check_precision and isinstance(found := results.get("precision"), dict):
        progress.note(precision_text(found))


def cpus_of_each(nodes: Sequence[float], workers: int) -> float:
    """The most CPUs that each of `workers` can have at the same time, on nodes with these numbers of CPUs."""
    for cpus in range(int(sum(nodes) / workers), 0, -1):
        if sum(node // cpus for node in nodes) >= workers:
            return cpus
    # Above one, Ray takes only integers. Any further workers wait for others to end.
    return min(1.0, max(nodes) / math.ceil(workers / len(nodes))) or 1.0


@dataclass(frozen=True, slots=True)
class _Call:
    """The arguments of `score` that all workers share."""

    dataset: str | Reading
    out: Path
    oracle: str
    ref: str
    options: ScoringOptions


class _Worker:
    """One process. It makes one call for all shards, because every call of `score` loads the models again."""

    def __init__(self, folder: str, gpus: float, call: _Call) -> None:
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides GPUs only from workers that ask for some
        with suppress(FileNotFoundError):  # on another machine, where names are absolute or on the Hub
            os.chdir(folder)
        self._call = call

    def score(self, *, rank: Rank | None = None, only_shard: int | None = None, overwrite: bool = False) -> None:
        call = self._call
        score(
            call.dataset,
            call.out,
            oracle=call.oracle,
            ref=call.ref,
            options=call.options,
            only_shard=only_shard,
            rank=rank,
            overwrite=overwrite,
        )


def _outcome(ray: Any, worker: object, progress: Progress) -> None:  # noqa: ANN401 - the module
    """Raise the error of a worker; one that died too often leaves its shards to the others."""
    try:
        ray.get(worker)
    except ray.exceptions.RayActorError as error:
        progress.note(f"a worker died more than {MAX_RESTARTS} times: {first_line(error)}")


def _report(out: Path, reported: int, progress: Progress) -> int:
    """Report the number of finished shards if it is more than `reported`, and return it."""
    finished = is_complete(out)
    shards = read_manifest(out).shards if finished else finished_shards(out)
    if len(shards) <= reported:
        return reported
    progress.step(len(shards), shards_of(shards[0].file), f"{sum(shard.rows for shard in shards):,} pairs")
    return len(shards)
