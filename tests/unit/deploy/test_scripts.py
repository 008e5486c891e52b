"""The scripts behind make's targets, with a `docker` that only writes down what it gets."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKER = """#!/bin/sh
case "$*" in
  build*) cat >"$GOT" ;;
  *) exit 0 ;;
esac
"""
BUILD = ". deploy/scripts/engine.sh; . deploy/scripts/images.sh; build; rm -r $work"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's files, not a git repository."""
    folder = tmp_path / "project"
    for name in ("wsgi.py", "requirements.txt", "config/gunicorn.conf.py", "deploy/Dockerfile", "deploy/probe.py",
                 "deploy/install-packages"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "deploy" / "scripts", folder / "deploy" / "scripts")
    (folder / "broker" / "__pycache__").mkdir(parents=True)
    (folder / "broker" / "app.py").write_text("X = 1\n")
    (folder / "broker" / "__pycache__" / "app.pyc").write_text("")
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    return folder


def build(folder: Path) -> tuple[str, list[str]]:
    """Build the image; returns the output, and the files that docker got."""
    got = folder.parent / "got.tar"
    environ = {
        "PATH": f"{folder.parent}:{os.environ['PATH']}",
        "GOT": str(got),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    done = subprocess.run(
        ("bash", "-euo", "pipefail", "-c", BUILD), cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    with tarfile.open(got) as context:
        return done.stdout + done.stderr, context.getnames()


def test_without_a_repository_the_image_is_named_by_its_content(copy: Path) -> None:
    """It says so; the same files give the same name, and changed ones another."""
    first, names = build(copy)
    assert "This folder is not a git repository: the image is built from the files as they are." in first
    assert "building gpt-broker:unversioned-" in first
    assert "broker/app.py" in names
    assert not any("__pycache__" in name for name in names)
    os.utime(copy / "broker" / "app.py", (0, 0))
    assert build(copy)[0] == first
    (copy / "broker" / "app.py").write_text("X = 2\n")
    assert build(copy)[0] != first


def test_the_image_is_built_from_the_commit(copy: Path) -> None:
    """Changed and untracked files are named; the image has the commit's."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "a")):
        subprocess.run((*git, *words), cwd=copy, check=True)
    (copy / "broker" / "new.py").write_text("X = 1\n")
    (copy / "wsgi.py").write_text("changed")
    output, names = build(copy)
    assert "Not committed, so not in the image:" in output
    assert " M wsgi.py" in output
    assert "?? broker/new.py" in output
    assert "broker/new.py" not in names


def test_a_repository_that_git_refuses_is_no_folder_without_one(copy: Path) -> None:
    """Git refuses one of another owner. The image would hold uncommitted files, without the name of a commit."""
    subprocess.run(("git", "init", "--quiet"), cwd=copy, check=True)
    said = sourced(copy, "build", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert "git cannot tell which commit this is. Nothing was started." in said
    assert "safe.directory" in said
    assert "building" not in said


def test_the_image_gets_every_file_that_the_dockerfile_copies(copy: Path) -> None:
    """deploy/stack sends the named files only, and a missing one would end every deployment."""
    copies = [line.split()[1:-1] for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
              if line.startswith("COPY ") and "--from" not in line]  # fmt: skip
    assert len(copies) > 4
    assert {name for names in copies for name in names} <= set(build(copy)[1])


def sourced(folder: Path, *lines: str, **environ: str) -> str:
    """What bash says that reads the scripts of deploy/stack, and then `lines`, which may replace their functions."""
    scripts = (
        "for one in engine tenants images logs releases proxy redis deploy operate; do . deploy/scripts/$one.sh; done"
    )
    signals = "on_signals() { trap 'exit 130' INT; }; on_signals"
    environment = {"PATH": f"{folder.parent}:{os.environ['PATH']}", "TMPDIR": str(folder.parent)} | environ
    command = ("bash", "-euo", "pipefail", "-c", "\n".join((scripts, signals, *lines)))
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout


@pytest.mark.parametrize("command", ["release sksndev 2 image", "repeat sksndev 1"])
def test_a_switch_that_fails_is_undone_before_the_new_release_stops(copy: Path, command: str) -> None:
    """The proxy may forward to the new release already: its users must not meet a stopped one."""
    replaced = (
        "current() { say 1; }; next_number() { say 2; }; need_volume() { :; }; try_release() { :; }; put_back() { :; }",
        "leave_old_layout() { :; }; need_volume() { :; }",
        'switch() { say "switch to $2"; [ "$2" = 1 ]; }; abandon() { say "stop $2"; }',
    )
    said = sourced(copy, *replaced, f"{command} || say failed").splitlines()
    assert said[-4:] == ["switch to 2", "switch to 1", "stop 2", "failed"]


def test_ctrl_c_ends_a_restore_only_when_redis_is_back(copy: Path) -> None:
    """An interrupted one would leave the tenant without Redis, and the next one would remove the counts from before."""
    (copy / "counts.rdb").write_text("REDIS")
    replaced = (
        "need_bundled_redis() { :; }; lock() { :; }; unlock() { :; }; wait_redis() { :; }; wait_current() { :; }",
        'docker() { case $1 in run) kill -INT $$ && say 7 ;; stop | start) say "$1" >&2 ;; esac; }',
    )
    said = sourced(copy, *replaced, "restore sksndev", FILE="counts.rdb").splitlines()
    assert said[1:3] == ["stop", "start"]
    assert said[3].startswith("sksndev: 7 keys are restored.")


@pytest.mark.parametrize(
    ("line", "is_bundled"),
    [
        ("REDIS_URL=redis://:@redis-stack:6379", True),
        ("REDIS_URL = redis://:@redis-stack:6379", True),
        ('  export  REDIS_URL="redis://:@redis-stack:6379"\r\n', True),
        ("REDIS_URL_FILE='/settings/url'", True),
        ("REDIS_URL=redis://other:6379 # not redis-stack", False),
        ("#REDIS_URL=redis://:@redis-stack:6379\nREDIS_URL=redis://other:6379", False),
    ],
)
def test_the_scripts_read_redis_url_as_the_program_does(copy: Path, line: str, is_bundled: bool) -> None:
    """Otherwise a tenant gets no Redis, and its broker never becomes ready."""
    (copy / ".env.sksndev").write_text(line)
    (copy / "deploy" / "secrets" / "sksndev").mkdir(parents=True)
    (copy / "deploy" / "secrets" / "sksndev" / "url").write_text("redis://:@redis-stack:6379\n")
    assert sourced(copy, "has_own_redis sksndev && say other || say bundled") == (
        "bundled\n" if is_bundled else "other\n"
    )


@pytest.mark.parametrize("to", ["1a2b", "1a2b3c4d5e6f", "1a2b3c4d5e6f00112233445566778899aabbccdd"])
def test_a_rollback_takes_a_commit_of_any_length(copy: Path, to: str) -> None:
    """`git log` shows all 40 digits; an image has twelve."""
    replaced = (
        "need_docker() { :; }; current() { say 3; }; releases() { printf '3\\n2\\n1\\n'; }; lock() { :; }",
        "unlock() { :; }; need_env_files() { :; }; need_redis() { :; }; repeat() { repeated=$2; }",
        "commit_of() { case $1 in *-1) say 1a2b3c4d5e6f ;; *) say ffffffffffff ;; esac; }",
    )
    assert sourced(copy, *replaced, "rollback sksndev", TO=to).startswith("sksndev runs 1a2b3c4d5e6f again")
    assert "no such release" in sourced(copy, *replaced, "rollback sksndev", TO="1a2b3c4d5e6e")


@pytest.mark.parametrize("environ", [{}, {"RELEASE": "7"}])
def test_the_command_for_logs_leaves_nothing_behind(copy: Path, environ: dict[str, str]) -> None:
    """Docker's own command takes the place of the script, whose trap then does not run."""
    sourced(copy, "need_docker() { :; }; current() { say 7; }; state() { say running; }", "logs sksndev", **environ)
    assert list(copy.parent.glob("gpt-broker.*")) == []


def test_the_doctor_reads_an_account_as_the_live_suite_does(copy: Path) -> None:
    """Quotes and comments do not belong to a value. The second file wins, and only it names the public URL."""
    live = copy / "tests" / "live"
    live.mkdir(parents=True)
    first = "BASE_URL=http://127.0.0.1:8011\nSUPABASE_EMAIL = a@b.test # mine\nSUPABASE_PASSWORD='p#a \"$x ${y}'\r\n"
    (live / ".env.sksndev").write_text(first)
    (live / ".env.sksndev_prod").write_text('SUPABASE_ANON_KEY="key" # public')
    shown = 'printf "%s|" "${BASE_URL-none}" "$SUPABASE_EMAIL" "$SUPABASE_PASSWORD" "$SUPABASE_ANON_KEY"'
    assert sourced(copy, "export_account sksndev", shown) == 'none|a@b.test|p#a "$x ${y}|key|'


def stack(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run deploy/stack of a copy, in which `users` prints the limit of a drain."""
    for name in ("stack", "tenants"):
        shutil.copy(ROOT / "deploy" / name, folder / "deploy")
    with (folder / "deploy" / "scripts" / "users.sh").open("a") as script:
        script.write('users() { say "$DRAIN_TIMEOUT"; }\n')
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(folder.parent)} | environ
    command = (str(folder / "deploy" / "stack"), *words)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_deploy_env_sets_what_the_scripts_have_defaults_for(copy: Path) -> None:
    """The environment wins over deploy/.env, and that over the default. No temporary folder stays."""
    assert stack(copy, "users", "sksndev").stdout == "600\n"
    (copy / "deploy" / ".env").write_text("# seconds\r\nDRAIN_TIMEOUT=30")
    assert stack(copy, "users", "sksndev").stdout == "30\n"
    assert stack(copy, "users", "sksndev", DRAIN_TIMEOUT="5").stdout == "5\n"
    assert list(copy.parent.glob("gpt-broker.*")) == []


def test_a_time_that_is_no_number_is_refused(copy: Path) -> None:
    """A drain with such a limit would never end."""
    done = stack(copy, "users", "sksndev", DRAIN_TIMEOUT="10m")
    assert (done.returncode, done.stdout) == (1, "")
    assert "DRAIN_TIMEOUT is '10m'" in done.stderr
