"""Who may review: the team file, those who are logged in, and what is kept of it."""

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
import warnings
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import sqlalchemy as sa
import yaml

from labelwise.review.database import Database
from labelwise.review.schema import event, session
from labelwise.review.verdicts import LONGEST_NAME
from labelwise.runs import writing

ROLES = ("read-only", "reviewer", "admin")
"""What one may do, each what the one before may and more: look; give verdicts; decide, export, see the log."""

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1000
SESSION_SECONDS = 12 * 3600

# OWASP's second setting for scrypt, 16 MiB a login: as slow as its first one, which takes 128 MiB.
_N, _R, _P = 2**14, 8, 5
_MEMORY = 64 * 2**20  # bytes that a hash of the team file may ask for
_HASHES = threading.Semaphore(2)  # at once, so that many logins do not fill the memory

_WINDOW = 15 * 60  # seconds
_BY_USER, _BY_ADDRESS = 10, 40  # failed logins in that time


class Person(NamedTuple):
    """Somebody who is logged in. `csrf` is to be sent along with every write."""

    name: str
    role: str
    csrf: str

    def may(self, role: str) -> bool:
        """Whether this person has the role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Member(NamedTuple):
    """One of a team: role, and hash of the password."""

    role: str
    password: str


class LoginRefused(ValueError):
    """Raised for a wrong name or password, with the same words for both, and after too many such."""


def hash_password(password: str) -> str:
    """A salted scrypt hash that names its own parameters: scrypt$n$r$p$salt$hash."""
    salt = secrets.token_bytes(16)
    parts = [b64encode(part).decode() for part in (salt, _scrypt(password, salt, _N, _R, _P))]
    return f"scrypt${_N}${_R}${_P}${parts[0]}${parts[1]}"


def check_password(password: str, hashed: str) -> bool:
    """Whether the password is that of the hash; raises `ValueError` for what is no hash of `hash_password`."""
    n, r, p, salt, digest = _parts(hashed)
    return hmac.compare_digest(_scrypt(password, salt, n, r, p), digest)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _HASHES:
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32
        )


def _parts(hashed: str) -> tuple[int, int, int, bytes, bytes]:
    try:
        kind, n, r, p, salt, digest = hashed.split("$")
        found = int(n), int(r), int(p), b64decode(salt, validate=True), b64decode(digest, validate=True)
    except (ValueError, Base64Error):
        raise ValueError("the password is no hash that `labelwise team` writes") from None
    n_, r_, p_, salt_, digest_ = found
    powers = n_ > 1 and n_ & (n_ - 1) == 0 and r_ > 0 and 0 < p_ <= 64
    if kind != "scrypt" or not powers or 128 * r_ * (n_ + p_ + 2) > _MEMORY or not salt_ or len(digest_) != 32:
        raise ValueError("the password is no hash that `labelwise team` writes")
    return found


class Team:
    """The people of a team file, which is read again when it changes: who is taken out of it is out at once.

    The file is YAML, as `labelwise team` writes it:

        users:
          ada: {role: admin, password: scrypt$16384$8$5$...}

    Raises `ValueError` that names the file, the user and the remedy if it is not like that.
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)
        self._stamp = self._now()
        self._members = read_team(self.path)

    @property
    def members(self) -> Mapping[str, Member]:
        """All by name; as they were last, with a warning, while the file cannot be read."""
        stamp = self._now()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._members = read_team(self.path)
            except (ValueError, OSError) as error:
                warnings.warn(f"the team stays as it was: {error}", UserWarning, stacklevel=2)
        return self._members

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def read_team(path: Path) -> dict[str, Member]:
    """The people of a team file by name. Raises `ValueError` if it is not like one, `OSError` if it cannot be read."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no team file {path}; make one with `labelwise team {path} NAME --role admin`"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    users = content.get("users") if isinstance(content, dict) else None
    if not isinstance(users, dict) or not users:
        raise ValueError(f"{path} should hold `users:` by name; add one with `labelwise team {path} NAME --role admin`")
    members = {}
    for name, facts in users.items():
        where = f"{path}, user {name!r}"
        if not isinstance(facts, dict) or set(facts) != {"role", "password"}:
            raise ValueError(f"{where}: should have `role` and `password`, and no more")
        if facts["role"] not in ROLES:
            raise ValueError(f"{where}: the role should be one of {', '.join(ROLES)}; got {facts['role']!r}")
        try:
            _check_name(name)
            _parts(str(facts["password"]))
        except ValueError as error:
            raise ValueError(
                f"{where}: {error}; mend it with `labelwise team {path} NAME --role {facts['role']}`"
            ) from None
        members[name] = Member(facts["role"], facts["password"])
    return members


def add_member(path: str | PathLike[str], name: str, role: str, password: str) -> None:
    """Add a person to a team file, or give them another role and password; made if there is none, for its owner alone.

    Their open sessions end. Raises `ValueError` for an unfit name, role or password, and for a broken file.
    """
    path = Path(path)
    _check_name(name)
    if role not in ROLES:
        raise ValueError(f"the role should be one of {', '.join(ROLES)}; got {role!r}")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ValueError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; got {len(password)}")
    members = read_team(path) if path.exists() else {}
    members[name] = Member(role, hash_password(password))
    users = {each: {"role": member.role, "password": member.password} for each, member in members.items()}
    with writing(path, private=True) as temporary:
        temporary.write_text(yaml.safe_dump({"users": users}, sort_keys=False, allow_unicode=True), encoding="utf-8")


def fits_name(name: Any) -> bool:
    """Whether this can be a person's name: printable, without space around it, not too long."""
    return isinstance(name, str) and name.isprintable() and name == name.strip() and 0 < len(name) <= LONGEST_NAME


