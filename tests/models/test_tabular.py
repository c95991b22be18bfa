import datetime as dt
import decimal
import json
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.models.tables import table, tensors

from labelwise.models import TabularEncoder, encoder_from_state


def features(given_table, encoder=None):
    return (encoder or TabularEncoder().fit(given_table)).transform(given_table).features


@pytest.fixture
def mixed():
    return table(
        length=[1.0, 2.0, None, 5.0],
        legs=[2, 4, 4, 2],
        wild=[True, False, None, True],
        born=pa.array([dt.date(2020, 1, 1), dt.date(2021, 1, 1), None, dt.date(2020, 1, 3)]),
        seen=pa.array([1, 2, 3, 4], pa.timestamp("ms", "UTC")),
        price=pa.array([decimal.Decimal(at) / 4 for at in range(4)], pa.decimal128(10, 2)),
        colour=["red", "blue", None, "red"],
        kind=pa.array(["a", "b", "a", "a"]).dictionary_encode(),
        vector=tensors(np.arange(12.0).reshape(4, 3)),
    )


def test_numbers_have_mean_0_and_deviation_1():
    x = features(table(a=[1, 2, 3, 6], b=[True, False, False, False]))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-6)


def test_the_median_stands_in_for_what_is_missing():
    x = features(table(a=[1.0, 2.0, 9.0, None, float("nan")]))
    assert x[3] == x[4] == x[1]


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(5, 20), elements=st.floats(-1e3, 1e3, allow_subnormal=False)),
    st.floats(0.01, 100),
    st.floats(-100, 100),
)
def test_scale_and_offset_of_a_number_do_not_matter(values, scale, offset):
    values = np.concatenate([values, [-1000.0, 2000.0]])
    np.testing.assert_allclose(features(table(a=values)), features(table(a=values * scale + offset)), atol=1e-4)


def test_huge_numbers_do_not_overflow():
    x = features(table(a=[1e308, -1e308, 0.5e308, 0.0], b=[1e-300, 2e-300, 3e-300, 4e-300]))
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-6)


def test_infinite_numbers_count_as_missing_and_are_told():
    with pytest.warns(UserWarning, match=r"birds.csv: 2 infinite value\(s\) in column a .* first at row 1"):
        x = features(table(a=[1.0, float("inf"), 3.0, float("-inf"), 8.0]))
    assert x[1] == x[3] == x[2]


def test_the_unit_of_time_does_not_matter():
    times = pa.array([dt.datetime(2020, 1, day, 5) for day in (1, 2, 5)], pa.timestamp("us"))
    encoder = TabularEncoder().fit(table(t=times))
    expected = features(table(t=times), encoder)
    assert (features(table(t=times.cast(pa.timestamp("s"))), encoder) == expected).all()
    assert (features(table(t=times.cast(pa.string())), encoder) == expected).all()
    for other in (
        pa.array([1, 2, 5], pa.duration("s")),
        pa.array([1, 2, 5], pa.time32("s")),
        pa.array([1], pa.date32()),
    ):
        assert np.isfinite(features(table(t=pa.concat_arrays([other, other[:1]]), a=range(len(other) + 1)))).all()


def test_categories_others_and_missing_have_features_of_their_own():
    encoder = TabularEncoder().fit(table(c=["red", "blue", "red", None]))
    assert encoder.feature_names == ["c=red", "c=blue", "c=(other)", "c=(missing)"]
    x = features(table(c=["blue", "green", None, "red"]), encoder)
    assert x.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]


def test_only_the_most_frequent_categories_have_a_feature():
    values = [f"c{at:02d}" for at in range(40) for _ in range(50 - at)]
    encoder = TabularEncoder().fit(table(c=values))
    assert len(encoder.feature_names) == 33
    x = features(table(c=["c30", "c31", "c39"]), encoder)
    assert x.argmax(axis=1).tolist() == [30, 31, 31]


def test_text_with_many_different_numbers_is_numbers():
    numbers = np.linspace(-3, 1e3, 50)
    encoder = TabularEncoder().fit(table(a=[f" {number!r} " for number in numbers.tolist()]))
    assert (features(table(a=numbers), encoder) == features(table(a=numbers))).all()


def test_names_and_unknown_types_are_left_out_with_a_warning():
    rows = table(name=[f"bird {at}" for at in range(20)], tags=[["a"]] * 20, size=range(20), same=[1] * 20)
    with pytest.warns(UserWarning, match="left out") as caught:
        encoder = TabularEncoder().fit(rows)
    told = [str(warning.message) for warning in caught]
    assert told == [
        "birds.csv: left out name (nearly all different)",
        "birds.csv: left out tags (of a type not understood)",
    ]
    assert encoder.feature_names == ["size"]


