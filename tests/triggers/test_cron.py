from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import Cron, Every
from aiosched.triggers.cronfields import cron_fields
from tests.effort import examples
from tests.triggers.oracle import zone_of

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)  # a Tuesday


def following(expr: str, begin: datetime = NOON, count: int = 3, **arguments) -> list[datetime]:
    found = islice(Cron(expr, **arguments).upcoming(to_us(begin)), count)
    return [from_us(us, UTC) for us in found]


def days(expr: str, begin: datetime = NOON, count: int = 4) -> list[date]:
    return [each.date() for each in following(expr, begin, count)]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("* * * * *", "2026-05-05T12:01:00"),
        ("*/15 * * * *", "2026-05-05T12:15:00"),
        ("0 9 * * MON-FRI", "2026-05-06T09:00:00"),
        ("0 9 * * sat,sun", "2026-05-09T09:00:00"),
        ("0 0 1 jan *", "2027-01-01T00:00:00"),
        ("30 4 1,15 * *", "2026-05-15T04:30:00"),
        ("0 22-2 * * *", "2026-05-05T22:00:00"),
        ("0 0 * nov-feb *", "2026-11-01T00:00:00"),
        ("0 0 * * 7", "2026-05-10T00:00:00"),
        ("0 0 ? * MON", "2026-05-11T00:00:00"),
        ("*/10 * * * * *", "2026-05-05T12:00:10"),
        ("15 30 12 * * *", "2026-05-05T12:30:15"),
        ("5 * 12 * * *", "2026-05-05T12:00:05"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59"),
        ("0 0 9 1 1 * 2030", "2030-01-01T09:00:00"),
        ("0 0 9 1 1 ? 2031-2040/3", "2031-01-01T09:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@annually", "2027-01-01T00:00:00"),
        ("@monthly", "2026-06-01T00:00:00"),
        ("@weekly", "2026-05-10T00:00:00"),
        ("@daily", "2026-05-06T00:00:00"),
        ("@midnight", "2026-05-06T00:00:00"),
        ("@hourly", "2026-05-05T13:00:00"),
        ("@Hourly", "2026-05-05T13:00:00"),
        ("  0   9\t* * *  ", "2026-05-06T09:00:00"),
    ],
)
def test_an_expression_names_its_next_moment(expr, expected):
    assert following(expr, count=1) == [datetime.fromisoformat(expected).replace(tzinfo=UTC)]


def test_the_moment_asked_is_not_an_answer():
    assert following("0 12 * * *", NOON, 1) == [NOON + timedelta(days=1)]
    assert following("0 12 * * *", NOON - timedelta(microseconds=1), 1) == [NOON]


def test_seconds_move_on_within_the_minute_the_hour_and_the_day():
    begin = datetime(2026, 5, 5, 23, 58, 40, tzinfo=UTC)
    found = following("20,40 58,59 * * * *", begin, 4)
    assert [each.strftime("%H:%M:%S") for each in found] == [
        "23:59:20",
        "23:59:40",
        "00:58:20",
        "00:58:40",
    ]


def test_either_day_field_may_match_when_neither_starts_with_a_star():
    assert days("0 0 13 * FRI") == [
        date(2026, 5, 8),
        date(2026, 5, 13),
        date(2026, 5, 15),
        date(2026, 5, 22),
    ]


def test_both_day_fields_must_match_when_one_starts_with_a_star():
    assert days("0 0 */2 * MON") == [
        date(2026, 5, 11),
        date(2026, 5, 25),
        date(2026, 6, 1),
        date(2026, 6, 15),
    ]
    assert days("0 0 1 * */2") == [
        date(2026, 8, 1),
        date(2026, 9, 1),
        date(2026, 10, 1),
        date(2026, 11, 1),
    ]


def test_a_whole_range_is_no_star():
    assert days("0 0 1-31 * MON", count=2) == [date(2026, 5, 6), date(2026, 5, 7)]


def test_l_is_the_last_day_of_a_month():
    begin = datetime(2024, 1, 31, tzinfo=UTC)
    assert days("0 0 L * *", begin, 3) == [date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30)]
    assert days("0 0 1,L * *", begin, 3) == [date(2024, 2, 1), date(2024, 2, 29), date(2024, 3, 1)]


def test_l_with_a_weekday_is_its_last_in_a_month():
    assert days("0 0 * * L5", count=3) == [date(2026, 5, 29), date(2026, 6, 26), date(2026, 7, 31)]


