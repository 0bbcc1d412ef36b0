"""A program in ifconfig's place, which notes what it is asked and keeps interfaces as files."""

from pathlib import Path

from bmigd.drivers.bhyve.taps import BhyveTaps

IFCONFIG = """\
#!/bin/sh
# Interfaces are files beside this one; `refuse` names an argument that fails.
cd "${0%/*}" || exit 9
echo "$*" >> calls
for word in $(cat refuse 2>/dev/null); do
    case " $* " in *" $word "*) echo "ifconfig: $word: refused" >&2; exit 1 ;; esac
done
if [ "$1 $2" = "tap create" ]; then
    n=0; while [ -e "tap$n" ]; do n=$((n + 1)); done
    : > "tap$n"; echo "tap$n"; exit
fi
case $1 in tap*)
    [ -e "$1" ] || { echo "ifconfig: interface $1 does not exist" >&2; exit 1; } ;;
esac
case $2 in
    "") cat "$1" ;;
    description) printf '%s: flags=8902\\n\\tdescription: %s\\n' "$1" "$3" > "$1" ;;
    destroy) rm "$1" ;;
esac
"""
MAC, SECOND = "58:9c:fc:00:00:01", "58:9c:fc:00:00:02"
CARD = {"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": MAC}
NETWORKS = {"lan": "bridge0", "dmz": "bridge1"}


class Host:
    """A directory of interfaces with its ifconfig."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.ifconfig = directory / "ifconfig"
        self.ifconfig.write_text(IFCONFIG)
        self.ifconfig.chmod(0o700)
        self.taps = BhyveTaps(self.ifconfig, NETWORKS, directory / "notes")

    def calls(self) -> list[str]:
        """What it was asked since it was last looked at."""
        path = self.directory / "calls"
        said = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return said

    def interfaces(self) -> list[str]:
        """Those that exist."""
        return sorted(path.name for path in self.directory.glob("tap*"))

    def refuse(self, *words: str) -> None:
        """Have calls with such an argument fail."""
        (self.directory / "refuse").write_text(" ".join(words))

    def restart(self) -> None:
        """Interfaces are gone with the host's run; notes stay."""
        for name in self.interfaces():
            (self.directory / name).unlink()
