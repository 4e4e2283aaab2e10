"""What may reach a provider, and what may come back from one."""