def test_a_hash_sign_counts_weekdays_of_a_month():
    assert days("0 0 * * FRI#2", count=3) == [
        date(2026, 5, 8),
        date(2026, 6, 12),
        date(2026, 7, 10),
    ]
    assert days("0 0 * * MON#5", count=2) == [date(2026, 6, 29), date(2026, 8, 31)]
    assert days("0 0 * * TUE#1,FRI#2", count=2) == [date(2026, 5, 8), date(2026, 6, 2)]


def test_a_counted_weekday_or_a_day():
    assert days("0 0 20 * FRI#2", count=3) == [
        date(2026, 5, 8),
        date(2026, 5, 20),
        date(2026, 6, 12),
    ]


@pytest.mark.parametrize(
    ("expr", "begin", "expected"),
    [
        ("0 0 15W * *", date(2026, 8, 1), date(2026, 8, 14)),  # the 15th is a Saturday
        ("0 0 16W * *", date(2026, 8, 1), date(2026, 8, 17)),  # the 16th is a Sunday
        ("0 0 W14 * *", date(2026, 8, 1), date(2026, 8, 14)),
        ("0 0 1W * *", date(2026, 7, 31), date(2026, 8, 3)),  # never in the month before
        ("0 0 31W * *", date(2026, 5, 1), date(2026, 5, 29)),  # nor in the month after
        ("0 0 31W * *", date(2026, 6, 1), date(2026, 6, 30)),  # of a month that has it not
    ],
)
def test_w_is_the_working_day_nearest(expr, begin, expected):
    midnight = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    assert days(expr, midnight, 1) == [expected]


def test_years_come_to_an_end():
    cron = Cron("0 0 0 1 1 * 2027,2029")
    assert [from_us(us).year for us in cron.upcoming(to_us(NOON))] == [2027, 2029]


def test_all_years_of_croniter_written_out_are_a_limit():
    assert Cron("0 0 0 1 1 * 1970-2099").next_after(datetime(2099, 6, 1, tzinfo=UTC)) is None
    assert Cron("0 0 0 1 1 * *").next_after(datetime(2099, 6, 1, tzinfo=UTC)).year == 2100


def test_the_29th_of_february_is_found_across_a_century():
    assert days("0 0 29 2 *", datetime(2096, 3, 1, tzinfo=UTC), 2) == [
        date(2104, 2, 29),
        date(2108, 2, 29),
    ]


def test_a_29th_of_february_on_a_given_weekday_is_found():
    found = days("0 0 29 2 */7", datetime(2026, 1, 1, tzinfo=UTC), 2)  # Sundays only
    assert found == [date(2032, 2, 29), date(2060, 2, 29)]
    assert all(calendar.weekday(each.year, each.month, each.day) == 6 for each in found)


@pytest.mark.parametrize(
    "expr",
    [
        "0 0 31 2 *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 0 29 2 * 2027",
        "0 0 0 29 2 * 2097-2099",
        "0 0 0 29 2 */7 2028",
    ],
)
def test_what_never_fires_is_refused(expr):
    with pytest.raises(InvalidTrigger, match="must fire some day"):
        Cron(expr)


def test_an_impossible_day_beside_a_weekday_is_fine():
    assert days("0 0 31 2 MON", count=1) == [date(2027, 2, 1)]


def test_a_year_whose_only_time_falls_into_a_gap_is_refused_where_gaps_are_skipped():
    assert following(
        "0 30 2 8 3 ? 2026", tz="America/New_York", count=1, begin=NOON.replace(year=2025)
    )
    with pytest.raises(InvalidTrigger, match=r"must fire some day in .*New_York"):
        Cron("0 30 2 8 3 ? 2026", tz="America/New_York", dst="skip")
    with pytest.raises(InvalidTrigger, match="must fire some day"):
        Cron("0 0 9 30 12 ? 2011").bind(name="job", tz=zone_of("Pacific/Apia"))


@pytest.mark.parametrize(
    "expr",
    [
        "",
        "   ",
        "* * * *",
        "* * * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "a * * * *",
        "0 0 1#2 * *",
        "0 0 15W,16 * *",
        "0 0 * * 1#6",
        "0 0 * * MON#1,FRI",
        "@sometimes",
        "0 0\u00a0* * *",
        "0 0 0 1 1 * 2100",
        "H(5-2) * * * *",
        "H(0-99) * * * *",
    ],
)
def test_what_croniter_cannot_read_is_refused_with_its_text(expr):
    with pytest.raises(InvalidTrigger, match="expr must be a cron expression, got ") as caught:
        Cron(expr)
    assert repr(expr) in str(caught.value)


