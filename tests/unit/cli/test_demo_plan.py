import pytest
import typer
from typer.testing import CliRunner

from cli.demo import plan
from cli.demo.run import demo
from penstock.errors import ConfigError
from penstock.settings import parse_config
from penstock.webhooks.endpoints import static_endpoints


def test_the_simulated_configuration_is_valid() -> None:
    providers = [provider.at(f"http://127.0.0.1:{port}") for port, provider in enumerate(plan.SIMULATED, 9001)]
    keys = plan.Secrets.new()
    config = parse_config(plan.configuration(providers, keys, "http://127.0.0.1:9999/webhooks"), "demo")
    assert config.providers["openai-sim"].base_url == "http://127.0.0.1:9001/v1"
    assert config.providers["anthropic-sim"].base_url == "http://127.0.0.1:9002"
    assert {key.tenant for key in config.keys} == {"evals", "product"}
    assert all(model.price for model in config.models.values())
    assert len(static_endpoints(config.webhooks)) == 1


def test_live_without_a_key_says_which_to_set() -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY or ANTHROPIC_API_KEY"):
        plan.live("a", "b")


def test_live_takes_the_providers_there_are_keys_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never writes the key itself into the configuration file."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-example")
    (provider,) = plan.live("a", "b")
    assert (provider.wire_format, provider.model, provider.simulated) == ("anthropic", "b", False)
    raw = plan.configuration([provider], plan.Secrets.new(), "http://127.0.0.1:9999/webhooks")
    assert "sk-ant-example" not in str(raw)
    key = parse_config(raw, "demo").providers["anthropic"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-ant-example"


def test_live_without_a_key_ends_before_anything_starts() -> None:
    app = typer.Typer()
    app.command()(demo)
    result = CliRunner().invoke(app, ["--live"])
    assert result.exit_code == 1
    assert result.stderr.startswith("penstock demo: --live asks real providers")
    assert result.stdout == ""
