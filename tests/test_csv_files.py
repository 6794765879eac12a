import pytest

from icsd.csv_files import Kind, read_rows
from icsd.errors import UserError

COLUMNS: dict[str, Kind] = {"name": "text", "count": "count", "score": "number"}


def read(path, content):
    path.write_bytes(content)
    return read_rows(path, COLUMNS, optional=("score",), advice="mend it")


def test_cells_have_the_types_of_their_columns(tmp_path):
    rows = read(tmp_path / "a.csv", 'name,count,score\n"é, b",2,0.5\r\nc,0,\n'.encode())
    assert rows == [{"name": "é, b", "count": 2, "score": 0.5}, {"name": "c", "count": 0, "score": None}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: the columns are '', not name,count,score"),
        (b"name,count\na,1\n", "line 1: the columns are 'name,count', not name,count,score"),
        (b"name,count,score\na,1,2\nb,1\n", "line 3 has 2 cells, not 3"),
        (b"name,count,score\na,1,2\n\xff,1,2\n", "line 3 is not UTF-8"),
        (b"name,count,score\na,1,x\n", "line 2, column score: 'x' is no number"),
        (b"name,count,score\na,1,nan\n", "line 2, column score: 'nan' is no number"),
        (b"name,count,score\na,-1,2\n", "line 2, column count: '-1' is no count"),
        (b"name,count,score\na,1.0,2\n", "line 2, column count: '1.0' is no count"),
        (b"name,count,score\n,1,2\n", "line 2, column name: '' is no text"),
        (b'name,count,score\n"a"b,1,2\n', "line 2 is no CSV"),
    ],
)
def test_a_damaged_file_is_named_with_line_and_column(tmp_path, content, words):
    with pytest.raises(UserError) as error:
        read(tmp_path / "a.csv", content)
    assert str(error.value).startswith(f"{tmp_path / 'a.csv'}: {words}")
    assert str(error.value).endswith("; mend it")


def test_a_missing_file_is_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "a.csv", COLUMNS, advice="mend it")
