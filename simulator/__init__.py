"""A simulated LLM provider: real wire formats, real limits, ordered and random faults.

Imports nothing of the engine it tests: shared code would share its misreadings.
"""
