"""What holds for all tests: a busy machine is no failure, so hypothesis has no deadline; and what
our IMAP endpoint says is IMAP, whoever asks."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.support import figures, secrets
from tests.support.judge import judged

CASE = re.compile(r"test_([A-Z]\d{3})(?!\d)")

settings.register_profile("popbridge", deadline=None)
settings.load_profile("popbridge")


@pytest.fixture(autouse=True)
def rejected() -> Iterator[list[str]]:
    """What a second parser did not take for IMAP, of all that was said in a test: nothing."""
    with judged() as rejected:
        yield rejected
    assert rejected == []


@pytest.fixture(scope="session", autouse=True)
def no_password_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What stores and daemons of the whole run left in their folders has none of the passwords
    that the tests use, and none of the canaries."""
    yield
    found = secrets.of_stores(tmp_path_factory.getbasetemp())
    assert found.found == []
    if found.files:
        figures.note("files of the suite", tried=found.files, octets=found.octets, leaks=0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--case", action="append", default=[], help="only tests of this hostile case")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(config.getoption("--case"))
    if wanted:
        items[:] = [item for item in items if wanted & _cases(item)]


def _cases(item: pytest.Item) -> set[str]:
    marked = {each for marker in item.iter_markers("case") for each in marker.args}
    return marked | set(CASE.findall(item.name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.failed:
        for case in _cases(item):
            figures.note_case(case, item.nodeid, report.passed)
    return report
