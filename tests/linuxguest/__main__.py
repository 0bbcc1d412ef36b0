"""`python -m tests.linuxguest [DIRECTORY]` builds the guest and says where it is."""

import sys
from pathlib import Path

from tests.linuxguest.image import build

if __name__ == "__main__":
    image = build(Path(sys.argv[1] if len(sys.argv) > 1 else ".guest").absolute())
    sys.stdout.write(f"{image.kernel}\n{image.initrd}\n")
