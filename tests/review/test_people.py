import os
import stat
import time

import pytest
import sqlalchemy as sa
import yaml

from labelwise.review import people
from labelwise.review.database import open_database
from labelwise.review.people import (
    Attempts,
    Desk,
    LoginRefused,
    Person,
    Team,
    add_member,
    check_password,
    events,
    hash_password,
    note_event,
    read_team,
)
from labelwise.review.schema import session

PASSWORD = "correct horse battery"
COST = people._N, people._R, people._P  # before the tests make it small


@pytest.fixture
def team(tmp_path):
    path = tmp_path / "team.yaml"
    add_member(path, "ada", "admin", PASSWORD)
    add_member(path, "bo", "reviewer", PASSWORD + "!")
    return Team(path)


@pytest.fixture
def desk(run, team):
    with open_database(run) as opened:
        yield Desk(opened, team)


def test_a_hash_knows_its_password_alone():
    hashed = hash_password(PASSWORD)
    assert check_password(PASSWORD, hashed)
    assert not check_password(PASSWORD + " ", hashed)
    assert hashed != hash_password(PASSWORD)  # salted
    assert PASSWORD not in hashed
    assert check_password("\ud800", hash_password("\ud800"))  # JSON can hold half a character


def test_a_hash_costs_what_is_advised():
    n, r, p = COST
    assert 128 * n * r >= 16 * 2**20  # bytes
    assert n * r * p >= 2**19


NO_HASHES = [
    "",
    "correct horse",
    "scrypt$2$8$1$!$!",
    "scrypt$16384$8$5$c2FsdA==$c2hvcnQ=",
    f"argon2$1$1$1$c2FsdA==${43 * 'A'}=",
    f"scrypt$3$8$1$c2FsdA==${43 * 'A'}=",
    f"scrypt$1073741824$8$1$c2FsdA==${43 * 'A'}=",
]


@pytest.mark.parametrize("hashed", NO_HASHES)
def test_what_is_no_hash_is_refused(hashed):
    with pytest.raises(ValueError, match="the password is no hash"):
        check_password(PASSWORD, hashed)


