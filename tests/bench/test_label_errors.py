import json
from typing import get_args

import pytest

from labelwise import bench
from labelwise.audit.filters import Filter
from labelwise.audit.quality import Score
from labelwise.bench import harness


@pytest.mark.data
def test_the_published_counts_are_found(data):
    figures = bench.run("label-errors", quiet=True)["figures"]
    published = {"prune_by_noise_rate": (15, 1309, 95), "confident_learning": (15, 1076, 55)}
    published |= {"both": (15, 1309, 45), "predicted_neq_given": (87, 2606, 577)}
    for method, counts in published.items():
        assert tuple(facts["methods"][method]["found"] for facts in figures.values()) == counts
    for name, reviewed, errors in (("mnist", 100, 15), ("imdb", 1310, 725), ("20news", 93, 82)):
        assert (figures[name]["reviewed"], figures[name]["errors"]) == (reviewed, errors)
        margin = figures[name]["methods"]["score: normalized_margin"]
        assert (margin["precision"]["n"], margin["precision"]["hits"]) == (reviewed, errors)
    assert figures == json.loads(harness.result_path("label-errors").read_text())["figures"]


def test_the_kept_result_has_every_filter_and_score_at_the_number_reviewed():
    figures = json.loads(harness.result_path("label-errors").read_text())["figures"]
    methods = [*get_args(Filter), *(f"score: {score}" for score in get_args(Score))]
    for facts in figures.values():
        assert list(facts["methods"]) == methods
        for found in facts["methods"].values():
            assert found["judged"] == min(found["found"], facts["reviewed"])
            assert found["precision"]["n"] <= found["judged"]
            assert found["suggestions"]["n"] == found["precision"]["hits"]
