"""The live suite itself, run against local brokers with the stand-ins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.broker_process import BrokerProcess, free_port
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import StartBroker
from tests.integration.live_targets import live, write_target

Tenants = dict[str, BrokerProcess]


@pytest.fixture(scope="module")
def others() -> Iterator[SupabaseStandIn]:
    """The second tenant's Supabase, which signs with HS256."""
    stand_in = SupabaseStandIn(alg="HS256")
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def tenants(
    broker_with: StartBroker, openai: OpenAIStandIn, supabase: SupabaseStandIn, others: SupabaseStandIn, tmp_path: Path
) -> Tenants:
    """Both tenants' brokers, with the targets' env files in `tmp_path`."""
    openai.token_delay = 0.02
    brokers = {
        "sksndev": broker_with(ready="/ready"),
        "techsksn": broker_with(
            ready="/ready", SUPABASE_URL=others.url, SUPABASE_SERVICE_KEY=others.service_key, ID_WHITE_LIST="[]"
        ),
    }
    write_target(tmp_path, "sksndev", brokers["sksndev"].url, supabase, "linus@example.com")
    write_target(tmp_path, "techsksn", brokers["techsksn"].url, others)
    return brokers


def test_it_passes_on_both_and_names_unchecked_targets(
    tenants: Tenants, openai: OpenAIStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints a table per target, makes the announced number of calls and names targets without a file."""
    before = len(openai.completions())
    status = live(["--folder", str(tmp_path)])
    said = capsys.readouterr().out
    assert status == 0, said
    promised = [int(line.partition("(")[2].split()[0]) for line in said.splitlines() if "calls to OpenAI" in line]
    assert len(promised) == len(tenants)
    assert len(openai.completions()) - before == sum(promised)
    for name in ("sksndev_prod", "techsksn_prod"):
        assert f"{name}: not checked: .env.{name} is missing" in said


def test_it_reports_failures(
    tenants: Tenants, openai: OpenAIStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenAI refuses the key; a stream arrives in one piece."""
    openai.token_delay = 0
    openai.next("401_masked_key", times=-1)
    assert live(["--folder", str(tmp_path), "sksndev"]) == 1
    assert "WRONG" in capsys.readouterr().out
    openai.reset()
    assert live(["--folder", str(tmp_path), "techsksn"]) == 1
    said = capsys.readouterr().out
    assert "a proxy buffers" in said
    assert "1 wrong" in said


def test_it_names_targets_that_cannot_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, an incomplete file, an unknown target, and a closed port."""
    assert live(["--folder", str(tmp_path), "techsksn_prod"]) == 2
    (tmp_path / ".env.techsksn_prod").write_text("BASE_URL=https://gpt.example\n")
    assert live(["--folder", str(tmp_path), "techsksn_prod"]) == 2
    assert live(["--folder", str(tmp_path), "another"]) == 2
    said = capsys.readouterr().out
    assert "does not set SUPABASE_URL, SUPABASE_ANON_KEY, SUPABASE_EMAIL, SUPABASE_PASSWORD" in said
    assert "the targets are sksndev, sksndev_prod, techsksn, techsksn_prod" in said
    assert live(["--folder", str(tmp_path), "--quick", "--url", f"http://127.0.0.1:{free_port()}", "sksndev"]) == 1
    assert "no usable response: ConnectionError" in capsys.readouterr().out
