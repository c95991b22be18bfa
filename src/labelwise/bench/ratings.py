"""Ratings of films (MovieLens-1M), and pairs of user and film drawn from them."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import torch
from torch import Tensor

from labelwise.labels.readers.delimited import parse

PARTS = ("train", "validation", "test")
_FILE = "ml-1m/ratings.dat"
_FIELDS = {  # what a field must look like, and that in words
    "UserID": (r"^[1-9]\d{0,8}$", "a whole number from 1"),
    "MovieID": (r"^[1-9]\d{0,8}$", "a whole number from 1"),
    "Rating": ("^[1-5]$", "a whole number from 1 to 5"),
    "Timestamp": (r"^\d{1,18}$", "a whole number of seconds"),
}
_KEPT = ["UserID", "MovieID", "Rating"]
_FETCH = "`labelwise data fetch movielens-1m`"


@dataclass(frozen=True)
class Drawn:
    """Pairs of user and film, int64 `[rows, 2]`, of each part, and their ratings `[rows]`, nan where not watched.

    Parts are those of `PARTS`. Users and films are counted from 0, to below `n_users` and `n_movies`.
    """

    pairs: dict[str, Tensor]
    ratings: dict[str, Tensor]
    n_users: int
    n_movies: int


def read_ratings(folder: Path) -> pd.DataFrame:
    """Ratings of MovieLens-1M, int64 columns `UserID`, `MovieID`, `Rating` (1 to 5), from `ml-1m.zip` or unpacked.

    Raises `FileNotFoundError` if `folder` holds neither, and `ValueError` that names file, line, column and value where
    a field is not what it should be, or a user rated a film twice.
    """
    path, text = _ratings_file(folder)
    types = dict.fromkeys(_FIELDS, pa.string())
    # A separator of one byte, which fast readers want.
    table = parse(path, text.replace(b"::", b"\t"), pa.csv.ParseOptions(delimiter="\t"), list(_FIELDS), types)
    for name, (pattern, words) in _FIELDS.items():
        good = pc.match_substring_regex(table[name], pattern).to_numpy()
        if not good.all():
            row = int(good.argmin())
            raise ValueError(
                f"{path}, line {row + 1}, column {name}: {table[name][row].as_py()!r} should be {words}; "
                f"mend the line, or fetch the file anew with {_FETCH}"
            )
    ratings = table.select(_KEPT).cast(pa.schema(dict.fromkeys(_KEPT, pa.int64()))).to_pandas()
    twice = ratings.duplicated(["UserID", "MovieID"]).to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise ValueError(
            f"{path}, line {row + 1}, column MovieID: user {ratings.UserID[row]} has rated {ratings.MovieID[row]} "
            f"before; keep one rating of each film, or fetch the file anew with {_FETCH}"
        )
    return ratings


def draw(ratings: pd.DataFrame, generator: np.random.Generator, users: int | None = None) -> Drawn:
    """Draw as many pairs that were not watched as there are ratings, and split both alike, 80 : 10 : 10.

    `users`: how many users are drawn first, None for all; only films that one of them rated count. Pairs that were not
    watched are drawn without replacement, each with the same chance. Raises `ValueError` if there are too few.
    """
    if users is not None:
        known = ratings.UserID.unique()
        ratings = ratings[ratings.UserID.isin(generator.choice(known, min(users, len(known)), replace=False))]
    user, users_found = pd.factorize(ratings.UserID, sort=True)
    movie, movies_found = pd.factorize(ratings.MovieID, sort=True)
    n, n_users, n_movies = len(ratings), len(users_found), len(movies_found)
    if 2 * n > n_users * n_movies:
        raise ValueError(
            f"at most half of all pairs can be watched, for as many others to be drawn; got {n} ratings of {n_movies} "
            f"films by {n_users} users"
        )
    watched = user * n_movies + movie
    # Of the pairs that were not watched, number i is i plus the watched ones before it.
    numbers = generator.choice(n_users * n_movies - n, n, replace=False)
    others = numbers + np.searchsorted(np.sort(watched) - np.arange(n), numbers, side="right")
    pairs = torch.from_numpy(np.stack(np.divmod(np.concatenate([watched, others]), n_movies), 1))
    values = torch.from_numpy(np.concatenate([ratings.Rating, np.full(n, np.nan)]).astype(np.float32))
    strata = [np.split(first + generator.permutation(n), [round(0.8 * n), round(0.9 * n)]) for first in (0, n)]
    rows = {part: np.concatenate(both) for part, *both in zip(PARTS, *strata, strict=True)}
    return Drawn(
        {part: pairs[chosen] for part, chosen in rows.items()},
        {part: values[chosen] for part, chosen in rows.items()},
        n_users,
        n_movies,
    )


def _ratings_file(folder: Path) -> tuple[Path, bytes]:
    """Name and content of the file of ratings."""
    archive = folder / "ml-1m.zip"
    if archive.is_file():
        try:
            with zipfile.ZipFile(archive) as file:
                return archive / _FILE, file.read(_FILE)
        except (zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise ValueError(
                f"{archive} is not a whole ZIP archive with {_FILE} ({error}); delete it and get it with {_FETCH}"
            ) from None
    for path in (folder / _FILE, folder / Path(_FILE).name):
        if path.is_file():
            return path, path.read_bytes()
    raise FileNotFoundError(f"{folder} holds no ml-1m.zip and no ratings.dat; get it with {_FETCH}")
