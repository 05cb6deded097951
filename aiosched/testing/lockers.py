"""`LockerConformance`: what every locker that claims must do, as tests to inherit.

    class TestMyLocker(LockerConformance):
        async def connect(self):
            return MyLocker(...)

        async def kill_holder(self, claim):
            ...

It needs pytest with pytest-asyncio, and none of the store's other users.
"""

from __future__ import annotations

import pytest

_PARTS = ("base", "claims", "delivery", "locks", "survival")
pytest.register_assert_rewrite(*(f"aiosched.testing._lockers_{part}" for part in _PARTS))

from aiosched.testing._lockers_claims import ClaimTests  # noqa: E402
from aiosched.testing._lockers_delivery import DeliveryTests  # noqa: E402
from aiosched.testing._lockers_locks import LockTests  # noqa: E402
from aiosched.testing._lockers_survival import SurvivalTests  # noqa: E402


class LockerConformance(LockTests, ClaimTests, DeliveryTests, SurvivalTests):
    """The tests of a locker; a subclass says how to reach its store.

    To give: `connect` and `kill_holder`. To change where the defaults do not fit: `now`, `advance`
    and `patience`. Every test uses keys of its own, so that a store may be kept between tests.
    """
