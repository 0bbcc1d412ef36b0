"""A definition in the store means that the guest belongs to this node: it is written whole or not
at all, never replaced by another, and no name reaches beyond the directory.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmigd.errors import LocalFault, Taken, Unknown
from bmigd.guests.definition import Definition
from bmigd.guests.store import GuestStore
from tests.guests.definitions import GUESTS, a_guest


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "guests"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(GUESTS)
def test_what_is_kept_comes_back_after_a_restart(directory: Path, guest: Definition) -> None:
    GuestStore(directory).add(guest)
    again = GuestStore(directory)
    assert again.get(guest.name) == guest
    assert again.names() == [guest.name]
    again.remove(guest.name)
    assert again.names() == []


def test_names_are_sorted_and_files_private(directory: Path) -> None:
    store = GuestStore(directory)
    for name in ("web2", "web1", "a.b"):
        store.add(a_guest(name=name))
    assert store.names() == ["a.b", "web1", "web2"]
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


def test_the_same_guest_may_be_added_again_and_another_may_not(directory: Path) -> None:
    store = GuestStore(directory)
    store.add(a_guest())
    store.add(a_guest())
    with pytest.raises(Taken) as taken:
        store.add(a_guest(wired_memory=True))
    assert taken.value.reason == "NAME_TAKEN"
    assert store.get("web1") == a_guest()


def test_a_guest_that_is_not_here_is_unknown(directory: Path) -> None:
    store = GuestStore(directory)
    with pytest.raises(Unknown) as unknown:
        store.get("web1")
    assert unknown.value.reason == "GUEST_UNKNOWN"
    store.remove("web1")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", ".", "..", "web1/../web1", "\0"])
def test_a_name_never_reaches_beyond_the_directory(directory: Path, name: str) -> None:
    store = GuestStore(directory)
    store.add(a_guest())
    secret = directory.parent / "secret.toml"
    secret.write_text("x")
    with pytest.raises(Unknown):
        store.get(name)
    store.remove(name)
    assert secret.exists()
    assert store.names() == ["web1"]


@given(st.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_only_a_name(directory: Path, name: str) -> None:
    with pytest.raises(Unknown):
        GuestStore(directory).get(name)


def test_a_write_that_was_cut_off_is_no_guest(directory: Path) -> None:
    store = GuestStore(directory)
    store.add(a_guest())
    (directory / "web2.partial").write_text('name = "we')
    assert GuestStore(directory).names() == ["web1"]
    store.add(a_guest(name="web2"))
    assert store.get("web2").name == "web2"


@contextmanager
def nothing_fits() -> Iterator[None]:
    """The kernel refuses every byte that is written to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_written_is_a_fault_of_the_node_and_leaves_nothing(directory: Path) -> None:
    store = GuestStore(directory)
    with nothing_fits(), pytest.raises(LocalFault) as fault:
        store.add(a_guest())
    assert (fault.value.reason, fault.value.guest) == ("DEFINITION_UNWRITABLE", "web1")
    assert list(directory.iterdir()) == []
    store.add(a_guest())
    assert store.get("web1") == a_guest()


def test_a_guest_that_cannot_be_forgotten_is_still_here(directory: Path) -> None:
    store = GuestStore(directory)
    (directory / "web1.toml").mkdir()  # which no unlink removes
    with pytest.raises(LocalFault) as fault:
        store.remove("web1")
    assert fault.value.reason == "DEFINITION_UNWRITABLE"
    assert store.names() == ["web1"]
