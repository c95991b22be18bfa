import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.bench.ratings import PARTS, draw, read_ratings

LINES = ["1::1193::5::978300760", "1::661::3::978302109", "2::1193::4::978298413"]


def zipped(folder, lines=LINES, name="ml-1m/ratings.dat"):
    with zipfile.ZipFile(folder / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, "\n".join(lines) + "\n")
        file.writestr("ml-1m/movies.dat", "1::Caf\xe9 (1995)::Drama\n".encode("latin-1"))
    return folder


def made_up(n_users=30, n_movies=40, share=0.2, seed=0):
    """Ratings of a share of all pairs, whose users and films have numbers with gaps."""
    generator = np.random.default_rng(seed)
    user, movie = np.nonzero(generator.random((n_users, n_movies)) < share)
    return pd.DataFrame(
        {"UserID": 2 * user + 1, "MovieID": 3 * movie + 2, "Rating": generator.integers(1, 6, len(user))}
    )


def test_the_archive_and_what_is_unpacked_read_alike(tmp_path):
    expected = {"UserID": [1, 1, 2], "MovieID": [1193, 661, 1193], "Rating": [5, 3, 4]}
    (tmp_path / "a").mkdir()
    found = read_ratings(zipped(tmp_path / "a"))
    assert found.to_dict("list") == expected
    assert (found.dtypes == np.int64).all()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["ml-1m.zip"]  # nothing was unpacked
    for file in ("b/ratings.dat", "c/ml-1m/ratings.dat"):
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text("\r\n".join(LINES), encoding="latin-1")
        assert read_ratings(tmp_path / file[0]).to_dict("list") == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1::x::5::978300760", "line 2, column MovieID: 'x' should be a whole number from 1; mend"),
        ("0::661::5::978300760", "line 2, column UserID: '0' should be"),
        (
            "1::661::6::978300760",
            "line 2, column Rating: '6' should be a whole number from 1 to 5; mend the line, or fetch",
        ),
        ("1::661::::978300760", "line 2, column Rating: '' should be"),
        ("1::661::4.5::978300760", "line 2, column Rating: '4.5' should be"),
        ("1::661::4::then", "line 2, column Timestamp: 'then' should be"),
        ("1::661::4", "4 fields in every line.*line 2"),
        ("1::1193::4::978300760", "line 2, column MovieID: user 1 has rated 1193 before"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, words):
    with pytest.raises(ValueError, match=rf"ml-1m\.zip/ml-1m/ratings\.dat.*{words}"):
        read_ratings(zipped(tmp_path, [LINES[0], line, LINES[2]]))


def test_missing_and_broken_files_name_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="labelwise data fetch movielens-1m"):
        read_ratings(tmp_path)
    whole = zipped(tmp_path, name="other.dat") / "ml-1m.zip"
    with pytest.raises(
        ValueError, match=r"no item named.*delete it and get it with `labelwise data fetch movielens-1m`"
    ):
        read_ratings(tmp_path)
    whole.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(ValueError, match="not a whole ZIP archive"):
        read_ratings(tmp_path)


@settings(max_examples=30)
@given(st.integers(2, 30), st.integers(2, 40), st.floats(0.02, 0.45), st.integers(0, 1000))
def test_as_many_pairs_are_drawn_that_were_not_watched(n_users, n_movies, share, seed):
    ratings = made_up(n_users, n_movies, share, seed)
    users, movies = np.unique(ratings.UserID), np.unique(ratings.MovieID)
    if 2 * len(ratings) > len(users) * len(movies):
        with pytest.raises(ValueError, match="at most half of all pairs"):
            draw(ratings, np.random.default_rng(seed))
        return
    drawn = draw(ratings, np.random.default_rng(seed))
    assert (drawn.n_users, drawn.n_movies) == (len(users), len(movies))
    pairs, given = torch.cat(list(drawn.pairs.values())).numpy(), torch.cat(list(drawn.ratings.values())).numpy()
    assert len(np.unique(pairs, axis=0)) == len(pairs) == 2 * len(ratings)  # no pair twice, in no part
    watched = ~np.isnan(given)
    found = {(users[u], movies[m]): r for (u, m), r in zip(pairs[watched], given[watched], strict=True)}
    assert found == {(u, m): r for u, m, r in ratings.itertuples(index=False)}  # so that no other pair was watched


def test_parts_have_their_shares_of_both():
    ratings = made_up(60, 100)
    drawn, n = draw(ratings, np.random.default_rng(0)), len(ratings)
    for part, share in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        watched = ~drawn.ratings[part].isnan()
        assert watched.sum() == (~watched).sum() == pytest.approx(share * n, abs=1)
        assert drawn.pairs[part].dtype == torch.int64
        assert drawn.pairs[part].shape == (len(watched), 2)
        assert drawn.ratings[part].dtype == torch.float32


def test_every_pair_that_was_not_watched_has_the_same_chance():
    ratings = made_up(8, 10, 0.3)
    counts = np.zeros((8, 10))
    for seed in range(1000):
        drawn = draw(ratings, np.random.default_rng(seed))
        pairs = torch.cat([drawn.pairs[part][drawn.ratings[part].isnan()] for part in PARTS])
        np.add.at(counts, tuple(pairs.T.numpy()), 1)
    possible = counts[counts > 0]
    assert len(possible) == drawn.n_users * drawn.n_movies - len(ratings)
    expected = 1000 * len(ratings) / len(possible)
    assert np.abs(possible - expected).max() < 5 * np.sqrt(expected)


def test_a_seed_draws_the_same_users_pairs_and_parts():
    ratings = made_up()
    one, again, other = (draw(ratings, np.random.default_rng(seed), 10) for seed in (1, 1, 2))
    assert one.n_users == 10
    assert all((one.pairs[part] == again.pairs[part]).all() for part in PARTS)
    assert one.pairs["train"].shape != other.pairs["train"].shape or (one.pairs["train"] != other.pairs["train"]).any()
    every = draw(ratings, np.random.default_rng(0), 1000)  # more than there are
    assert every.n_users == ratings.UserID.nunique()
