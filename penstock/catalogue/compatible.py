"""Who serves OpenAI's chat completions."""

from penstock.catalogue.vendor import Quirks, Vendor


def _row(name: str, base_url: str, key_variable: str | None, docs: str, quirks: Quirks | None = None) -> Vendor:
    return Vendor(name, "openai", base_url, key_variable, docs, quirks or Quirks())


def _these(*names: str) -> frozenset[str]:
    return frozenset(names)


OPENAI = Quirks(limit_field="max_completion_tokens", unsupported=_these("top_k"), dropped=_these("thinking"))
_GLM = Quirks(reasoning="thinking", reasoning_field="reasoning_content", required_tool_choice=None)
_QWEN = Quirks(reasoning="enable_thinking", unsupported=_these("frequency_penalty", "logit_bias"))

#: who serves OpenAI's chat completions; a row without quirks says that its documents name none that concern us
COMPATIBLE = (
    _row("ai21", "https://api.ai21.com/studio/v1", "AI21_API_KEY", "https://docs.ai21.com/reference/jamba-1-6-api-ref"),
    _row(
        "baseten",
        "https://inference.baseten.co/v1",
        "BASETEN_API_KEY",
        "https://docs.baseten.co/inference/model-apis/overview",
    ),
    _row(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        "https://inference-docs.cerebras.ai/resources/openai",
        Quirks(limit_field="max_completion_tokens", reasoning_field="reasoning"),
    ),
    _row("chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY", "https://chutes.ai/docs/guides/reasoning-models"),
    _row(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        "https://www.alibabacloud.com/help/en/model-studio/deep-thinking",
        _QWEN,
    ),
    _row(
        "dashscope-cn",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        "https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope",
        _QWEN,
    ),
    _row(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
        "https://docs.deepinfra.com/chat/reasoning",
    ),
    _row(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        "https://api-docs.deepseek.com/guides/thinking_mode",
        Quirks(
            unsupported=_these("n", "logit_bias", "json_schema"),
            reasoning="thinking",
            reasoning_field="reasoning_content",
        ),
    ),
    _row(
        "featherless",
        "https://api.featherless.ai/v1",
        "FEATHERLESS_API_KEY",
        "https://featherless.ai/docs/api-overview-and-common-options",
    ),
    _row(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        "https://docs.fireworks.ai/guides/reasoning",
    ),
    _row(
        "friendli",
        "https://api.friendli.ai/serverless/v1",
        "FRIENDLI_TOKEN",
        "https://friendli.ai/docs/guides/serverless_endpoints/introduction",
    ),
    _row(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        "https://console.groq.com/docs/openai",
        # usage comes unasked, in the last chunk's `x_groq`
        Quirks(
            limit_field="max_completion_tokens",
            unsupported=_these("n", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty"),
            dropped=_these("name"),
            stream_usage=False,
            reasoning_field="reasoning",
        ),
    ),
    _row(
        "huggingface",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        "https://huggingface.co/docs/inference-providers/tasks/chat-completion",
    ),
    _row(
        "hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY", "https://docs.hyperbolic.xyz/docs/rest-api"
    ),
    _row(
        "inception",
        "https://api.inceptionlabs.ai/v1",
        "INCEPTION_API_KEY",
        "https://docs.inceptionlabs.ai/api-reference/chat/create-a-chat-completion",
    ),
    _row(
        "inference-net",
        "https://api.inference.net/v1",
        "INFERENCE_API_KEY",
        "https://docs.inference.net/api/api-quickstart",
    ),
    _row(
        "minimax",
        "https://api.minimax.io/v1",
        "MINIMAX_API_KEY",
        "https://platform.minimax.io/docs/api-reference/text-openai-api",
        Quirks(
            limit_field="max_completion_tokens",
            unsupported=_these("n", "presence_penalty", "frequency_penalty", "logit_bias"),
            reasoning_field="reasoning_details",
        ),
    ),
    _row(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        "https://docs.mistral.ai/api",
        # usage comes unasked, in the last chunk
        Quirks(
            unsupported=_these("top_k", "logprobs", "top_logprobs", "logit_bias"),
            dropped=_these("user", "name"),
            renamed={"seed": "random_seed", "dimensions": "output_dimension"},
            stream_usage=False,
            required_tool_choice="any",
            reasoning_field="thinking",
        ),
    ),
    _row(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        "https://platform.kimi.ai/docs/api/chat",
        Quirks(required_tool_choice=None, reasoning="thinking", reasoning_field="reasoning_content"),
    ),
    _row(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        "NEBIUS_API_KEY",
        "https://docs.tokenfactory.nebius.com/api-reference/inference/create-chat-completion",
    ),
    _row(
        "novita",
        "https://api.novita.ai/openai/v1",
        "NOVITA_API_KEY",
        "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
    ),
    _row(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        "https://docs.api.nvidia.com/nim/reference/llm-apis",
    ),
    _row(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "https://platform.openai.com/docs/api-reference/chat",
        OPENAI,
    ),
    _row(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "https://openrouter.ai/docs/guides/best-practices/reasoning-tokens",
        Quirks(reasoning="reasoning", reasoning_field="reasoning_details"),
    ),
    _row(
        "ovhcloud",
        "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        "OVH_AI_ENDPOINTS_ACCESS_TOKEN",
        "https://www.ovhcloud.com/en/public-cloud/ai-endpoints/catalog",
    ),
    # usage comes unasked, with every chunk
    _row(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        "https://docs.perplexity.ai/api-reference/sonar-post",
        Quirks(stream_usage=False),
    ),
    _row(
        "requesty", "https://router.requesty.ai/v1", "REQUESTY_API_KEY", "https://docs.requesty.ai/features/reasoning"
    ),
    _row(
        "sambanova",
        "https://api.sambanova.ai/v1",
        "SAMBANOVA_API_KEY",
        "https://docs.sambanova.ai/docs/en/features/openai-compatibility",
    ),
    _row(
        "scaleway",
        "https://api.scaleway.ai/v1",
        "SCW_SECRET_KEY",
        "https://www.scaleway.com/en/docs/generative-apis/api-cli/using-chat-api",
        Quirks(
            unsupported=_these("n", "top_logprobs", "logit_bias", "frequency_penalty"),
            dropped=_these("user"),
        ),
    ),
    _row(
        "siliconflow",
        "https://api.siliconflow.com/v1",
        "SILICONFLOW_API_KEY",
        "https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions",
        Quirks(reasoning="enable_thinking"),
    ),
    _row(
        "stepfun",
        "https://api.stepfun.com/v1",
        "STEPFUN_API_KEY",
        "https://platform.stepfun.com/docs/zh/api-reference/chat/chat-completion-create",
    ),
    _row(
        "together",
        "https://api.together.ai/v1",
        "TOGETHER_API_KEY",
        "https://docs.together.ai/reference/chat-completions",
    ),
    _row(
        "upstage", "https://api.upstage.ai/v1/solar", "UPSTAGE_API_KEY", "https://developers.upstage.ai/docs/apis/chat"
    ),
    _row(
        "venice",
        "https://api.venice.ai/api/v1",
        "VENICE_API_KEY",
        "https://docs.venice.ai/api-reference/endpoint/chat/completions",
    ),
    _row(
        "vercel",
        "https://ai-gateway.vercel.sh/v1",
        "AI_GATEWAY_API_KEY",
        "https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions/advanced",
        Quirks(reasoning="reasoning"),
    ),
    _row("vultr", "https://api.vultrinference.com/v1", "VULTR_API_KEY", "https://api.vultrinference.com"),
    _row(
        "wandb",
        "https://api.inference.wandb.ai/v1",
        "WANDB_API_KEY",
        "https://docs.wandb.ai/inference/response-settings/reasoning",
    ),
    _row(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        "https://docs.x.ai/docs/api-reference",
        Quirks(limit_field="max_completion_tokens", unsupported=_these("top_k")),
    ),
    _row("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", "https://docs.z.ai/guides/capabilities/thinking", _GLM),
    _row(
        "zhipu",
        "https://open.bigmodel.cn/api/paas/v4",
        "ZHIPUAI_API_KEY",
        "https://docs.bigmodel.cn/cn/guide/capabilities/thinking",
        _GLM,
    ),
    # servers that one runs oneself, at the address their documents start them on
    _row(
        "llama.cpp", "http://127.0.0.1:8080/v1", None, "https://github.com/ggml-org/llama.cpp/tree/master/tools/server"
    ),
    _row(
        "lmstudio",
        "http://127.0.0.1:1234/v1",
        None,
        "https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        Quirks(unsupported=_these("n", "logprobs", "top_logprobs")),
    ),
    _row("localai", "http://127.0.0.1:8080/v1", None, "https://localai.io/features/openai-functions"),
    _row("sglang", "http://127.0.0.1:30000/v1", None, "https://docs.sglang.ai/basic_usage/openai_api_completions.html"),
    _row(
        "tgi",
        "http://127.0.0.1:8080/v1",
        None,
        "https://huggingface.co/docs/text-generation-inference/basic_tutorials/consuming_tgi",
        Quirks(unsupported=_these("n", "logit_bias")),
    ),
    _row(
        "vllm",
        "http://127.0.0.1:8000/v1",
        None,
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        Quirks(tells_stop=True),
    ),
)
