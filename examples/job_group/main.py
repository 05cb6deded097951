"""A service of several parts: `aiosched list main:scheduler`, `aiosched run main:scheduler`."""

from __future__ import annotations

import billing
import mail

from aiosched import Scheduler

scheduler = Scheduler()
scheduler.include(billing.jobs, prefix="billing.")
scheduler.include(mail.jobs, prefix="mail.")


if __name__ == "__main__":
    scheduler.run()
