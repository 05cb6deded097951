"""The promises that the project's own papers make."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_first_two_commands_are_one_line_each() -> None:
    assert all(command.count("\n") == 1 for command in COMMANDS[:2])
    assert COMMANDS[0].endswith(".venv/bin/aiosched demo\n")
    assert COMMANDS[1].endswith(".venv/bin/nox -s tests\n")


def test_ci_begins_with_the_readmes_second_command() -> None:
    lines = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    assert lines[lines.index("readme() {") + 1] == COMMANDS[1].strip()
    parts = [line for line in lines if line.startswith("part ")]
    assert parts[0] == "part readme readme"


def test_all_has_every_extra_that_a_service_can_want() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    wanted = set(re.fullmatch(r"aiosched-py\[(.*)\]", everything)[1].split(","))
    assert wanted == set(extras) - {"all", "test"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_python_can_be_read_and_imports_what_there_is(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aiosched"):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_no_page_tells_to_install_the_other_aiosched() -> None:
    pages = [*PAGES, *(ROOT / "aiosched").rglob("*.py")]
    wrong = re.compile(r"pip install (-U )?['\"]?aiosched(?!-py)\b")
    assert not [page.name for page in pages if wrong.search(page.read_text())]
