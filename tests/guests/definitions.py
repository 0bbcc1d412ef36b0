"""Guests for tests: one by hand, and any that is valid."""

from typing import Any

from hypothesis import strategies as st

from bmigd.guests.definition import MIB, Definition, make

VALUES: dict[str, Any] = {
    "name": "web1",
    "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
    "driver": "bhyve",
    "memory_bytes": 512 * MIB,
    "cpu": {"sockets": 1, "cores": 2, "threads": 1},
    "firmware": {"bootrom": "/firmware/UEFI.fd"},
    "devices": [
        {"slot": "0", "emulation": "hostbridge"},
        {"slot": "4", "emulation": "virtio-blk", "storage": "nfs", "image": "web1.raw"},
        {"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": "58:9c:fc:00:00:01"},
        {"slot": "31", "emulation": "lpc"},
    ],
}


def a_guest(**changes: Any) -> Definition:
    """The one by hand, with changes."""
    return make({**VALUES, **changes})


WORDS = st.from_regex(r"[A-Za-z0-9._=:/@+-]{1,20}", fullmatch=True)
LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,6}[A-Za-z0-9])?", fullmatch=True)
PATHS = WORDS.map(lambda word: f"/{word}")
PLAIN = st.fixed_dictionaries(
    {
        "emulation": st.sampled_from(["virtio-rnd", "xhci", "amd_hostbridge"]),
        "options": st.lists(WORDS, max_size=2),
    }
)
DISKS = st.fixed_dictionaries(
    {
        "emulation": st.just("virtio-blk"),
        "storage": LABELS,
        "image": st.from_regex(r"[a-z_]([a-z0-9_/-]){0,10}", fullmatch=True),
    }
)
CARDS = st.fixed_dictionaries(
    {
        "emulation": st.just("e1000"),
        "network": LABELS,
        "mac": st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", fullmatch=True),
    }
)
GUESTS = st.builds(
    lambda devices, **values: make(
        {**values, "devices": [{"slot": str(n), **one} for n, one in enumerate(devices)]}
    ),
    devices=st.lists(PLAIN | DISKS | CARDS, max_size=4),
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", fullmatch=True),
    uuid=st.uuids(),
    driver=st.from_regex(r"[a-z]{1,16}", fullmatch=True),
    memory_bytes=st.integers(16, 1 << 24).map(lambda mib: mib * MIB),
    wired_memory=st.booleans(),
    cpu=st.fixed_dictionaries({"sockets": st.integers(1, 64), "threads": st.integers(1, 8)}),
    machine=st.none() | st.from_regex(r"pc-[a-z0-9]{1,9}-[1-9]\.[0-9]", fullmatch=True),
    firmware=st.just({})
    | st.fixed_dictionaries({"bootrom": PATHS}, optional={"variables": PATHS})
    | st.fixed_dictionaries(
        {"kernel": PATHS},
        optional={
            "initrd": PATHS,
            "kernel_arguments": st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        },
    ),
    options=st.lists(WORDS, max_size=2),
)