def _check_name(name: Any) -> None:
    if not fits_name(name):
        raise ValueError(
            f"a name has 1 to {LONGEST_NAME} printable characters and no space around it; got {str(name)[:40]!r}"
        )


class Desk:
    """Where people say who they are; with `team`, by password; without, as they like, and with every right.

    `anyone` is who comes without a name where there is no team. Of the token that a session is known by only its hash
    is stored, so that who reads the database cannot log in by it.
    """

    def __init__(self, database: Database, team: Team | None = None, anyone: str = "reviewer"):
        self.database, self.team, self.anyone = database, team, anyone
        self._attempts = Attempts()
        if team is None:
            if "csrf" not in database.settings:
                database.set(csrf=secrets.token_urlsafe(32))
            self._csrf = str(database.settings["csrf"])  # the same after a restart, so that open pages go on
        else:
            _nobody()  # now, so that the first unknown name takes no longer than others

    def enter(self, name: str, password: str, address: str = "", now: float | None = None) -> str:
        """Log in, and give the token of the new session; `address` is where the person is, in the network.

        Raises `LoginRefused`, which takes as long and says the same whether name or password is wrong.
        """
        now = time.time() if now is None else now
        if self.team is None:
            raise LoginRefused("nobody logs in here: the review was started without a team")
        member = self._checked(self.team, name, password, address, now)
        token = secrets.token_urlsafe(32)
        row = {
            "token_hash": _digest(token),
            "user": name,
            "role": member.role,
            "created_at": now,
            "expires_at": now + SESSION_SECONDS,
            "csrf": _csrf(token, member),
        }

        def work(connection: sa.Connection) -> None:
            connection.execute(session.delete().where(session.c.expires_at <= now))
            connection.execute(session.insert(), row)

        self.database.write(work)
        note_event(self.database, name, "login", address=address)
        return token

    def _checked(self, team: Team, name: str, password: str, address: str, now: float) -> Member:
        keys = {f"user {name[:LONGEST_NAME]}": _BY_USER, f"address {_network(address)}": _BY_ADDRESS}
        wait = self._attempts.start(keys, now)
        if wait:
            raise LoginRefused(f"there were too many wrong passwords; try again in {-(-wait // 60):.0f} minutes")
        member = team.members.get(name)
        fits = check_password(password[:LONGEST_PASSWORD], member.password if member else _nobody())
        if member is None or not fits:
            note_event(self.database, name[:LONGEST_NAME], "login refused", address=address)
            raise LoginRefused("name or password is wrong")
        self._attempts.succeed(keys, now)
        return member

    def person(self, token: str, now: float | None = None) -> Person | None:
        """Who holds this token; None if the session is over, or that person was taken out of the team.

        The role is that of the team file as it is now; a new password ends the sessions that began before. Without a
        team the token is the name, quoted as in a URL.
        """
        if self.team is None:
            name = unquote(token).strip()
            return Person(name if fits_name(name) else self.anyone, "admin", self._csrf)
        now = time.time() if now is None else now
        wanted = sa.select(session).where(session.c.token_hash == _digest(token), session.c.expires_at > now)
        row = self.database.read(lambda connection: connection.execute(wanted).first())
        member = self.team.members.get(row.user) if row else None
        if row is None or member is None or not hmac.compare_digest(row.csrf, _csrf(token, member)):
            return None
        return Person(row.user, member.role, row.csrf)

    def leave(self, token: str) -> None:
        """Log out."""
        mine = session.c.token_hash == _digest(token)

        def work(connection: sa.Connection) -> str | None:
            name: str | None = connection.scalar(sa.select(session.c.user).where(mine))
            connection.execute(session.delete().where(mine))
            return name

        name = self.database.write(work)
        if name is not None:
            note_event(self.database, name, "logout")