@given(st.text(alphabet="0123456789*/-,#LWHR?() MONJAN@", max_size=30))
def test_any_other_text_is_a_trigger_or_refused(text):
    try:
        cron = Cron(text)
    except InvalidTrigger:
        return
    assert cron.bind(name="x", tz=UTC).next_us(-1_000_000_000) is not None


@pytest.mark.parametrize("expr", [None, 5, b"* * * * *", ["*"]])
def test_only_text_is_an_expression(expr):
    with pytest.raises(InvalidTrigger, match="expr must be a cron expression, got "):
        Cron(expr)


def test_random_values_are_refused_because_hosts_would_differ():
    for expr in ["R * * * *", "0 R(1-5) * * *", "r/5 * * * *"]:
        with pytest.raises(InvalidTrigger, match="must not use R"):
            Cron(expr)


def test_reboot_is_refused_with_what_to_use():
    with pytest.raises(InvalidTrigger, match="run_on_start=True"):
        Cron("@reboot")


@pytest.mark.parametrize("dst", ["wind", None, "VIXIE", 1])
def test_an_unknown_rule_for_changes_is_named(dst):
    with pytest.raises(InvalidTrigger, match="dst must be 'vixie' or 'skip' or 'both', got "):
        Cron("* * * * *", dst=dst)


@pytest.mark.parametrize("tz", ["Mars/Base", "", "../etc/passwd", "europe/berlin", 5, b"UTC"])
def test_an_unknown_zone_is_named(tz):
    with pytest.raises(InvalidTrigger, match="tz must be "):
        Cron("* * * * *", tz=tz)


def test_a_zone_nearly_right_is_suggested():
    with pytest.raises(InvalidTrigger, match="did you mean 'Europe/Berlin'"):
        Cron("* * * * *", tz="Europe/Berlim")


@pytest.mark.parametrize("prefix", ["TZ", "CRON_TZ"])
def test_a_prefix_names_the_zone_and_wins(prefix):
    cron = Cron(f"{prefix}=Asia/Tokyo 0 9 * * *", tz="Europe/Berlin")
    assert cron == Cron("0 9 * * *", tz="Asia/Tokyo")
    assert cron.next_after(NOON).isoformat() == "2026-05-06T09:00:00+09:00"


def test_a_prefix_without_a_zone_or_with_a_wrong_one_is_refused():
    for expr in ["TZ=Mars/Base 0 9 * * *", "TZ= 0 9 * * *"]:
        with pytest.raises(InvalidTrigger, match="tz must be a zone"):
            Cron(expr)


def test_every_makes_an_interval():
    assert Cron("@every 90s") == Every(seconds=90)
    assert Cron("@EVERY  1h30m", tz="Asia/Tokyo") == Every(minutes=90)
    assert Cron("TZ=Asia/Tokyo @every 1m").elapsed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"expr": "@every soon"}, "expr must look like '90s'"),
        ({"expr": "@every 0s"}, "expr must be positive"),
        ({"expr": "@every 5s", "tz": "Mars/Base"}, "tz must be"),
        ({"expr": "@every 5s", "dst": "wind"}, "dst must be"),
    ],
)
def test_a_wrong_interval_is_refused(arguments, complaint):
    with pytest.raises(InvalidTrigger, match=complaint):
        Cron(**arguments)


def test_h_asks_for_a_name():
    with pytest.raises(InvalidTrigger, match=r"'H 0 \* \* \*' has an H"):
        Cron("H 0 * * *").next_after(NOON)


def test_h_is_written_out_once_the_name_is_known():
    bound = Cron("H H(0-3) * * *").bind(name="report", tz=UTC)
    minute, hour = bound.expr.split()[:2]
    assert 0 <= int(minute) <= 59
    assert 0 <= int(hour) <= 3
    assert bound == Cron(f"{minute} {hour} * * *")
    assert bound.next_after(NOON) is not None


@pytest.mark.parametrize(
    ("expr", "drawn"),
    [
        ("H H * * *", "25 16 * * *"),
        ("H/15 * * * *", "10,25,40,55 * * * *"),
        ("H H H H H", "25 16 13 12 6"),
        ("H(10-40)/7 H(2-9) * * *", "11,18,25,32,39 2 * * *"),
        ("H H 1 1 * * H(2030-2040)", "12 8 1 1 * * 2033"),
    ],
)
def test_h_is_the_same_wherever_it_is_drawn(expr, drawn):
    assert Cron(expr).bind(name="häufig", tz=UTC).expr == drawn


