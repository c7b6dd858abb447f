"""README tells the truth: commands, config keys and standards are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from pydantic import BaseModel

from bridge.cli.main import app
from bridge.config import Config
from bridge.imap.table import ROWS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text under a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(title: str) -> list[str]:
    rows = [line.split("|") for line in section(title).splitlines() if line.startswith("| ")]
    return [cells[1].strip() for cells in rows[1:]]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key that may be written, as `accounts[].pop3.host`."""
    for name, field in model.model_fields.items():
        inner = [
            each
            for each in re.findall(r"bridge\.config\.models\.(\w+)", str(field.annotation))
            if each.endswith("Config")
        ]
        if not inner:
            yield prefix + name
            continue
        from bridge.config import models

        many = "[]." if "tuple" in str(field.annotation) else "."
        yield from keys(getattr(models, inner[0]), f"{prefix}{name}{many}")


def test_every_command_is_in_the_table_and_no_other() -> None:
    documented = {
        match[1]
        for each in first_column("Commands")
        if (match := re.match(r"`popbridge (\w+)", each))
    }
    existing = {
        info.name or (info.callback.__name__ if info.callback else "")
        for info in app.registered_commands
    } | {str(group.name) for group in app.registered_groups}
    assert documented == existing


def test_every_config_key_is_documented() -> None:
    text = section("Config keys")
    for key in keys(Config):
        last = key.rpartition(".")[2]
        assert f"`{key}`" in text or f"`.{last}`" in text or f"`{last}`" in text, key


def test_every_rfc_of_the_command_table_is_in_the_list_of_standards() -> None:
    documented = set(first_column("Supported standards"))
    for row in ROWS:
        assert row.rfc.split()[0] in documented, row


def test_every_announced_capability_is_in_the_list_of_standards() -> None:
    text = section("Supported standards")
    for row in ROWS:
        for word in (row.capability or "").split():
            if word not in ("STARTTLS", "AUTH=PLAIN"):  # part of RFC 3501 itself
                assert re.search(rf"\b{re.escape(word)}", text), word


def test_the_config_in_readme_is_one_that_check_takes(tmp_path: Path) -> None:
    from bridge.config import load

    text = re.search(r"   ```yaml\n(.*?)   ```", README, re.DOTALL)
    assert text is not None
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(line[3:] for line in text[1].splitlines()))
    path.chmod(0o600)
    (tmp_path / "secrets").mkdir(mode=0o700)
    for name in ("provider", "devices"):
        secret = tmp_path / "secrets" / name
        secret.touch(mode=0o600)
        secret.write_text("words\n")
    assert load(path).accounts[0].address == "me@example.org"


def test_the_commands_to_paste_are_there_once_each() -> None:
    setups = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    words = [each.rpartition("/")[2] for each in setups]
    assert words == ["popbridge demo", "pytest -n auto --dist worksteal"]


def test_every_standard_names_the_tests_that_prove_it() -> None:
    lines = [line.split("|") for line in section("Supported standards").splitlines()]
    rows = [line for line in lines if len(line) == 6][2:]
    assert len(rows) == len(first_column("Supported standards"))
    for _, rfc, _, _, proof, _ in rows:
        names = proof.replace(",", " ").split()
        assert names, rfc
        for name in names:
            pattern = name if name.endswith(".py") else f"tests/transcripts/{name}.txt"
            assert [*ROOT.glob(pattern), *(ROOT / "tests" / "pop3").glob(pattern)], (rfc, name)


def test_every_dialogue_is_the_proof_of_a_standard() -> None:
    """But for those that are about our own settings."""
    named = set(re.findall(r"[\w*-]+", " ".join(section("Supported standards").split("|"))))
    ours = {"hidden"}
    for path in (ROOT / "tests" / "transcripts").glob("*.txt"):
        assert any(fnmatch(path.stem, each) for each in named | ours), path.stem