class Attempts:
    """Counts what was tried and failed lately, by any key; held in memory, for one process."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def start(self, most: Mapping[str, int], now: float) -> float:
        """Count an attempt under each key, unless one of them has had its `most`; then give the seconds to wait."""
        with self._lock:
            recent = {key: [at for at in self._times.get(key, []) if at > now - _WINDOW] for key in most}
            waits = [recent[key][-most[key]] + _WINDOW - now for key in most if len(recent[key]) >= most[key]]
            if waits:
                return max(waits)
            if len(self._times) > 10_000:
                self._times = {key: times for key, times in self._times.items() if times[-1] > now - _WINDOW}
            self._times |= {key: [*times, now] for key, times in recent.items()}
            return 0.0

    def succeed(self, keys: Mapping[str, int], now: float) -> None:
        """Do not count the attempt that began at `now`."""
        with self._lock:
            for key in keys:
                times = self._times.get(key, [])
                if now in times:
                    times.remove(now)
                if not times:
                    self._times.pop(key, None)


def note_event(database: Database, who: str, what: str, **detail: Any) -> None:
    """Add a line to the audit log: logins, exports, imports, and what was decided over others' heads."""
    row = {"at": time.time(), "who": _storable(who), "what": what, "detail": detail}
    database.write(lambda connection: connection.execute(event.insert(), row))


@dataclass(frozen=True)
class Event:
    """A line of the audit log: when (seconds since 1970), who, what, and anything more."""

    id: int
    at: float
    who: str
    what: str
    detail: dict[str, Any]


def events(database: Database, limit: int = 100, before: int | None = None) -> list[Event]:
    """The newest lines of the audit log, the newest first; with `before`, those older than the line of that id."""
    wanted = sa.select(event).order_by(event.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(event.c.id < before)
    return [Event(*row) for row in database.read(lambda connection: connection.execute(wanted).all())]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _csrf(token: str, member: Member) -> str:
    # It depends on the password's hash, so that a session does not outlive the password it was opened with.
    return hmac.new(token.encode("utf-8", "replace"), b"csrf " + member.password.encode(), hashlib.sha256).hexdigest()


@cache
def _nobody() -> str:
    """A hash that no password has, so that an unknown name takes as long as a known one."""
    return hash_password(secrets.token_urlsafe(32))


def _network(address: str) -> str:
    """The address, or the network that one subscriber has of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))


def _storable(text: str) -> str:
    """Text that every database takes."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")
