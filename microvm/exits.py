"""bhyve's exit statuses, as its supervisors know them."""

RESET = 0  # also a successful suspend
POWEROFF = 1  # also usage, config.dump and a failed restore
HALT = 2
TRIPLE_FAULT = 3
FATAL = 4  # configuration, devices, or the VM destroyed under its process
BAD_DATA = 65  # a kernel structure that is missing in a snapshot
UNKNOWN_SUSPEND = 100
