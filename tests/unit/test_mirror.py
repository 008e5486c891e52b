"""Every module of the broker has its test file, found by name, or a row that names the test file that covers it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = "tests/unit/"
WHOLE = "tests/integration/"

# modules that are covered by the tests of the modules that use them, or only make sense in a running broker
COVERED_BY = {
    "app": WHOLE + "test_contract.py",
    "auth/verdicts": UNIT + "auth/test_supabase_client.py",
    "caller": UNIT + "auth/test_tokens.py",
    "cli/__main__": UNIT + "cli/test_commands.py",
    "cli/environment": UNIT + "cli/test_commands.py",
    "cli/project": UNIT + "cli/test_users.py",
    "cli/user_report": UNIT + "cli/test_users.py",
    "doctor/checks": WHOLE + "test_doctor.py",
    "doctor/findings": WHOLE + "test_doctor.py",
    "doctor/public_checks": WHOLE + "test_doctor.py",
    "doctor/public_url": WHOLE + "test_doctor.py",
    "doctor/rehearsal": WHOLE + "test_rehearsal.py",
    "doctor/rehearsal_requests": WHOLE + "test_rehearsal.py",
    "errors/base": UNIT + "errors/test_bodies.py",
    "errors/limits": UNIT + "errors/test_bodies.py",
    "errors/openai": UNIT + "openai/test_replies.py",
    "errors/openai_paths": UNIT + "errors/test_bodies.py",
    "errors/last_lines": UNIT + "web/test_stream_response.py",
    "errors/request": UNIT + "server/test_request_validation.py",
    "errors/responses": UNIT + "openai/requests/responses_api/test_responses.py",
    "openai/requests/answer_bound": UNIT + "openai/requests/test_chat_completions.py",
    "openai/requests/content_parts": UNIT + "openai/requests/test_chat_completions.py",
    "openai/requests/responses_api/response_items": UNIT + "openai/requests/responses_api/test_responses.py",
    "openai/requests/responses_api/response_tools": UNIT + "openai/requests/responses_api/test_responses.py",
    "openai/response_objects": UNIT + "openai/streaming/test_responses_relay.py",
    "openai/responses_client": UNIT + "web/endpoints/test_responses.py",
    "openai/streaming/event_splitter": UNIT + "openai/streaming/test_chat_relay.py",
    "quota/budgets/usage_levels": UNIT + "quota/test_quota.py",
    "quota/budgets/fuse_script": UNIT + "quota/budgets/test_tenant_fuse.py",
    "quota/calls/ledger": UNIT + "quota/test_quota.py",
    "quota/calls/records": UNIT + "quota/test_quota.py",
    "quota/calls/reservation": UNIT + "quota/test_quota.py",
    "quota/redis_clients/failures": UNIT + "quota/test_redis_store.py",
    "quota/redis_clients/shards": UNIT + "quota/test_redis_store.py",
    "quota/users/redis_access": UNIT + "quota/users/test_directory.py",
    "quota/users/user_scripts": UNIT + "quota/users/test_changes.py",
    "server/request_handler": WHOLE + "test_client_connections.py",
    "server/worker": WHOLE + "test_worker_faults.py",
    "telemetry/file_lock": UNIT + "server/test_multiprocess_metrics.py",
    "settings/consistency": UNIT + "settings/test_parsers.py",
    "settings/hosted_tools": UNIT + "openai/requests/responses_api/test_responses.py",
    "settings/secrets": UNIT + "settings/test_parsers.py",
    "strict_json": "tests/hostile/test_json.py",
    "telemetry/budget_metrics": UNIT + "quota/test_quota.py",
    "transport/lookups": UNIT + "quota/redis_clients/test_connections.py",
    "transport/messages": UNIT + "openai/test_keys.py",
    "transport/options": UNIT + "transport/test_connections.py",
    "web/endpoints/completions": WHOLE + "test_contract.py",
    "web/endpoints/stored_responses": UNIT + "web/endpoints/test_responses.py",
    "web/endpoints/stream": WHOLE + "test_streams.py",
    "web/openapi/answers": UNIT + "web/test_openapi.py",
    "web/openapi/document": UNIT + "web/test_openapi.py",
    "web/openapi/paths": UNIT + "web/test_openapi.py",
    "web/openapi/schemas": UNIT + "web/test_openapi.py",
    "web/services": UNIT + "test_secrecy.py",
}


def modules() -> set[str]:
    """Return the broker's modules, as paths without suffix."""
    found = {path.relative_to(ROOT / "broker").with_suffix("").as_posix() for path in (ROOT / "broker").rglob("*.py")}
    return {module for module in found if not module.endswith("__init__")}


def mirror_of(module: str) -> str:
    """Return the path of the module's own test file."""
    package, _, name = module.rpartition("/")
    return f"{UNIT}{package}/test_{name}.py" if package else f"{UNIT}test_{name}.py"


def test_every_module_has_a_test_file_or_a_row_here() -> None:
    """A new module needs `tests/unit/<package>/test_<module>.py`, or a row in `COVERED_BY`."""
    without = {module for module in modules() if not (ROOT / mirror_of(module)).is_file()}

    assert without == set(COVERED_BY)


@pytest.mark.parametrize("test", sorted(set(COVERED_BY.values())))
def test_the_test_files_of_the_rows_exist(test: str) -> None:
    """A moved test file moves in the table, too."""
    assert (ROOT / test).is_file()
