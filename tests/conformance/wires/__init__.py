"""Every wire format there is an adapter for."""

from conformance.wires import anthropic, azure_openai, bedrock, cohere, gemini, ollama, openai, openai_responses

WIRES = [
    openai.WIRE,
    openai_responses.WIRE,
    azure_openai.WIRE,
    anthropic.WIRE,
    cohere.WIRE,
    ollama.WIRE,
    gemini.WIRE,
    bedrock.WIRE,
]
