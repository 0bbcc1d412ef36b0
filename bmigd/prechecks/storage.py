"""The disks must be the same files on both nodes, shown by a probe and not by their paths."""

from bmigd.prechecks.facts import Case, DiskFacts, Finding, failed, passed

Place = tuple[str, str]  # storage and image


def check(case: Case) -> Finding:
    """Every disk is there, as large as here (or growing), where the source's probe is seen."""
    growing = {(one.storage, one.image) for one in case.guest.devices if one.grows}
    here, there = _by_place(case.source.disks), _by_place(case.destination.disks)
    for place in case.guest.disks:
        flaw = _missing(case, place, here, there) or _another(
            case, here[place], there[place], grows=place in growing
        )
        if flaw:
            return flaw
    count = len(case.guest.disks)
    return passed("storage", f"{count} disk{'s' * (count != 1)}, the same on both nodes")


def _by_place(disks: tuple[DiskFacts, ...]) -> dict[Place, DiskFacts]:
    return {(one.storage, one.image): one for one in disks if one.size_bytes}


def _missing(
    case: Case, place: Place, here: dict[Place, DiskFacts], there: dict[Place, DiskFacts]
) -> Finding | None:
    storage, image = place
    if place not in here:
        keep = "; do not stop the guest before: what it has open may be all there is of it"
        return failed(
            "storage",
            "STORAGE_MISSING",
            f"{case.source.name} itself does not see disk {image!r} of storage {storage!r}",
            f"mount the storage and name it in [storage] of {case.source.name}"
            + (keep if case.is_running else ""),
            case.source.name,
        )
    if place not in there:
        return failed(
            "storage",
            "STORAGE_MISSING",
            f"{case.destination.name} does not see disk {image!r} of storage {storage!r}",
            f"mount the storage and name it in [storage] of {case.destination.name}",
            case.destination.name,
        )
    return None


def _another(case: Case, here: DiskFacts, there: DiskFacts, *, grows: bool) -> Finding | None:
    """A disk that grows may have done so meanwhile: they are not looked at together."""
    name = case.destination.name
    if here.size_bytes != there.size_bytes and not grows:
        return failed(
            "storage",
            "STORAGE_DIFFERS",
            f"disk {here.image!r} has {there.size_bytes} bytes on {name} and {here.size_bytes}"
            " here",
            f"storage {here.storage!r} is not the same on both nodes: mount the same one",
            name,
        )
    if not case.probe or there.probe != case.probe:
        return failed(
            "storage",
            "STORAGE_NOT_SHARED",
            f"{name} has a disk {here.image!r}, but in another storage: it does not see what"
            f" {case.source.name} wrote into {here.storage!r}",
            "mount the same storage on both nodes; a copy would be a second, older disk",
            name,
        )
    return None