def test_constant_entries_of_a_vector_are_left_out():
    array = np.stack([np.arange(5.0), np.ones(5), -np.arange(5.0)], axis=1)
    encoder = TabularEncoder().fit(table(v=tensors(array)))
    assert encoder.feature_names == ["v[0]", "v[2]"]
    assert features(table(v=tensors(array)), encoder).shape == (5, 2)


def test_a_missing_vector_becomes_the_median():
    array = np.array([[0.0, 1.0], [5.0, 5.0], [1.0, 2.0], [3.0, 9.0]])
    x = features(table(v=tensors(array, mask=np.array([False, True, False, False]))))
    assert np.isfinite(x).all()
    assert (x[1] == x[[0, 2, 3]][[1, 1]].mean(axis=0)).all()


def test_order_of_columns_at_use_and_further_columns_do_not_matter(mixed):
    encoder = TabularEncoder().fit(mixed)
    names = mixed.data.column_names[::-1]
    turned = table(**{name: mixed.data[name].combine_chunks() for name in names}, more=[1, 2, 3, 4])
    assert (features(turned, encoder) == features(mixed, encoder)).all()


def test_rows_are_independent(mixed):
    encoder = TabularEncoder().fit(mixed)
    whole = features(mixed, encoder)
    assert (features(mixed.select([2, 0]), encoder) == whole[[2, 0]]).all()
    assert features(mixed.select([]), encoder).shape == (0, whole.shape[1])


def test_state_is_plain_and_rebuilds_the_same_encoder(mixed):
    encoder = TabularEncoder().fit(mixed)
    config, arrays = encoder.state()
    again = encoder_from_state(json.loads(json.dumps(config)), arrays)
    assert (features(mixed, again) == features(mixed, encoder)).all()
    assert again.feature_names == encoder.feature_names
    assert len(encoder.feature_names) == features(mixed, encoder).shape[1]


def test_a_missing_column_suggests_the_nearest_name():
    encoder = TabularEncoder().fit(table(length=[1, 2]))
    with pytest.raises(ValueError, match=r"new.csv has no column 'length'; did you mean 'lenght'\?"):
        encoder.transform(table(lenght=[1, 2], source="new.csv"))


def test_text_among_numbers_is_named():
    encoder = TabularEncoder().fit(table(length=[1, 2]))
    with pytest.raises(ValueError, match=r"column length held a number .* got 'long' at row 2 \(birds.csv\)"):
        encoder.transform(table(length=["3", " ", "long", "x"]))


@pytest.mark.parametrize(
    ("learned", "given_later"),
    [
        (pa.array([1.0, 2.0]), pa.array([0, 1], pa.timestamp("s"))),
        (pa.array([0, 1], pa.timestamp("s")), pa.array([1.0, 2.0])),
        (pa.array(["a", "b"]), tensors(np.ones((2, 2)))),
        (tensors(np.eye(2)), tensors(np.ones((2, 3)))),
        (tensors(np.eye(2)), pa.array([1.0, 2.0])),
        (pa.array([1.0, 2.0]), pa.array([[1.0], [2.0]])),
    ],
)
def test_a_column_of_another_type_is_refused(learned, given_later):
    encoder = TabularEncoder().fit(table(a=learned))
    with pytest.raises(ValueError, match=r"column a held a .*; birds.csv has .* there"):
        encoder.transform(table(a=given_later))


def test_a_column_that_is_all_missing_later_is_imputed():
    encoder = TabularEncoder().fit(table(a=[1.0, 2.0, 9.0], c=["x", "y", "x"]))
    x = features(table(a=pa.nulls(1), c=pa.nulls(1)), encoder)
    assert x[0, 0] == features(table(a=[2.0], c=["x"]), encoder)[0, 0]
    assert x[0, 1:].tolist() == [0, 0, 0, 1]


def test_no_usable_column_says_what_to_do():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"constant: a; nearly all different: n.*--labels-only.*--embeddings"):
            TabularEncoder().fit(table(a=[1] * 12, n=[f"x{at}" for at in range(12)]))
    with pytest.raises(ValueError, match="no rows"):
        TabularEncoder().fit(table(a=pa.array([], pa.float64())))
    with pytest.raises(ValueError, match="fit the encoder"):
        TabularEncoder().transform(table(a=[1]))
