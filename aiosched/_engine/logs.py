"""What the log says of runs that did not succeed, and of promises that nobody keeps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiosched.model import Run, Status
from aiosched.protocols import ClaimingLocker

if TYPE_CHECKING:
    from aiosched._engine.record import JobRecord

log = logging.getLogger("aiosched")

# What a service may want to know of without being asked; the rest is everyday life in a fleet.
_LEVELS: Final = {
    "misfire": logging.WARNING,
    "job_limit": logging.INFO,
    "scheduler_limit": logging.INFO,
}


def tell_failure(run: Run) -> None:
    """Tell of a run that failed or timed out."""
    error, extra = run._error, _extra(run)
    if run._status is Status.TIMED_OUT:
        log.error("job %s timed out: %s", run.job.name, error, extra=extra)
    elif run._status is Status.FAILED:
        log.error("job %s failed: %r", run.job.name, error, exc_info=error, extra=extra)


def tell_refusal(run: Run) -> None:
    """Tell of a run that was refused or missed."""
    refusal = run._refusal
    if refusal is None:
        return
    level = _LEVELS.get(refusal.gate, logging.DEBUG)
    if log.isEnabledFor(level):
        why = (refusal.gate, refusal.reason)
        log.log(level, "%s was %s: %s, %s", run.id, run._status, *why, extra=_extra(run))


def tell_attempt(run: Run, attempts: int, error: BaseException) -> None:
    """Tell of an attempt that failed, after which there will be another one."""
    log.info(
        "job %s failed in attempt %d of %d: %r",
        run.job.name,
        run.attempt,
        attempts,
        error,
        extra=_extra(run),
    )


def tell_vain_promises(job: JobRecord) -> None:
    """Tell of options that do nothing without a locker that claims."""
    spec = job._spec
    if spec.delivery == "at_most_once" and spec.catch_up == "none":
        return
    if isinstance(spec.locker, ClaimingLocker):
        return
    promised = ["delivery"] if spec.delivery != "at_most_once" else []
    promised += ["catch_up"] if spec.catch_up != "none" else []
    log.warning(
        "job %s: %s needs a locker that claims, and does nothing without",
        job.name,
        " and ".join(f"{name}={getattr(spec, name)!r}" for name in promised),
        extra={"aiosched_job": job.name},
    )


def _extra(run: Run) -> dict[str, str]:
    return {"aiosched_job": run.job.name, "aiosched_run": run.id}
