from labelwise.progress import progress


def test_the_bar_is_on_standard_error(capsys):
    with progress("folding", 3) as advance:
        advance()
        advance(2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "folding" in shown.err
    assert "3/3" in shown.err


def test_quiet_shows_nothing(capsys):
    with progress("folding", 1, quiet=True) as advance:
        advance()
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""
