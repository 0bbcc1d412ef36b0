"""A guest with a network card is announced by the node that it came to."""

import json

import pytest

from bmigd.announce import reverse_arp
from tests.announce.cable import in_namespace

pytestmark = pytest.mark.e2e


def test_a_moved_guest_is_announced_on_its_network_and_the_check_says_so() -> None:
    seen = json.loads(in_namespace("migrate"))
    assert seen["before"] == 0
    assert "passed   network       the guest will be announced there on lan" in seen["check"]
    assert seen["frames"] == [reverse_arp("58:9c:fc:00:00:01").hex()] * 5