def test_the_team_file_is_written_whole_for_its_owner_alone(tmp_path, team):
    assert stat.S_IMODE(os.stat(team.path).st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["team.yaml"]
    assert {name: member.role for name, member in team.members.items()} == {"ada": "admin", "bo": "reviewer"}
    add_member(team.path, "bo", "read-only", "another password")
    assert read_team(team.path)["bo"].role == "read-only"
    assert read_team(team.path)["ada"] == team.members["ada"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("users: [", "is not valid YAML"),
        ("- ada", "should hold `users:` by name"),
        ("users: {}", "should hold `users:` by name"),
        ("users: {ada: admin}", "user 'ada': should have `role` and `password`"),
        ("users: {ada: {role: king, password: x}}", "user 'ada': the role should be one of read-only, reviewer, admin"),
        (
            "users: {ada: {role: admin, password: secret}}",
            r"user 'ada': the password is no hash .*`labelwise team .* NAME --role admin`",
        ),
        ("users: {' ada': {role: admin, password: secret}}", "no space around it"),
        ("users: {1: {role: admin, password: secret}}", "a name has 1 to 200 printable characters"),
    ],
)
def test_a_broken_team_file_is_told_with_its_place(tmp_path, content, why):
    (tmp_path / "team.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"team\.yaml.*" + why):
        Team(tmp_path / "team.yaml")


def test_a_missing_team_file_is_told_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`labelwise team .*team\.yaml NAME --role admin`"):
        Team(tmp_path / "team.yaml")


@pytest.mark.parametrize(
    ("name", "role", "password", "why"),
    [
        ("", "admin", PASSWORD, "a name has"),
        ("a\nb", "admin", PASSWORD, "printable"),
        ("ada", "king", PASSWORD, "the role should be one of"),
        ("ada", "admin", "short", "a password has 10 to 1000 characters; got 5"),
    ],
)
def test_unfit_members_are_refused(tmp_path, name, role, password, why):
    with pytest.raises(ValueError, match=why):
        add_member(tmp_path / "team.yaml", name, role, password)
    assert not (tmp_path / "team.yaml").exists()


def test_a_session_lasts_until_it_is_left_or_over(database, team):
    desk = Desk(database, team)
    token = desk.enter("ada", PASSWORD, "127.0.0.1", now=1000.0)
    ada = desk.person(token, now=1001.0)
    assert (ada.name, ada.role) == ("ada", "admin")
    assert desk.person(token, now=1000.0 + people.SESSION_SECONDS) is None
    assert desk.person("another", now=1001.0) is None
    desk.leave(token)
    desk.leave(token)
    assert desk.person(token, now=1001.0) is None


def test_the_database_holds_neither_token_nor_password(desk):
    token = desk.enter("ada", PASSWORD)
    row = desk.database.read(lambda connection: connection.execute(sa.select(session)).one())
    assert token not in map(str, row)
    assert PASSWORD not in str(row)
    assert row.csrf == desk.person(token).csrf


def test_sessions_that_are_over_are_cleared_away(desk):
    desk.enter("ada", PASSWORD, now=0.0)
    desk.enter("ada", PASSWORD, now=2.0 * people.SESSION_SECONDS)
    count = sa.select(sa.func.count()).select_from(session)
    assert desk.database.read(lambda connection: connection.scalar(count)) == 1


def test_wrong_name_and_wrong_password_get_the_same_answer_and_the_same_work(desk):
    said, spent = [], []
    for name, password in [("bo", PASSWORD), ("nobody", PASSWORD), ("", ""), ("ada", ""), ("bo\0", "x" * 100_000)]:
        before = time.process_time()
        with pytest.raises(LoginRefused) as caught:
            desk.enter(name, password)
        spent.append(time.process_time() - before)
        said.append(str(caught.value))
    assert set(said) == {"name or password is wrong"}
    assert max(spent[:4]) < 3 * min(spent[:4])
    assert [each.what for each in events(desk.database)] == ["login refused"] * 5


def test_a_team_file_that_changes_is_read_again(desk, team):
    tokens = [desk.enter("ada", PASSWORD), desk.enter("bo", PASSWORD + "!")]
    content = yaml.safe_load(team.path.read_text())
    content["users"]["ada"]["role"] = "read-only"
    del content["users"]["bo"]
    team.path.write_text(yaml.safe_dump(content))
    assert desk.person(tokens[0]).role == "read-only"
    assert desk.person(tokens[1]) is None
    with pytest.raises(LoginRefused):
        desk.enter("bo", PASSWORD + "!")
    add_member(team.path, "ada", "admin", "another password")
    assert desk.person(tokens[0]) is None  # opened with the old password
    team.path.write_text("users: [")
    with pytest.warns(UserWarning, match="the team stays as it was: .*not valid YAML"):
        assert desk.team.members["ada"].role == "admin"


def test_too_many_wrong_passwords_close_the_door_for_a_while(desk, monkeypatch):
    monkeypatch.setattr(people, "_BY_ADDRESS", 12)
    for _ in range(10):
        with pytest.raises(LoginRefused, match="is wrong"):
            desk.enter("ada", "wrong", "10.0.0.1", now=100.0)
    with pytest.raises(LoginRefused, match="too many wrong passwords; try again in 15 minutes"):
        desk.enter("ada", PASSWORD, "10.0.0.2", now=101.0)
    desk.enter("bo", PASSWORD + "!", "10.0.0.1", now=101.0)  # another user of that address
    desk.enter("ada", PASSWORD, "10.0.0.1", now=100.0 + 15 * 60)
    for number in range(12):
        with pytest.raises(LoginRefused, match="is wrong"):
            desk.enter(f"user {number}", "wrong", f"2001:db8::{number}", now=5000.0)
    with pytest.raises(LoginRefused, match="too many"):
        desk.enter("bo", PASSWORD + "!", "2001:db8::ffff", now=5000.0)  # one network
    desk.enter("bo", PASSWORD + "!", "2001:db9::1", now=5000.0)


def test_attempts_do_not_fill_the_memory():
    attempts = Attempts()
    for number in range(30_000):
        attempts.start({f"user {number}": 10}, now=number)
    assert len(attempts._times) <= 10_001


def test_right_passwords_do_not_count(desk):
    for at in range(11):
        desk.enter("ada", PASSWORD, "10.0.0.1", now=100.0 + at)


def test_without_a_team_people_are_whom_they_say(database):
    desk = Desk(database, anyone="someone")
    person = desk.person("Zo%C3%AB")
    assert (person.name, person.role) == ("Zoë", "admin")
    assert [desk.person(name).name for name in ("", " ", "a%0Ab", "x" * 201)] == ["someone"] * 4
    assert person.csrf == Desk(database).person("").csrf  # after a restart as well
    assert len(person.csrf) > 30
    with pytest.raises(LoginRefused, match="without a team"):
        desk.enter("ada", PASSWORD)


def test_roles_are_ordered():
    assert [Person("a", "reviewer", "").may(role) for role in people.ROLES] == [True, True, False]


def test_the_log_keeps_who_came_and_what_they_did(database, team):
    desk = Desk(database, team)
    desk.leave(desk.enter("ada", PASSWORD, "10.0.0.1"))
    note_event(desk.database, "ada\0", "export", file="a.csv")
    newest = events(desk.database)
    assert [(each.who, each.what) for each in newest] == [("ada�", "export"), ("ada", "logout"), ("ada", "login")]
    assert newest[0].detail == {"file": "a.csv"}
    assert newest[2].detail == {"address": "10.0.0.1"}
    assert events(desk.database, before=newest[0].id, limit=1) == newest[1:2]
