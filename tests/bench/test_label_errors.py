import pytest

from labelwise import bench


@pytest.mark.data
def test_the_published_counts_are_found(data):
    figures = bench.run("label-errors", quiet=True)["figures"]
    assert {name: facts["flagged"]["rows"] for name, facts in figures.items()} == {
        "mnist": 15,
        "imdb": 1309,
        "20news": 95,
    }
    for name, reviewed, errors in (("mnist", 100, 15), ("imdb", 1310, 725), ("20news", 93, 82)):
        found = figures[name]["lowest_margin"]["precision"]
        assert (found["n"], found["hits"]) == (reviewed, errors) == (figures[name]["reviewed"], figures[name]["errors"])
