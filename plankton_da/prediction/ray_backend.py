"""Reading and classifying on many machines: workers are actors of Ray, the books are kept here.

A task is a few batches of consecutive images, its answer their probabilities. The tasks of a worker
that is lost, with its machine or alone, go to another. Parts are written by this process alone, in
the order of the inputs, as they are without Ray.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from plankton_da.errors import DataError, PlanktonDAError, UsageError
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import file_of
from plankton_da.prediction.inputs import Item
from plankton_da.prediction.pipeline import Batch
from plankton_da.prediction.polarity_check import PolarityCheck
from plankton_da.prediction.predictor import available_cores
from plankton_da.prediction.worker import Answer, Job, Worker, shares_of

log = logging.getLogger(__name__)

_BATCHES_A_TASK = 4
_TASKS_A_WORKER = 4
"""handed out at once: one with the model, one being decoded, two that wait for them"""
_TASKS_AHEAD = 3
"""times as many may be unfinished or waiting for an earlier one, so that a slow one stops nobody"""
_SAMPLED_TASKS = 4
_ATTEMPTS = 4
_OUT_OF_SIGHT = ("missing", "permission_denied")
_LOOK_SECONDS = 5.0
_SAY_SECONDS = 30.0
_CLOSE_SECONDS = 5.0


@dataclass(eq=False)
class _Task:
    items: list[Item]
    sample: bool
    attempts: int = 0
    answer: Answer | None = None


@dataclass(eq=False)
class _Hired:
    """A worker and what it has to do."""

    node: str
    host: str
    actor: Any
    opening: Any
    """reference; None once it is ready"""
    tasks: dict[Any, _Task] = field(default_factory=dict)
    """reference to the answer -> task"""


class RayBackend:
    """Workers on every machine of a Ray cluster; in a ``with`` block.

    Without an address (nor ``RAY_ADDRESS``) a cluster of this machine alone is started, and stopped
    at the end. Machines may come and go.

    Raises
    ------
    UsageError
        There is no cluster at the address.
    DataError
        No machine of the cluster can work, workers die again and again, or a machine does not see
        an image that is to be seen here.
    BundleError, ModelError
        The predictor cannot be opened there.
    """

    def __init__(self, job: Job, preprocess: Preprocess, device: str, address: str | None) -> None:
        """``device``: auto, cpu or cuda; auto takes the GPUs where the cluster has any."""
        self.made: dict[str, Any] = {}
        self._job = job
        self._preprocess = preprocess
        self._device = device
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._workers: list[_Hired] = []
        self._failures: Counter[str] = Counter()  # of a node's workers in a row
        self._last_failure = ""
        self._images: Counter[str] = Counter()
        """answered, by machine"""
        self._look_at = 0.0
        self._say_at = time.monotonic() + _SAY_SECONDS

    def __enter__(self) -> RayBackend:
        self._started = not ray.is_initialized()
        if self._started:
            _connect(self._address)
        try:
            self._job_ref = ray.put(self._job)
            if self._device == "auto":
                gpus = any(shares_of(node["Resources"], "cuda") for node in _nodes())
                torch = self._job.options["engine"] in ("auto", "torch")
                self._device = "cuda" if gpus and torch else "cpu"
            while not self._ready():
                self._hire()
                self._wait()
        except BaseException:  # whatever it is, also Ctrl-C: __exit__ is not called then
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def classify(self, items: Iterator[Item]) -> Generator[Batch]:
        """Consecutive items and what became of them, in order."""
        check = PolarityCheck(self._preprocess)
        tasks = self._tasks(items)
        order: deque[_Task] = deque()  # begun and not yielded
        waiting: deque[_Task] = deque()  # begun and with no worker
        more = True
        while more or order:
            self._hire()
            while worker := self._free():
                if not waiting and more and len(order) < self._most_begun():
                    task = next(tasks, None)
                    more = task is not None
                    if task is not None:
                        order.append(task)
                        waiting.append(task)
                if not waiting:
                    break
                self._hand_out(waiting.popleft(), worker)
            if order:
                waiting.extendleft(reversed(self._wait()))
            while order and (answer := order[0].answer) is not None:
                for instrument, pixels in answer.samples:
                    check.see(instrument, pixels[None])
                yield Batch(order.popleft().items, answer.probabilities, answer.errors)
        check.end()
        told = ", ".join(f"{name} {count:,}" for name, count in self._images.most_common())
        log.info("images by machine: %s", told)

    def _tasks(self, items: Iterator[Item]) -> Iterator[_Task]:
        size = _BATCHES_A_TASK * self._job.options["batch_size"]
        number = 0
        while chunk := list(islice(items, size)):
            yield _Task(chunk, sample=number < _SAMPLED_TASKS)
            number += 1

    def _ready(self) -> list[_Hired]:
        return [worker for worker in self._workers if worker.opening is None]

    def _most_begun(self) -> int:
        return _TASKS_AHEAD * _TASKS_A_WORKER * len(self._ready())

    def _free(self) -> _Hired | None:
        least = min(self._ready(), key=lambda worker: len(worker.tasks), default=None)
        return least if least is not None and len(least.tasks) < _TASKS_A_WORKER else None

    def _hand_out(self, task: _Task, worker: _Hired) -> None:
        worker.tasks[worker.actor.classify.remote(task.items, task.sample)] = task

    def _hire(self) -> None:
        """See to it that every machine has its workers."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        for node in _nodes():
            name = node["NodeID"]
            if self._failures[name] >= _ATTEMPTS:
                continue
            there = sum(worker.node == name for worker in self._workers)
            for share in shares_of(node["Resources"], self._device)[there:]:
                actor: Any = (
                    ray.remote(Worker)
                    .options(
                        num_cpus=share.cores,
                        num_gpus=share.gpus,
                        max_concurrency=2,
                        scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False),
                    )
                    .remote(self._job_ref, share.cores, self._device)
                )
                opening = actor.open.remote()
                self._workers.append(_Hired(name, node["NodeManagerHostname"], actor, opening))
        if not self._workers:
            what = "GPU" if self._device == "cuda" else "processor core"
            raise DataError(
                f"the Ray cluster {self._address} has no machine with a {what} where a worker "
                f"lives{self._last_failure}; finished work is kept, the same command continues"
            )

    def _wait(self) -> list[_Task]:
        """Wait for answers, a few seconds at most; the tasks of lost workers."""
        asked = {worker.opening: worker for worker in self._workers if worker.opening is not None}
        for worker in self._workers:
            asked |= dict.fromkeys(worker.tasks, worker)
        self._say_what_is_lacking()
        if not asked:
            return []
        ray.wait(list(asked), num_returns=1, timeout=_LOOK_SECONDS, fetch_local=False)
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0, fetch_local=False)
        lost: list[_Task] = []
        for reference in answered:
            worker = asked[reference]
            if worker not in self._workers:
                continue
            try:
                answer = ray.get(reference)
            except RayTaskError as error:
                if isinstance(error.cause, PlanktonDAError):
                    raise error.cause from None
                raise
            except RayError as error:
                lost += self._lose(worker, error)
                continue
            if reference == worker.opening:
                self._welcome(worker, answer)
            else:
                self._take(worker, worker.tasks.pop(reference), answer)
        return lost

    def _welcome(self, worker: _Hired, made: dict[str, Any]) -> None:
        worker.opening = None
        log.debug("a worker on %s (%s) is ready", worker.host, worker.node[:8])
        if not self.made:
            self.made = {**made, "host": platform.node(), "backend": "ray", "workers": []}
        for name in ("engine", "versions"):
            if made[name] != self.made[name]:
                log.warning(
                    "%s has other %s than the first worker: %s, %s; scores may differ slightly",
                    *(worker.host, name, made[name], self.made[name]),
                )
        # hosts that the rows to come may be from
        hosts = sorted({*self.made["workers"], made["host"]})
        self.made = {**self.made, "workers": hosts}

    def _take(self, worker: _Hired, task: _Task, answer: Answer) -> None:
        self._failures[worker.node] = 0
        for item, error in zip(task.items, answer.errors, strict=True):
            if error.startswith(_OUT_OF_SIGHT) and item.problem is None:
                file = file_of(item.image, self._job.root).path
                if os.access(file, os.R_OK):
                    raise DataError(
                        f"{worker.host} cannot read {file}, which can be read here "
                        f"({error}): each machine of the cluster needs the inputs under the same "
                        f"path; finished work is kept, the same command continues"
                    )
        task.answer = answer
        self._images[f"{worker.host} ({worker.node[:8]})"] += len(task.items)

    def _lose(self, worker: _Hired, error: RayError) -> list[_Task]:
        self._workers.remove(worker)
        ray.kill(worker.actor)
        self._failures[worker.node] += 1
        words = (str(error) or type(error).__name__).splitlines()[0]
        self._last_failure = f" (the last died: {words})"
        tasks = list(worker.tasks.values())
        log.warning(
            "lost a worker on %s (%s); %d images go to another",
            *(worker.host, words, sum(len(task.items) for task in tasks)),
        )
        for task in tasks:
            task.attempts += 1
            if task.attempts == _ATTEMPTS:
                raise DataError(
                    f"{_ATTEMPTS} workers died at the same images ({task.items[0].image} and "
                    f"those after it; the last on {worker.host}: {words}). Most likely memory is "
                    f"short there; finished work is kept, the same command continues"
                )
        self._look_at = 0.0
        return tasks

    def _say_what_is_lacking(self) -> None:
        if self._ready():
            self._say_at = time.monotonic() + _SAY_SECONDS
        elif time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + _SAY_SECONDS
            log.info("waiting for the first worker of Ray (are all cores taken by others?)")

    def _end(self) -> None:
        idle = [worker for worker in self._ready() if not worker.tasks]
        closing = [worker.actor.close.remote() for worker in idle]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []
        if self._started:
            ray.shutdown()


def _nodes() -> list[dict[str, Any]]:
    known: Any = ray  # has types or none, as it is installed or not
    return [node for node in known.nodes() if node["Alive"]]


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        options |= {"num_cpus": available_cores(), "include_dashboard": False}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
        raise UsageError(
            f"--ray-address {address}: no Ray cluster can be used there: {error}"
        ) from error
