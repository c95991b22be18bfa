"""Data sets by name: bundled, at hand in a folder, or to be fetched."""

import hashlib
import http.client
import ipaddress
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from labelwise.labels.nearest import nearest
from labelwise.labels.readers import BUNDLED
from labelwise.progress import progress
from labelwise.runs import writing

_CHUNK = 2**18  # bytes
_PATIENCE = 30  # seconds without an answer
_BUNDLED_ABOUT = {
    "digits": "1797 handwritten digits, 8x8 pixels, and how many closed loops each has",
    "wine": "178 wines of 3 cultivars, 13 chemical measures",
    "iris": "150 flowers of 3 species, 4 measures",
    "breast_cancer": "569 tumours, benign or malignant, 30 measures",
}


@dataclass(frozen=True)
class PublicFile:
    """A public data set of one file: its address, its SHA-256, its size in bytes, what it is, and its terms."""

    url: str
    sha256: str
    size: int
    about: str
    terms: str


PUBLIC: Mapping[str, PublicFile] = MappingProxyType(
    {
        "frog-calls": PublicFile(
            "https://raw.githubusercontent.com/epigos/Neural-Computing-Coursework/"
            "d95db75fc19c9e4c3e5e12f7b1d3ef879628bcfa/data/Frogs_MFCCs.csv",
            "ac146c8273566846284261e6d2997cadda816c9949c05f3006f11d33d4fec68e",
            3_277_679,
            "7195 frog calls from 60 recordings, 22 MFCC features; family, genus, species (split by RecordID)",
            "J. G. Colonna, E. Nakamura, M. Cristo, M. Gordo: Anuran Calls (MFCCs), UCI Machine Learning Repository; "
            "CC BY 4.0",
        ),
        "mnist": PublicFile(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
            11_490_434,
            "70,000 handwritten digits, 28x28 pixels, with the official split",
            "Y. LeCun, C. Cortes, C. Burges; usually given as CC BY-SA 3.0",
        ),
        "movielens-1m": PublicFile(
            "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            5_917_549,
            "1,000,209 ratings of 3706 films by 6040 users of MovieLens, with times, titles, genres and who they are",
            "GroupLens, University of Minnesota: for research; no redistribution and no commercial use without "
            "permission; no endorsement may be implied; cite F. M. Harper, J. A. Konstan: The MovieLens Datasets: "
            "History and Context, ACM TiiS 5 (4), 2015, doi:10.1145/2827872",
        ),
    }
)


def known_data() -> list[dict[str, Any]]:
    """All data sets that have a name here: `name`, `where` ("bundled", a folder or "to be fetched"), `about`, `bytes`.

    Folders are looked for in the folder that the environment variable `LABELWISE_DATA` names, then in the cache.
    """
    found: list[dict[str, Any]] = [
        {"name": name, "where": "bundled", "about": _BUNDLED_ABOUT[name], "bytes": None} for name in BUNDLED
    ]
    at_hand = _at_hand()
    for name, folder in sorted(at_hand.items()):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        found.append({"name": name, "where": str(folder), "about": _about(folder), "bytes": size})
    for name, file in PUBLIC.items():
        if name not in at_hand:
            found.append({"name": name, "where": "to be fetched", "about": file.about, "bytes": file.size})
    return found


def data_path(name: str) -> Path:
    """The folder of the data set `name`; raises `ValueError` that says how to get it if it is not at hand."""
    at_hand = _at_hand()
    if name in at_hand:
        return at_hand[name]
    if name in BUNDLED:
        raise ValueError(f"{name} comes with scikit-learn and has no file; give {name!r} itself as the source")
    if name in PUBLIC:
        raise ValueError(f"{name} is not on this machine yet; get it with `labelwise data fetch {name}`")
    raise ValueError(f"there is no data set {name!r}{_hint(name)}; `labelwise data list` shows all")


def fetch_data(
    name: str,
    out: str | os.PathLike[str] | None = None,
    *,
    quiet: bool = False,
    public: Mapping[str, PublicFile] = PUBLIC,
) -> Path:
    """Fetch the public data set `name` into the cache, or the folder `out`, and hand back the path of its file.

    Its terms go to standard error unless `quiet`. The file is written whole or not at all, after its SHA-256 was found
    right; one that is there already is left alone. Raises `ValueError` for an unknown name, an address that is not
    https, cannot be reached, or sends other content than expected.
    """
    if name not in public:
        if name in BUNDLED or name in _at_hand():
            raise ValueError(f"{name} is at hand already and need not be fetched")
        raise ValueError(f"{name!r} cannot be fetched; what can be is {', '.join(public)}{_hint(name)}")
    file = public[name]
    path = (Path(out) if out is not None else _cache() / name) / Path(urlsplit(file.url).path).name
    if not quiet:
        print(f"{name}: {file.about}. Terms: {file.terms}", file=sys.stderr)
    if path.is_file() and _digest(path) == file.sha256:
        return path
    _check_address(file.url)
    with writing(path) as temporary:
        try:
            _download(file, temporary, name, quiet)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise ValueError(
                f"{file.url} cannot be reached ({reason}); check the connection, or put the file at {path} by hand"
            ) from None
        digest = _digest(temporary)
        if digest != file.sha256:
            raise ValueError(
                f"{file.url} sent other content than expected (SHA-256 {digest} instead of {file.sha256}); "
                "nothing was kept"
            )
    return path


def _download(file: PublicFile, path: Path, name: str, quiet: bool) -> None:
    with (
        urllib.request.urlopen(file.url, timeout=_PATIENCE) as answer,
        path.open("wb") as sink,
        progress(f"Fetching {name} (KiB)", -(-file.size // 1024), quiet) as advance,
    ):
        _check_address(answer.geturl())  # where it was redirected to
        for piece in iter(lambda: answer.read(_CHUNK), b""):
            sink.write(piece)
            advance(-(-len(piece) // 1024))


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return
    raise ValueError(f"data are fetched over https only; got {url}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache() -> Path:
    root = os.environ.get("LABELWISE_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "labelwise") / "data"


def _at_hand() -> dict[str, Path]:
    """Folders of data sets by name; those of the user go before fetched ones."""
    own = os.environ.get("LABELWISE_DATA")
    found: dict[str, Path] = {}
    for root in [*([Path(own)] if own else []), _cache()]:
        for folder in _folders(root):
            found.setdefault(folder.name, folder)
    return found


def _folders(root: Path) -> Iterator[Path]:
    """Folders that hold something; a fetch that failed leaves an empty one."""
    if root.is_dir():
        yield from (
            folder
            for folder in root.iterdir()
            if folder.is_dir() and not folder.name.startswith(".") and any(folder.iterdir())
        )


def _about(folder: Path) -> str:
    """The first line of its README, else what the table of public files says."""
    for readme in (folder / "README.md", folder / "README"):
        if readme.is_file():
            lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.lstrip("# ").strip() for line in lines if line.strip()), "")
    return PUBLIC[folder.name].about if folder.name in PUBLIC else ""


def _hint(name: str) -> str:
    return nearest(name, [*BUNDLED, *PUBLIC, *_at_hand()])
