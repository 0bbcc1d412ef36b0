"""The disks must be the same files on both nodes, shown by a probe and not by their paths."""

from bmigd.prechecks.facts import Case, Finding, failed, passed


def check(case: Case) -> Finding:
    """Every disk is there, as large as here (or growing), where the source's probe is seen."""
    there = case.destination
    growing = {(one.storage, one.image) for one in case.guest.devices if one.grows}
    sizes_here = {(disk.storage, disk.image): disk.size_bytes for disk in case.source.disks}
    seen = {(disk.storage, disk.image): disk for disk in there.disks}
    for storage, image in case.guest.disks:
        if not sizes_here.get((storage, image)):
            return failed(
                "storage",
                "STORAGE_MISSING",
                f"{case.source.name} itself does not see disk {image!r} of storage {storage!r} any"
                " more, which its guest has open",
                "do not stop the guest: what it has open is all there may be of that disk",
                case.source.name,
            )
        disk = seen.get((storage, image))
        if disk is None or disk.size_bytes == 0:
            return failed(
                "storage",
                "STORAGE_MISSING",
                f"{there.name} does not see disk {image!r} of storage {storage!r}",
                f"mount the storage and name it in [storage] of {there.name}",
                there.name,
            )
        is_equal = disk.size_bytes == sizes_here.get((storage, image))
        if not is_equal and (storage, image) not in growing:  # they were not looked at together
            return failed(
                "storage",
                "STORAGE_DIFFERS",
                f"disk {image!r} has {disk.size_bytes} bytes on {there.name} and"
                f" {sizes_here[storage, image]} here",
                f"storage {storage!r} is not the same on both nodes: mount the same one",
                there.name,
            )
        if not case.probe or disk.probe != case.probe:
            return failed(
                "storage",
                "STORAGE_NOT_SHARED",
                f"{there.name} has a disk {image!r}, but in another storage: it does not see what"
                f" {case.source.name} wrote into {storage!r}",
                "mount the same storage on both nodes; a copy would be a second, older disk",
                there.name,
            )
    count = len(case.guest.disks)
    return passed("storage", f"{count} disk{'s' * (count != 1)}, the same on both nodes")
