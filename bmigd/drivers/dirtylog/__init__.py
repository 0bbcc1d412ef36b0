"""Exact dirty logs on Linux, for drivers whose hypervisor maps guest memory from a shared file.

`preload.c` runs inside the hypervisor and has the kernel watch the mapping; `log.py` is the
daemon's end of it, and a DirtyLog; `pagemap.py` asks the kernel what was written; `unseen.py` looks
for whoever could write without being seen. Why so: docs/adr/0017-preloaded-dirty-log.md.
"""
