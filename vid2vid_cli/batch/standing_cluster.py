"""A Ray cluster that waits for jobs, as the workers of `standing.py` do."""

from __future__ import annotations

import contextlib
import select

from vid2vid_cli.batch.cluster import LOOK_EVERY_S, Cluster, connect, hand_over
from vid2vid_cli.batch.local import Crew
from vid2vid_cli.batch.report import Outcome
from vid2vid_cli.batch.standing import Ended, Standing


class StandingCluster(Standing):
    """Sends jobs with their files to a cluster, as `batch --cluster --ship-inputs` does. It shows no previews."""

    def __init__(self, crew: Crew, ended: Ended, address: str) -> None:
        """Connect; UsageError if no cluster answers there."""
        self._cluster: Cluster = connect(address, crew, ship=True)
        super().__init__(ended)

    def warm_up(self) -> None:
        """Do nothing: the nodes load the model with their first job."""

    def _work(self) -> None:
        cluster, queue = self._cluster, self._queue
        hand_over(queue, cluster)
        if not cluster.tasks:
            select.select([self._wakeup_fd], [], [])
            return
        ended, _ = cluster.ray.wait(list(cluster.tasks), timeout=LOOK_EVERY_S)
        for job in cluster.show():
            queue.has_begun(job)
        for task in ended:
            job, outcome = cluster.collect(task)
            final = queue.give_back(job, outcome, cluster.crew.retry)
            if final is not None:
                self._ended(job, final)
        cluster.forget_files(queue.waiting)

    def _drop(self, index: int) -> None:
        cluster = self._cluster
        for task, job in list(cluster.tasks.items()):
            if job.index == index:
                with contextlib.suppress(Exception):  # a job whose input could not be read has no task
                    cluster.ray.cancel(task, force=False)
                del cluster.tasks[task]
                self._queue.give_back(job, Outcome("cancelled"), 0)
                self._ended(job, Outcome("cancelled"))

    def _end(self) -> None:
        self._cluster.close()
