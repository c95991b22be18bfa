import os
import pty
import subprocess
import sys

from tests.cli.conftest import result

from labelwise.review.people import check_password, read_team


def talk(tmp_path, environment, words, answers):
    """Run the command at a terminal of its own and type; gives what the terminal showed, and the exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "labelwise", *words]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 1000)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
        if piece.rstrip().endswith(b":") and answers:
            os.write(ours, answers.pop(0).encode() + b"\n")
    os.close(ours)
    return shown.decode(), process.wait(60)


def test_a_password_is_asked_for_and_not_shown(tmp_path, environment):
    words = ("team", "team.yaml", "ada", "--role", "admin")
    shown, code = talk(tmp_path, environment, words, ["correct horse", "correct horse"])
    assert code == 0, shown
    assert "Password of ada:" in shown
    assert "correct horse" not in shown
    member = read_team(tmp_path / "team.yaml")["ada"]
    assert member.role == "admin"
    assert check_password("correct horse", member.password)
    assert (tmp_path / "team.yaml").stat().st_mode & 0o777 == 0o600

    shown, code = talk(tmp_path, environment, words, ["another horse", "anther horse"])
    assert code == 1
    assert "the two passwords differ; nothing was changed" in shown
    assert read_team(tmp_path / "team.yaml")["ada"] == member


def test_a_password_can_be_piped(tmp_path, environment):
    def team(*words, code=0):
        command = [sys.executable, "-m", "labelwise", "team", "team.yaml", *words]
        done = subprocess.run(
            command, input="correct horse\n", cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done

    assert result(team("bo", "--json")) == {"team": "team.yaml", "name": "bo", "role": "reviewer"}
    assert check_password("correct horse", read_team(tmp_path / "team.yaml")["bo"].password)
    assert "the role should be one of" in team("cy", "--role", "king", code=1).stderr
    (tmp_path / "team.yaml").write_text("users: [")
    assert "not valid YAML" in team("cy", code=1).stderr