def test_h_is_drawn_for_each_field_by_itself():
    bound = (Cron("H H * * *").bind(name=f"job {n}", tz=UTC).expr for n in range(5_000))
    assert len(set(bound)) > 1_300  # of 1,440, of which as many by chance leave out 45


def test_h_is_drawn_from_days_that_every_month_has():
    bound = (Cron("0 0 H * *").bind(name=f"job {n}", tz=UTC).expr for n in range(2_000))
    assert {int(expr.split()[2]) for expr in bound} == set(range(1, 29))


def test_h_in_years_says_which():
    with pytest.raises(InvalidTrigger, match="expr must bound the years of an H, as in H"):
        Cron("0 0 0 1 1 * H")


def test_h_in_seconds_and_years_keeps_its_place():
    bound = Cron("H 5 4 3 2 ? H(2030-2040)").bind(name="report", tz=UTC)
    second, *middle, year = bound.expr.split()
    assert middle == ["5", "4", "3", "2", "?"]
    assert 0 <= int(second) <= 59
    assert 2030 <= int(year) <= 2040


def test_h_that_covers_its_whole_field_is_still_no_star():
    assert Cron("H/1 3 * * *").bind(name="x", tz=UTC).expr.startswith("0,1,2,")


def test_h_spreads_names():
    minutes = {Cron("H * * * *").bind(name=f"job {n}", tz=UTC).expr for n in range(200)}
    assert len(minutes) > 50


def test_h_that_can_never_fire_is_refused_when_made():
    with pytest.raises(InvalidTrigger, match="must fire some day"):
        Cron("H 0 31 2 *")


def test_h_that_falls_on_no_date_is_refused_for_that_name():
    names = [f"job {n}" for n in range(200)]
    refused = 0
    for name in names:
        try:
            Cron("0 0 H(20-31) 2 *").bind(name=name, tz=UTC)
        except InvalidTrigger:
            refused += 1
    assert 0 < refused < 100


def test_a_name_of_letters_h_is_not_a_hash():
    assert Cron("0 0 * mar THU").bind(name="x", tz=UTC).expr == "0 0 * mar THU"


def test_binding_gives_the_schedulers_zone():
    berlin = zone_of("Europe/Berlin")
    bound = Cron("0 9 * * *").bind(name="job", tz=berlin)
    assert bound.next_after(NOON) == datetime(2026, 5, 6, 9, tzinfo=berlin)
    assert bound.next_after(NOON).tzinfo is berlin


def test_binding_changes_nothing_where_there_is_a_zone_or_it_is_utc():
    own = Cron("0 9 * * *", tz="Asia/Tokyo")
    assert own.bind(name="job", tz=zone_of("Europe/Berlin")) is own
    plain = Cron("0 9 * * *")
    assert plain.bind(name="job", tz=UTC) is plain


def test_equal_expressions_share_their_fields():
    assert cron_fields("7 7 * * *") is cron_fields("7 7 * * *")


def test_the_blocks_kept_are_bounded():
    fields = cron_fields("0 0 1 1 *")
    for block in range(3000):
        fields._block(block)
    assert len(fields._blocks) <= 1025


@pytest.mark.parametrize("year", [1, 1582, 9999])
def test_the_edges_of_the_calendar_hold(year):
    begin = datetime(year, 12, 30, 23, 30, tzinfo=UTC)
    found = following("0 * * * *", begin, 30)
    assert found[0] == datetime(year, 12, 31, tzinfo=UTC)
    assert len(found) == (30 if year < 9999 else 24)


def test_before_the_first_day_there_is_a_first_occurrence():
    first = datetime.min.replace(tzinfo=UTC)
    assert Cron("0 0 * * *", tz="America/New_York").next_after(first) is not None


SPELLINGS = st.tuples(
    st.sampled_from(["0", "*/7", "5,50", "10-20"]),
    st.sampled_from(["*", "0", "3-9/2", "22-2"]),
    st.sampled_from(["*", "*/3", "L", "15W", "1,31", "28-2"]),
    st.sampled_from(["*", "feb", "nov-feb", "*/5"]),
    st.sampled_from(["*", "?", "*/2"]),
)


@settings(max_examples=examples(60), deadline=None)
@given(expr=SPELLINGS.map(" ".join), asked=st.integers(0, to_us(NOON)))
def test_it_agrees_with_croniter_in_utc(expr, asked):
    """Where the rules are the same: without changes of offset, one day field without a star."""
    begin = from_us(asked)
    theirs = croniter(expr, begin, ret_type=datetime, implement_cron_bug=True)
    assert following(expr, begin, 5) == [theirs.get_next() for _ in range(5)]
