"""The providers of a configuration: which adapter speaks which wire format."""

from penstock.configuration import Config
from penstock.http import make_client
from penstock.providers.anthropic_messages import AnthropicMessages
from penstock.providers.azure_openai import AzureOpenAI
from penstock.providers.base import Provider
from penstock.providers.bedrock import Bedrock
from penstock.providers.cohere import CohereChat
from penstock.providers.exchange import WireProvider
from penstock.providers.gemini import Gemini
from penstock.providers.ollama import OllamaChat
from penstock.providers.openai_chat import OpenAIChat
from penstock.providers.openai_responses import OpenAIResponses

ADAPTERS: dict[str, type[WireProvider]] = {
    "openai": OpenAIChat,
    "openai-responses": OpenAIResponses,
    "azure-openai": AzureOpenAI,
    "anthropic": AnthropicMessages,
    "cohere": CohereChat,
    "ollama": OllamaChat,
    "gemini": Gemini,
    "bedrock": Bedrock,
}

#: a worker's permits count jobs; connections that are being closed or opened come on top
_SPARE_CONNECTIONS = 50


def make_providers(config: Config) -> dict[str, Provider]:
    """One provider per entry of `providers`, each with connections of its own. The caller closes them.

    Raises:
        ConfigError: a base URL is not one.
    """
    connections = config.worker.permits + _SPARE_CONNECTIONS
    providers: dict[str, Provider] = {}
    for name, provider in config.providers.items():
        models = ((public, model) for public, model in config.models.items() if model.provider == name)
        known = {model.upstream_model or public: model.max_output for public, model in models}
        providers[name] = ADAPTERS[provider.wire_format](
            name,
            provider,
            make_client(connections=connections),
            max_output={model: tokens for model, tokens in known.items() if tokens is not None},
        )
    return providers
