"""A real Linux guest under QEMU, moved by real daemons."""
