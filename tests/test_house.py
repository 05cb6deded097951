"""The promises that the project's own papers make."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_first_two_commands_are_one_line_each() -> None:
    assert all(command.count("\n") == 1 for command in COMMANDS[:2])
    assert COMMANDS[0].endswith(".venv/bin/aiosched demo\n")
    assert COMMANDS[1].endswith(".venv/bin/nox -s tests\n")


def test_ci_begins_with_the_readmes_second_command() -> None:
    steps = [
        line
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert steps[0] == COMMANDS[1].strip()


def test_all_has_every_extra_that_a_service_can_want() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    wanted = set(re.fullmatch(r"aiosched-py\[(.*)\]", everything)[1].split(","))
    assert wanted == set(extras) - {"all", "test"}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links)


def test_no_page_tells_to_install_the_other_aiosched() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "aiosched").rglob("*.py")]
    wrong = re.compile(r"pip install (-U )?['\"]?aiosched(?!-py)\b")
    assert not [page.name for page in pages if wrong.search(page.read_text())]
