"""A description reaches nothing of the host but what is the guest's own."""

from pathlib import Path
from typing import Any

import pytest

from bmigd.guests.places import objections
from tests.guests.definitions import a_guest

FIRMWARE, VARIABLES = (Path("/firmware"),), (Path("/variables"),)
LPC = {"slot": "31", "emulation": "lpc"}


def flaws(**changes: Any) -> list[str]:
    """What is said of a guest `web1` with changes."""
    return objections(a_guest(**changes), FIRMWARE, VARIABLES)


def with_disk(image: str, emulation: str = "virtio-blk") -> list[str]:
    """What is said of a guest `web1` with an image."""
    disk = {"slot": "4", "emulation": emulation, "storage": "nfs", "image": image}
    return flaws(devices=[disk, LPC])


def test_a_guest_of_its_own_files_meets_no_objection() -> None:
    firmware = {"bootrom": "/firmware/uefi/CODE.fd", "variables": "/variables/web1.fd"}
    assert flaws(firmware=firmware) == []


@pytest.mark.parametrize(
    "bootrom",
    ["/etc/master.passwd", "/dev/zero", "/firmware", "/firmware2/a", "/firmware/../etc/passwd"],
)
def test_a_boot_rom_from_anywhere_else_is_refused_by_name(bootrom: str) -> None:
    (flaw,) = flaws(firmware={"bootrom": bootrom})
    assert bootrom in flaw


@pytest.mark.parametrize("variables", ["/firmware/UEFI.fd", "/nfs/vm1.img"])
def test_what_a_guest_writes_is_no_boot_rom_and_no_other_file(variables: str) -> None:
    (flaw,) = flaws(firmware={"bootrom": "/firmware/UEFI.fd", "variables": variables})
    assert variables in flaw


@pytest.mark.parametrize("variables", ["web1.fd", "web1/uefi-vars.fd"])
def test_a_guest_may_have_a_variable_store_of_its_name(variables: str) -> None:
    firmware = {"bootrom": "/firmware/UEFI.fd", "variables": f"/variables/{variables}"}
    assert flaws(firmware=firmware) == []


@pytest.mark.parametrize(
    "variables", ["vm1.fd", "web10.fd", "web1", "vm1/web1.fd", "web1/../vm1.fd", "media/web1.fd"]
)
def test_another_guests_variable_store_is_refused_by_name(variables: str) -> None:
    path = f"/variables/{variables}"
    (flaw,) = flaws(firmware={"bootrom": "/firmware/UEFI.fd", "variables": path})
    assert path in flaw
    assert "node.variables_dirs" in flaw


@pytest.mark.parametrize("image", ["web1.img", "web1.raw", "web1/root.img", "web1/a/b"])
def test_a_guest_may_have_images_of_its_name(image: str) -> None:
    assert with_disk(image) == []


@pytest.mark.parametrize(
    "image",
    ["vm1.img", "web10.img", "web1.a.img", "web1", "web1-a.img", "vm1/web1.img", "a/web1/b"],
)
def test_another_guests_image_is_refused_by_name(image: str) -> None:
    (flaw,) = with_disk(image)
    assert image in flaw


def test_a_cd_may_be_everybodys_and_a_disk_may_not() -> None:
    assert with_disk("media/install.iso", "ahci-cd") == []
    assert with_disk("media/install.iso")
    assert with_disk("vm1.img", "ahci-cd")


@pytest.mark.parametrize("option", ["/dev/ada0", "keyboard.layout=../../etc/passwd", "x=/etc"])
def test_no_option_names_a_path_of_the_host(option: str) -> None:
    assert any(option in flaw for flaw in flaws(options=[option]))
    device = {"slot": "7", "emulation": "ahci-cd", "options": [option]}
    assert any(option in flaw for flaw in flaws(devices=[device, LPC]))
