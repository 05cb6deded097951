"""The pytest plugin, tried on test modules of its own."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

INSTALLED = any(point.name == "aiosched" for point in entry_points(group="pytest11"))
OPTIONS = (
    "-pno:cacheprovider",
    "-Werror",
    "-oasyncio_mode=auto",
    "-oasyncio_default_fixture_loop_scope=function",
    "--strict-markers",
    "-pno:hypothesispytest",  # it costs a second a run
    *(() if INSTALLED else ("-paiosched.testing.plugin",)),
)


@pytest.fixture
def outcomes(pytester):
    def run(source, *options):
        pytester.makepyfile(source)
        result = pytester.runpytest_inprocess(*OPTIONS, *options)
        return {key: number for key, number in result.parseoutcomes().items() if key != "warnings"}

    return run


def test_a_test_with_the_fixture_runs_in_virtual_time(outcomes):
    assert outcomes("""
        import asyncio
        from datetime import UTC, datetime
        from aiosched.moments import to_us

        async def test_a_day(virtual_time):
            await asyncio.sleep(86400)
            assert virtual_time.now() == to_us(datetime(2026, 1, 2, tzinfo=UTC))
            assert virtual_time.monotonic() == 86_400_000_000
    """) == {"passed": 1}


def test_the_marker_alone_is_enough_and_sets_the_start(outcomes):
    pytest.importorskip("time_machine")
    assert outcomes("""
        import asyncio
        from datetime import UTC, datetime
        import pytest

        @pytest.mark.virtual_time(datetime(1999, 12, 31, tzinfo=UTC), skew=-1)
        async def test_the_century(request):
            await asyncio.sleep(86400 + 1)
            assert datetime.now(UTC) == datetime(2000, 1, 1, tzinfo=UTC)
            assert request.getfixturevalue("virtual_time").skew == -1
    """) == {"passed": 1}


def test_other_tests_of_the_module_keep_their_loop_and_their_name(outcomes, pytester):
    source = """
        import asyncio
        from aiosched.testing import VirtualLoop

        async def test_before():
            assert not isinstance(asyncio.get_running_loop(), VirtualLoop)

        async def test_virtual(virtual_time):
            assert isinstance(asyncio.get_running_loop(), VirtualLoop)

        async def test_after():
            assert not isinstance(asyncio.get_running_loop(), VirtualLoop)

        def test_sync(virtual_time):
            virtual_time.step(5)
    """
    assert outcomes(source) == {"passed": 4}
    listed = pytester.runpytest_inprocess(*OPTIONS, "--collect-only", "-q").outlines
    assert [line.partition("::")[2] for line in listed[:4]] == [
        "test_before",
        "test_virtual",
        "test_after",
        "test_sync",
    ]


def test_async_fixtures_share_the_loop_and_its_time(outcomes):
    assert outcomes("""
        import asyncio
        import pytest

        @pytest.fixture
        async def later(virtual_time):
            await asyncio.sleep(3600)
            yield virtual_time.monotonic()
            await asyncio.sleep(3600)
            assert virtual_time.monotonic() == 3 * 3_600_000_000

        async def test_later(later, virtual_time):
            await asyncio.sleep(3600)
            assert later == 3_600_000_000
            assert virtual_time.monotonic() == 2 * later
    """) == {"passed": 1}


def test_each_test_begins_at_the_start(outcomes):
    assert outcomes("""
        import asyncio
        import pytest

        @pytest.mark.parametrize("turn", range(3))
        async def test_turn(turn, virtual_time):
            before = virtual_time.now()
            assert before == 1_767_225_600_000_000
            await asyncio.sleep(60)
    """) == {"passed": 3}


def test_a_thread_that_looks_first_sees_the_virtual_wall(outcomes):
    pytest.importorskip("time_machine")
    assert outcomes("""
        import asyncio, time

        async def test_thread(virtual_time):
            loop = asyncio.get_running_loop()
            loop.call_later(60, int)
            await asyncio.sleep(60)
            assert await asyncio.to_thread(time.time) == 1_767_225_660.0
    """) == {"passed": 1}


def test_loop_factories_of_the_project_stay_for_its_other_tests(outcomes, pytester):
    pytester.makeconftest("""
        import asyncio

        class OwnLoop(asyncio.SelectorEventLoop):
            pass

        def pytest_asyncio_loop_factories(config, item):
            return {"own": OwnLoop}
    """)
    assert outcomes("""
        import asyncio

        async def test_own():
            assert type(asyncio.get_running_loop()).__name__ == "OwnLoop"

        async def test_virtual(virtual_time):
            assert type(asyncio.get_running_loop()).__name__ == "VirtualLoop"

        async def test_own_again():
            assert type(asyncio.get_running_loop()).__name__ == "OwnLoop"
    """) == {"passed": 3}


def test_a_deadlock_fails_the_test_instead_of_hanging(outcomes):
    assert outcomes("""
        import asyncio
        import pytest
        from aiosched.testing import LoopDeadlock, loop

        async def test_dead(virtual_time, monkeypatch):
            monkeypatch.setattr(loop, "_GRACE", 0.01)
            await asyncio.Event().wait()
    """) == {"failed": 1}


def test_without_pytest_asyncio_a_sync_test_still_has_the_clock(outcomes):
    source = """
        def test_sync(virtual_time):
            virtual_time.step(5)
            assert virtual_time.now() == 1_767_225_605_000_000
    """
    assert outcomes(source, "-pno:asyncio", "-Wignore::pytest.PytestConfigWarning") == {"passed": 1}


def test_the_fixtures_work_in_strict_mode_too(outcomes):
    assert outcomes(
        """
        import asyncio
        import pytest

        @pytest.mark.asyncio
        async def test_a_day(virtual_time):
            await asyncio.sleep(86400)

        @pytest.mark.asyncio
        async def test_it_runs(aiosched_scheduler):
            assert aiosched_scheduler.state == "running"
            await asyncio.sleep(86400)
        """,
        "-oasyncio_mode=strict",
    ) == {"passed": 2}


def test_on_the_loops_of_another_plugin_a_test_fails_instead_of_waiting(outcomes):
    assert outcomes(
        """
        import asyncio
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_a_day(virtual_time):
            await asyncio.sleep(86400)

        @pytest.mark.anyio
        async def test_another():
            await asyncio.sleep(0)
        """,
        "-oasyncio_mode=strict",
    ) == {"failed": 1, "passed": 1}
