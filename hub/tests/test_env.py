"""The typed environment reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.env import Env, EnvError, default_data_dir, local_fallbacks
from hub.launcher.place import MARKER


def test_default_stands_in_for_what_is_not_set() -> None:
    env = Env({})

    assert env.integer("HUB_PORT", 8000) == 8000
    assert env.boolean("HUB_DEBUG", False) is False
    assert env.words("HUB_HOSTS") == []
    assert env.path("HUB_DATA", Path("/srv/data")) == Path("/srv/data")


def test_empty_variable_counts_as_not_set() -> None:
    env = Env({"HUB_PORT": "", "HUB_DEBUG": "", "DATABASE_URL": ""}, fallbacks={"DATABASE_URL": "postgresql:///hub"})

    assert env.integer("HUB_PORT", 8000) == 8000
    assert env.boolean("HUB_DEBUG", True) is True
    assert env.text("DATABASE_URL") == "postgresql:///hub"


def test_missing_variable_without_default_stops_the_start() -> None:
    with pytest.raises(EnvError) as stopped:
        Env({}).text("DATABASE_URL")

    assert str(stopped.value) == "Configuration error: DATABASE_URL must be set"


@pytest.mark.parametrize("raw", ["eight", "8.5", "0x10", "--1", "\u0661x"])
def test_integer_refuses_what_is_no_whole_number(raw: str) -> None:
    with pytest.raises(EnvError, match=r"HUB_PORT is not valid \(integer\): must be a whole number"):
        Env({"HUB_PORT": raw}).integer("HUB_PORT", 8000)


@pytest.mark.parametrize(("raw", "sentence"), [("0", "at least 1"), ("70000", "at most 65535"), ("-3", "at least 1")])
def test_integer_refuses_what_is_out_of_bounds(raw: str, sentence: str) -> None:
    with pytest.raises(EnvError, match=sentence):
        Env({"HUB_PORT": raw}).integer("HUB_PORT", 8000, minimum=1, maximum=65535)


@pytest.mark.parametrize(("raw", "value"), [("yes", True), ("1", True), ("TRUE", True), ("off", False), ("No", False)])
def test_boolean_reads_the_usual_words(raw: str, value: bool) -> None:
    assert Env({"HUB_DEBUG": raw}).boolean("HUB_DEBUG", not value) is value


def test_boolean_refuses_other_words() -> None:
    with pytest.raises(EnvError, match="must be yes or no"):
        Env({"HUB_DEBUG": "maybe"}).boolean("HUB_DEBUG", False)


def test_choice_refuses_what_is_not_offered() -> None:
    with pytest.raises(EnvError, match="must be one of human, json"):
        Env({"HUB_LOG_FORMAT": "xml"}).choice("HUB_LOG_FORMAT", "human", ("human", "json"))


def test_words_are_parted_by_commas_and_stripped() -> None:
    assert Env({"HUB_HOSTS": " a.example , ,b.example"}).words("HUB_HOSTS") == ["a.example", "b.example"]


def test_networks_may_be_single_addresses() -> None:
    networks = Env({"HUB_TRUSTED_PROXIES": "10.0.0.1, fd00::/8"}).networks("HUB_TRUSTED_PROXIES")

    assert [str(network) for network in networks] == ["10.0.0.1/32", "fd00::/8"]


def test_networks_refuse_what_is_none() -> None:
    with pytest.raises(EnvError, match="HUB_TRUSTED_PROXIES is not valid"):
        Env({"HUB_TRUSTED_PROXIES": "10.0.0.1,nginx"}).networks("HUB_TRUSTED_PROXIES")


def test_value_may_come_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("s3cret \n")

    assert Env({"HUB_SECRET_KEY_FILE": str(secret)}).text("HUB_SECRET_KEY") == "s3cret "


def test_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match="HUB_SECRET_KEY_FILE cannot be read: No such file"):
        Env({"HUB_SECRET_KEY_FILE": str(tmp_path / "none")}).text("HUB_SECRET_KEY", "")


@pytest.mark.parametrize(("content", "sentence"), [(b"", "is an empty file"), (b"\xff\xfe", "is not text")])
def test_file_without_a_usable_value_stops_the_start(tmp_path: Path, content: bytes, sentence: str) -> None:
    secret = tmp_path / "key"
    secret.write_bytes(content)

    with pytest.raises(EnvError, match=f"HUB_SECRET_KEY_FILE {sentence}"):
        Env({"HUB_SECRET_KEY_FILE": str(secret)}).text("HUB_SECRET_KEY")


def test_variable_set_directly_and_by_file_stops_the_start(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from the file")

    with pytest.raises(EnvError, match="is set twice, also as HUB_SECRET_KEY_FILE"):
        Env({"HUB_SECRET_KEY": "given", "HUB_SECRET_KEY_FILE": str(secret)}).text("HUB_SECRET_KEY")


def test_error_never_shows_the_value() -> None:
    with pytest.raises(EnvError) as stopped:
        Env({"HUB_LOG_LEVEL": "hunter2"}).choice("HUB_LOG_LEVEL", "INFO", ("INFO",))

    assert "hunter2" not in str(stopped.value)


def test_declarations_are_remembered_for_the_docs() -> None:
    env = Env({"HUB_PORT": "9000"})

    env.integer("HUB_PORT", 8000, help="Port of the web server.")

    declared = env.declared["HUB_PORT"]
    assert (declared.kind, declared.default, declared.help) == ("integer", "8000", "Port of the web server.")


def test_launcher_files_stand_in_for_what_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text(json.dumps({"database_url": "postgresql:///a", "redis_url": "redis:///b"}))
    (tmp_path / "secrets.json").write_text(json.dumps({"HUB_SECRET_KEY": "generated"}))

    env = Env({"REDIS_URL": "redis://mine"}, fallbacks=local_fallbacks(tmp_path))

    assert env.text("DATABASE_URL") == "postgresql:///a"
    assert env.text("REDIS_URL") == "redis://mine"
    assert env.text("HUB_SECRET_KEY") == "generated"


@pytest.mark.parametrize(
    ("source", "is_known"),
    [({}, True), ({"DATABASE_URL": "postgresql://db/hub"}, False), ({"DATABASE_URL_FILE": "/run/db"}, False)],
)
@pytest.mark.parametrize("is_running", [True, False])
def test_database_elsewhere_has_no_base_backups_of_the_embedded_one(
    tmp_path: Path, source: dict[str, str], is_known: bool, is_running: bool
) -> None:
    (tmp_path / MARKER).touch()
    if is_running:
        addresses = {"redis_url": "redis:///b", "backup_database_url": "postgresql:///a"}
        (tmp_path / "services.json").write_text(json.dumps(addresses))

    assert ("HUB_BACKUP_DATABASE_URL" in local_fallbacks(tmp_path, source)) == is_known


@pytest.mark.parametrize("content", ["", "[1, 2]", "5", "{broken"])
def test_damaged_launcher_files_count_as_missing(tmp_path: Path, content: str) -> None:
    (tmp_path / "services.json").write_text(content)

    assert local_fallbacks(tmp_path) == {}


def test_data_directory_depends_on_who_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_data_dir(Path("/home/ada/hub")) == Path("/home/ada/hub/.run")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data_dir(Path("/home/ada/hub")) == Path("/var/lib/kutanga-hub")
