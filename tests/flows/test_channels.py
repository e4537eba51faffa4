"""Which channels there are, where their secrets come from, and where those never stand."""

import json

import pytest

from flows.channels import (
    ChannelChoice,
    channel_names,
    default_channels,
    open_channels,
    open_planned,
    plan_channels,
    require_no_secrets,
    secret_webhook_channel,
    webhook_channel,
)
from infra.settings import Settings
from monitoring.alerts.alert import ChannelError

OPS = {"ops": {"name": "slack", "options": {"url": "secret:slack_url"}}}


def settings_of(tmp_path, **values) -> Settings:
    settings = Settings(home=tmp_path, **values)
    settings.root.mkdir(exist_ok=True)
    return settings


def test_channels_of_the_home_come_beside_the_log(tmp_path):
    settings = settings_of(tmp_path)
    assert list(default_channels(settings)) == ["log"]
    settings.channels_file.write_text(json.dumps(OPS))
    assert default_channels(settings)["ops"] == ChannelChoice(name="slack", options={"url": "secret:slack_url"})


def test_environment_stands_before_the_file_when_both_name_channels(tmp_path):
    settings = settings_of(tmp_path, channels=json.dumps({"mine": {"name": "log"}}), webhook_url="http://x/hook")
    settings.channels_file.write_text(json.dumps(OPS))
    assert list(default_channels(settings)) == ["log", "webhook", "mine"]
    assert "mine" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"ops": "s3cret"', r"channels\.json, the whole text: Invalid JSON.*Expected"),
        ('{"ops": "s3cret"}', r"channels\.json, ops: "),
        ('{"ops": {"options": {"url": "s3cret"}}}', r"ops\.name: Field required"),
        ('{"ops": {"name": "slack", "option": "s3cret"}}', r"ops\.option: Extra inputs"),
        ('["s3cret"]', "the whole text"),
    ],
)
def test_file_is_refused_with_the_place_and_without_its_text_when_it_is_wrong(tmp_path, text, words):
    settings = settings_of(tmp_path)
    settings.channels_file.write_text(text)
    with pytest.raises(ChannelError, match=words) as caught:
        default_channels(settings)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secret_is_read_from_the_home_when_an_option_refers_to_it(tmp_path):
    settings = settings_of(tmp_path)
    settings.keep_secret("slack_url", "https://hooks/s3cret\n")
    assert settings.secret_file("slack_url").stat().st_mode & 0o777 == 0o600
    channel = open_channels(settings, {"ops": ChannelChoice(**OPS["ops"])})["ops"]
    assert channel.config.url.get_secret_value() == "https://hooks/s3cret"


@pytest.mark.parametrize("name", ["nowhere", "../write_token", "/etc/passwd", ".hidden"])
def test_secret_is_refused_when_it_is_not_kept_in_the_home(tmp_path, name):
    settings = settings_of(tmp_path)
    choice = ChannelChoice(name="slack", options={"url": f"secret:{name}"})
    with pytest.raises(ChannelError, match=r"channel 'ops': the secret .* cannot be read"):
        open_channels(settings, {"ops": choice})


def test_plan_keeps_what_works_beside_what_does_not(tmp_path):
    settings = settings_of(tmp_path)
    settings.keep_secret("hook_url", "http://127.0.0.1:9/s3cret")
    named = {
        "hook": {"name": "webhook", "options": {"url": "secret:hook_url"}},
        "ops": {"name": "slack", "options": {"url": "secret:none"}},
        "odd": {"name": "slack", "options": {"url": "x"}},
    }
    settings.channels_file.write_text(json.dumps(named))
    plan = plan_channels(settings)
    assert "s3cret" not in repr(plan)
    opened, problems = open_planned(plan)
    assert list(opened) == ["log", "hook"]
    assert "secret 'none' cannot be read" in problems["ops"]
    assert "no http or https address" in problems["odd"]
    assert plan == plan_channels(settings)
    settings.keep_secret("hook_url", "http://127.0.0.1:9/new")
    assert plan != plan_channels(settings)


def test_plan_is_the_log_alone_when_the_list_cannot_be_read(tmp_path):
    settings = settings_of(tmp_path)
    settings.channels_file.write_text("{")
    opened, problems = open_planned(plan_channels(settings))
    assert list(opened) == ["log"]
    assert "Invalid JSON" in problems["list"]


def test_mistake_in_the_list_loses_no_alert_of_a_channel_that_was_told_before(tmp_path, caplog):
    settings = settings_of(tmp_path)
    settings.channels_file.write_text(json.dumps({"ops": {"name": "log"}}))
    assert channel_names(settings, earlier=["old"]) == ["log", "ops"]
    settings.channels_file.write_text("{")
    assert channel_names(settings, earlier=["ops", "log"]) == ["log", "ops"]
    assert "cannot be read" in caplog.text
    settings.channels_file.unlink()
    settings.channels_file.mkdir()
    with pytest.raises(ChannelError, match=r"channels\.json cannot be read: IsADirectoryError"):
        default_channels(settings)


def test_wrong_option_names_the_channel_it_is_of(tmp_path):
    with pytest.raises(ChannelError, match=r"channel 'ops': alert channel 'slack', url: "):
        open_channels(settings_of(tmp_path), {"ops": ChannelChoice(name="slack", options={"url": "x"})})


@pytest.mark.parametrize(
    ("choice", "option"),
    [
        (ChannelChoice(name="slack", options={"url": "https://hooks/s3cret"}), "url"),
        (ChannelChoice(name="webhook", options={"url": "http://x", "token": "s3cret"}), "token"),
        (ChannelChoice(name="pagerduty", options={"routing_key": "s3cret"}), "routing_key"),
        (ChannelChoice(name="email", options={"password": "s3cret"}), "password"),
    ],
)
def test_secret_is_refused_when_it_stands_in_a_flow_parameter(choice, option):
    with pytest.raises(ChannelError, match=f"channel 'ops', option '{option}': a secret stands") as caught:
        require_no_secrets({"ops": choice})
    assert "s3cret" not in str(caught.value)
    require_no_secrets({"ops": ChannelChoice(name=choice.name, options={option: "secret:mine"})})


def test_address_of_a_webhook_stays_in_the_home_when_it_is_kept_as_a_secret(tmp_path):
    settings = settings_of(tmp_path)
    choices = secret_webhook_channel(settings, "http://127.0.0.1:9/s3cret", name="your webhook")
    assert "s3cret" not in choices["your webhook"].model_dump_json()
    channel = open_channels(settings, choices)["your webhook"]
    assert str(channel.config.url) == "http://127.0.0.1:9/s3cret"
    assert webhook_channel("http://x")["webhook"].options == {"url": "http://x"}
