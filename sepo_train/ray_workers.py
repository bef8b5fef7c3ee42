"""Scoring on a Ray cluster: every worker makes the same call, and the shards they take are all they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.errors import SepoError
from sepo_data.directory import finished_shards, is_finished, read_manifest
from sepo_data.progress import SILENT, Progress
from sepo_train.ranks import Rank
from sepo_train.score import score

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.manifest import Manifest

RETRIES = 3
"""How often Ray starts a worker again that died."""

POLL = 5.0
"""Seconds between two looks at how far the workers are."""


def score_with_ray(
    dataset: str,
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
        check_precision: as for `score`; done by one worker at the end.
        progress: told how far the workers are.
        options: everything else that `score` takes.

    Raises:
        SepoError: what a worker raised, or the workers died again and again.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise SepoError("--engine ray needs Ray, which is not installed", "pip install 'sepo[ray]'") from None
    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)) // workers)
    limits: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": RETRIES, "max_task_retries": RETRIES}
    actor = ray.remote(**limits)(_Worker)
    crew = [actor.remote(dataset, out, options) for _ in range(workers)]
    progress.note(f"{workers} Ray workers with {cpus} CPUs and {gpus:g} GPUs each")
    try:
        if overwrite:
            ray.get(crew[0].score.remote(overwrite=True, only_shard=0))
        running = [worker.score.remote(rank=Rank(index, workers)) for index, worker in enumerate(crew)]
        while running:
            done, running = ray.wait(running, timeout=POLL)
            for worker in done:
                _outcome(ray, worker, progress)
            _tell(out, progress)
        if not is_finished(out):
            raise SepoError(
                "the Ray workers died before the dataset was whole", "run the same command again; it goes on"
            )
        if check_precision:
            ray.get(crew[0].score.remote(check_precision=check_precision))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        for worker in crew:
            ray.kill(worker)
    return read_manifest(out)


class _Worker:
    """One process; as `score` loads the models anew in every call, it is called once for all shards."""

    def __init__(self, dataset: str, out: Path, options: dict[str, Any]) -> None:
        self._dataset, self._out, self._options = dataset, out, options

    def score(self, **changed: Any) -> None:  # noqa: ANN401 - as above
        score(self._dataset, self._out, **self._options, **changed)


def _outcome(ray: Any, worker: object, progress: Progress) -> None:  # noqa: ANN401 - the module
    """Raise what a worker raised; one that died for good leaves its shards to the others."""
    try:
        ray.get(worker)
    except ray.exceptions.RayActorError as error:
        progress.note(f"a worker died more than {RETRIES} times: {str(error).splitlines()[0]}")


def _tell(out: Path, progress: Progress) -> None:
    if not is_finished(out) and (shards := finished_shards(out)):
        total = int(shards[0].file.split("-of-")[1].split(".")[0])
        progress.step(len(shards), total, f"{sum(shard.rows for shard in shards):,} pairs")
