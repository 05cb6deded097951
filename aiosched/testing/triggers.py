"""`TriggerConformance`: what every trigger must do, as tests to inherit.

    class TestMyTrigger(TriggerConformance):
        def make(self):
            return MyTrigger(...)

It needs pytest.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("aiosched.testing._triggers")

from aiosched.testing._triggers import TriggerConformance  # noqa: E402

__all__ = ["TriggerConformance"]
