"""Scoring on a Ray cluster: every worker makes the same call, and the shards they take are all they share."""

from __future__ import annotations

import math
import os
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.stages.directory import finished_shards, is_finished, read_manifest, shards_of
from sepo_data.storage.location import is_remote
from sepo_train.scoring.precision import precision_text
from sepo_train.scoring.ranks import Rank
from sepo_train.scoring.score import score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.preferences.reading import Reading
    from sepo_data.schemas.manifest import Manifest

RETRIES = 3
"""How often Ray starts a worker again that died."""

POLL = 5.0
"""Seconds between two looks at how far the workers are."""


def score_with_ray(
    dataset: str | Reading,
    out: Path,
    *,
    workers: int,
    gpus: float = 0,
    overwrite: bool = False,
    check_precision: int = 0,
    progress: Progress = SILENT,
    **options: Any,  # noqa: ANN401 - handed on to `score`, which has their names and types
) -> Manifest:
    """`score` by `workers` processes of the Ray cluster at RAY_ADDRESS, or of one that is started on this machine.

    Each is an actor that loads the models once. One that dies is started again by Ray and goes on with the shards that
    are missing; until then the others take them.

    Args:
        dataset: as for `score`; every worker has to find it, the models and `out` under the same names.
        out: a directory that all workers see, or a URL.
        workers: how many, each with an equal part of the cluster's CPUs.
        gpus: of each worker.
        overwrite: replace another run in `out`; the first worker does so before the others start.
        check_precision: as for `score`; done by the first worker.
        progress: told how far the workers are.
        options: everything else that `score` takes.

    Raises:
        SepoError: what a worker raised, the workers died again and again, or no node has so many GPUs.
    """
    # Read when Ray is imported; who scores what concerns nobody else.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise SepoError("--engine ray needs Ray, which is not installed", "pip install 'sepo[ray]'") from None
    ours = not ray.is_initialized()
    with redirect_stdout(sys.stderr):  # Ray tells there that a worker died, also when it ends
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
        try:
            return _score(
                ray,
                [dataset, out if is_remote(out) else out.absolute(), options],
                workers=workers,
                gpus=gpus,
                overwrite=overwrite,
                check_precision=check_precision,
                progress=progress,
            )
        finally:
            if ours:
                ray.shutdown()


def _score(
    ray: Any,  # noqa: ANN401 - the module
    call: list[Any],
    *,
    workers: int,
    gpus: float,
    overwrite: bool,
    check_precision: int,
    progress: Progress,
) -> Manifest:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not (able := [node for node in nodes if node.get("GPU", 0) >= gpus]):
        most = max(node.get("GPU", 0) for node in nodes)
        raise SepoError(
            f"a worker wants {gpus:g} GPUs, no node of the Ray cluster has more than {most:g}", "lower --gpus"
        )
    cpus = cpus_of_each([node.get("CPU", 0) for node in able], workers)
    limits = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": RETRIES, "max_task_retries": RETRIES}
    actor = ray.remote(**limits)(_Worker)
    crew = [actor.remote(str(Path.cwd()), gpus, *call) for _ in range(workers)]
    progress.note(f"{workers} Ray workers with {cpus:g} CPUs and {gpus:g} GPUs each")
    out = call[1]
    try:
        if overwrite:
            ray.get(crew[0].score.remote(overwrite=True, only_shard=0))
        at_work = {
            worker.score.remote(rank=Rank(index, workers), check_precision=0 if index else check_precision): worker
            for index, worker in enumerate(crew)
        }
        first, told = next(iter(at_work)), 0
        while at_work:
            done, _ = ray.wait(list(at_work), timeout=POLL)
            for task in done:
                _outcome(ray, task, progress)
                ray.kill(at_work.pop(task))  # its CPUs and GPUs may be what another one waits for
            told = _tell(out, told, progress)
            if first in done and is_finished(out):
                break  # the others have nothing left to do, or were never started where CPUs or GPUs are few
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        for worker in crew:
            ray.kill(worker)
    if not is_finished(out):
        raise SepoError("the Ray workers died before the dataset was whole", "run the same command again; it goes on")
    manifest = read_manifest(out)
    progress.note(str(manifest.results["path"]))  # what workers say themselves is not heard here
    if check_precision and isinstance(found := manifest.results.get("precision"), dict):
        progress.note(precision_text(found))
    return manifest


def cpus_of_each(nodes: Sequence[float], workers: int) -> float:
    """The most CPUs that each of `workers` can have at the same time, on nodes with so many."""
    for cpus in range(int(sum(nodes) / workers), 0, -1):
        if sum(node // cpus for node in nodes) >= workers:
            return cpus
    # Above one, Ray knows only whole CPUs. More workers than this wait for others to end.
    return min(1.0, max(nodes) / math.ceil(workers / len(nodes))) or 1.0


class _Worker:
    """One process; as `score` loads the models anew in every call, it is called once for all shards."""

    def __init__(self, folder: str, gpus: float, dataset: str | Reading, out: Path, options: dict[str, Any]) -> None:
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides GPUs only from those that ask for some
        with suppress(FileNotFoundError):  # on another machine, where names are absolute or of the Hub
            os.chdir(folder)
        self._dataset, self._out, self._options = dataset, out, options

    def score(self, **changed: Any) -> None:  # noqa: ANN401 - as above
        score(self._dataset, self._out, **self._options, **changed)


def _outcome(ray: Any, worker: object, progress: Progress) -> None:  # noqa: ANN401 - the module
    """Raise what a worker raised; one that died for good leaves its shards to the others."""
    try:
        ray.get(worker)
    except ray.exceptions.RayActorError as error:
        progress.note(f"a worker died more than {RETRIES} times: {str(error).splitlines()[0]}")


def _tell(out: Path, told: int, progress: Progress) -> int:
    """Tell how many shards there are, where they are more than `told`; returns that number."""
    finished = is_finished(out)
    shards = read_manifest(out).shards if finished else finished_shards(out)
    if len(shards) <= told:
        return told
    progress.step(len(shards), shards_of(shards[0].file), f"{sum(shard.rows for shard in shards):,} pairs")
    return len(shards)
