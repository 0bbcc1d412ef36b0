"""A real Linux guest for QEMU: Debian's kernel, busybox and memtester, and two small programs.

It works as the micro-VM's guest program does (microvm/README.md), so that the same oracle and the
same judge say whether its memory and its disk are what its history says.
"""
