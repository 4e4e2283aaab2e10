"""Every wire format there is an adapter for."""

from conformance.wires import anthropic, openai

WIRES = [openai.WIRE, anthropic.WIRE]
