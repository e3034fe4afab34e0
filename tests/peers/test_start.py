"""Starting: a wrong configuration never runs."""

import pytest

from conftest import Stack


@pytest.mark.parametrize("executable", ["rotation", "sweeper"])
def test_wrong_settings_stop_the_start_and_every_one_of_them_is_named(stack: Stack, executable: str) -> None:
    wrong = {
        "DRY_RUN_FLAG": "maybe",
        "PRIMARY_ACCOUNT_ID": "12345",
        "ROTATION_PERIOD": "20",
        "RECOVERY_GRACE_PERIOD": "ten",
        "SENDER_EMAIL": "keys@elsewhere.net",
    }
    said = stack.start(executable, **wrong).start_failure()
    missing = [f"{name}={value}" for name, value in wrong.items() if name not in said or value not in said]
    assert not missing, said


def test_a_sweeper_without_the_function_arn_does_not_start(stack: Stack) -> None:
    assert "ROTATION_FUNCTION_ARN" in stack.start("sweeper", ROTATION_FUNCTION_ARN="").start_failure()


@pytest.mark.parametrize("executable", ["rotation", "sweeper"])
def test_an_endpoint_without_tls_stops_the_start(stack: Stack, executable: str) -> None:
    said = stack.start(executable, AWS_ENDPOINT_URL_STS="http://sts.example.com").start_failure()
    assert "AWS_ENDPOINT_URL_STS" in said and "http://sts.example.com" in said, said
