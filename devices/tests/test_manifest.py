"""The manifest's schema, and the order of versions."""

from __future__ import annotations

import pytest

from devices.packaging.manifest import ManifestError, parse, read, version_key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "longer"),
        ("[" * 60_000, "not JSON"),
        ("[]", "object"),
        ("{}", "'version' is a required property"),
        ('{"version": 1}', "version"),
        ('{"version": ""}', "version"),
        ('{"version": "../1"}', "version"),
        ('{"version": "1\\n"}', "version"),
        ('{"version": "1", "deploy": {"script": "../../bin/sh"}}', "deploy.script"),
        ('{"version": "1", "deploy": {"script": "/bin/sh"}}', "deploy.script"),
        ('{"version": "1", "deploy": {"script": "a", "timeout_seconds": 86400}}', "deploy.timeout_seconds"),
        ('{"version": "1", "device_types": "pi4"}', "device_types"),
        ('{"version": "1", "device_types": ["%s"]}' % ("x" * 51), "device_types"),
        ('{"version": "1", "model": 3}', "model"),
        ('{"version": "1", "about": "\\u0000"}', "zero byte"),
        ('{"version": "1", "about": {"\\ud800": 1}}', "half a character"),
        ('{"version": "1", "about": [NaN]}', "a number that is none"),
    ],
)
def test_what_does_not_fit_is_named(text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        parse(text)


def test_model_may_be_a_text_or_an_object() -> None:
    assert read({"version": "1", "model": "resnet"}).model_name == "resnet"
    assert read({"version": "1", "model": {"name": "resnet", "size_mb": 97.5}}).model_size_mb == 97.5


def test_versions_are_ordered_as_people_mean_them() -> None:
    ordered = ["0.9", "1.0-alpha", "1.0-rc1", "1.0", "1.0.1", "1.9", "1.10", "1.10.1", "2", "10"]

    shuffled = ordered[::2] + ordered[1::2]

    assert sorted(shuffled, key=version_key) == ordered


@pytest.mark.parametrize(("one", "other"), [("1.0", "1"), ("1.0.0", "1.0"), ("v1.2", "1.2"), ("1.2+build5", "1.2")])
def test_versions_that_are_the_same(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)
