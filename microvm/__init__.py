"""A micro hypervisor that answers to bhyve's command line where bhyve does not run."""
