"""Where configuration and data are, for a user, for root, under sudo and as a service."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from nsm.errors import SettingsError
from nsm.settings.places import config_file, config_places, data_dir, make_private, owner

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to another user")


def someone() -> pwd.struct_passwd:
    return next(entry for entry in pwd.getpwall() if entry.pw_uid)


def test_the_named_file_wins_then_the_environment_then_the_users(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert config_file(None, environ) in {None, *config_places(environ)}
    own = tmp_path / ".config" / "nsm" / "config.toml"
    own.parent.mkdir(parents=True)
    for path in (own, tmp_path / "a.toml", tmp_path / "b.toml"):
        path.touch()
    assert config_file(None, environ) == own
    environ["NSM_CONFIG"] = str(tmp_path / "a.toml")
    assert config_file(None, environ) == tmp_path / "a.toml"
    assert config_file(tmp_path / "b.toml", environ) == tmp_path / "b.toml"


def test_toml_is_taken_before_yaml_and_json(tmp_path: Path) -> None:
    folder = tmp_path / "nsm"
    folder.mkdir()
    environ = {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path)}
    for suffix in ("json", "yml", "yaml", "toml"):
        (folder / f"config.{suffix}").touch()
        assert config_file(None, environ) == folder / f"config.{suffix}"


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no configuration file") as caught:
        config_file(tmp_path / "none.toml", {})
    assert caught.value.where == "--config"


@pytest.mark.parametrize(
    ("named", "environ", "expected"),
    [
        ("/x", {"NSM_DATA": "/y", "STATE_DIRECTORY": "/z"}, "/x"),
        (None, {"NSM_DATA": "/y", "STATE_DIRECTORY": "/z"}, "/y"),
        (None, {"STATE_DIRECTORY": "/z:/other"}, "/z"),
    ],
)
def test_the_data_directory_that_is_named_wins(named: str | None, environ: dict[str, str], expected: str) -> None:
    assert data_dir(named, environ) == Path(expected)


@ROOT_ONLY
def test_root_has_the_systems_directory_and_under_sudo_the_callers() -> None:
    assert data_dir(None, {"HOME": "/root"}) == Path("/var/lib/nsm")
    entry = someone()
    environ = {"HOME": "/root", "SUDO_UID": str(entry.pw_uid), "XDG_STATE_HOME": "/root/state"}
    assert owner(environ).uid == entry.pw_uid
    assert data_dir(None, environ) == Path(entry.pw_dir) / ".local" / "state" / "nsm"
    assert config_places(environ)[0] == Path(entry.pw_dir) / ".config" / "nsm" / "config.toml"


@ROOT_ONLY
def test_under_sudo_what_is_made_belongs_to_the_caller(tmp_path: Path) -> None:
    entry = someone()
    made = make_private(tmp_path / "a" / "b", {"SUDO_UID": str(entry.pw_uid)})
    assert {made.stat().st_uid, made.parent.stat().st_uid} == {entry.pw_uid}
    assert tmp_path.stat().st_uid == 0


@ROOT_ONLY
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, someone().pw_uid, -1)
    with pytest.raises(SettingsError, match="belongs to user"):
        make_private(tmp_path, {})


def test_a_directory_is_made_for_its_owner_alone_and_refused_when_others_can_write(tmp_path: Path) -> None:
    made = make_private(tmp_path / "data", {})
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o777)
    with pytest.raises(SettingsError, match="written by other users"):
        make_private(made, {})


def test_a_file_in_the_way_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot make") as caught:
        make_private(tmp_path / "file" / "data", {})
    assert "--data" in caught.value.mend
