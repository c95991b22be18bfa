import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.labels import read

TEXT = "x,name,kind\n1.5,a,rose\n2,b,tulip\n,,rose\n"


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", TEXT),
        ("t.csv", "\ufeff" + TEXT),
        ("t.csv", TEXT.replace("\n", "\r\n")),
        ("t.csv", TEXT.replace(",", ";")),
        ("t.csv.gz", gzip.compress(TEXT.encode())),
        ("t.tsv", TEXT.replace(",", "\t")),
        ("t.dat", TEXT.replace(",", "\t")),
        ("t.CSV", TEXT),
    ],
    ids=["plain", "byte-order mark", "DOS", "semicolons", "gzip", "tabs", "dat", "capitals"],
)
def test_forms_of_the_same_table(tmp_path, name, content):
    table = read(written(tmp_path / name, content), "kind")
    assert table.data.to_pydict() == {
        "x": [1.5, 2.0, None],
        "name": ["a", "b", None],
        "kind": ["rose", "tulip", "rose"],
    }


def test_white_space_separates_columns(tmp_path):
    table = read(written(tmp_path / "t.dat", "  a   b\n 1   2.5\n-3  4e1 \n"))
    assert table.data.to_pydict() == {"a": [1, -3], "b": [2.5, 40.0]}


def test_quoted_fields_may_hold_separators_and_lines(tmp_path):
    table = read(written(tmp_path / "t.csv", 'a,b\n"x, ""y""\nz",1\nw,2\n'))
    assert table.data["a"].to_pylist() == ['x, "y"\nz', "w"]


def test_a_lone_quote_inside_a_field_is_text(tmp_path):
    table = read(written(tmp_path / "t.csv", 'a,b\npipe 5",1\nw,2\n'))
    assert table.data["a"].to_pylist() == ['pipe 5"', "w"]


def test_a_type_that_changes_late_is_found(tmp_path):
    rows = "".join(f"{i},k{i % 2}\n" for i in range(200_000))
    table = read(written(tmp_path / "t.csv", "a,b\n" + rows + "end,k0\n"), "b")
    assert table.data["a"][-1].as_py() == "end"


def test_ids_and_groups_keep_their_leading_zeros(tmp_path):
    table = read(written(tmp_path / "t.csv", "i,g,y\n007,01,a\n07,1,b\n"), "y", group="g", id="i")
    assert table.ids.tolist() == ["007", "07"]
    assert len(set(table.groups)) == 2


def test_the_index_that_pandas_writes_is_no_feature(tmp_path):
    table = read(written(tmp_path / "t.csv", ",a,y\n0,5,p\n1,6,q\n"), "y")
    assert table.feature_names == ["a"]
    table = read(written(tmp_path / "t.csv", ",a,y\n4,5,p\n1,6,q\n"), "y")
    assert table.feature_names == ["column_1", "a"]


def test_numbered_columns_are_names(tmp_path):
    assert read(written(tmp_path / "t.csv", "0,1,y\n5.5,6,p\n7,8,q\n"), "y").feature_names == ["0", "1"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("a,b\n", "no rows, only the columns a, b"),
        ("a,b\n1,2\n3,4,5\n6\n", r"2 fields in every line.*got 3 in line 3: '3,4,5' \(2 lines"),
        ("a,a\n1,2\n", "columns 1 and 2 .* both called 'a'"),
        ("0.3,b\n0.1,x\n", "no line of column names: line 1 holds '0.3'"),
        ("7,b\n8,x\n", "no line of column names"),
        (b"a,b\n1,x\n2,caf\xe9\n", r"not UTF-8: byte 0xe9 at line 3, byte 6 of the line.*'2,caf\xe9'.*iconv"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16.*save it as UTF-8"),
        ('a,b\n1,"x\n2,y\n3,z\n', "double quote in line 2 .* is never closed"),
        ('a,b\n1,x\n2,"y\n3,z', "double quote in line 3 .* is never closed"),
        (b"PK\x03\x04", "ZIP archive or spreadsheet"),
    ],
)
def test_broken_files_are_refused_with_the_place(tmp_path, content, words):
    path = written(tmp_path / "t.csv", content)
    with pytest.raises(ValueError, match=words) as refusal:
        read(path, "b")
    assert "t.csv" in str(refusal.value)


def test_half_a_gzip_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a whole gzip file"):
        read(written(tmp_path / "t.csv.gz", gzip.compress(TEXT.encode() * 50)[:-20]))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=("Cs",)), max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(cells, cells), min_size=2, max_size=8))
def test_any_text_comes_back(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("first", "second"), *rows, ("word", "word")])
    table = read(path)
    back = [tuple(row.values()) for row in table.data.cast(table.data.schema).to_pylist()]
    expected = [tuple(cell or None for cell in row) for row in [*rows, ("word", "word")]]
    assert back == expected
