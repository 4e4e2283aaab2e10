"""Load: what a job costs on this machine."""
