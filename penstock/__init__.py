"""Penstock: a self-hosted LLM gateway whose unit is a durable job."""
