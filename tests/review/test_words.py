from labelwise.review.words import MOST_CLASSES, marked, telling_words


def test_words_that_stand_in_one_class_tell_of_it():
    texts = ["the Goal of the match"] * 6 + ["the vote in parliament"] * 6 + [None, "the vote"]
    labels = ["sport"] * 6 + ["politics"] * 6 + ["sport", None]
    assert telling_words(texts, labels) == {"sport": ["goal", "match"], "politics": ["parliament", "vote"]}


def test_a_word_of_two_texts_tells_nothing_and_too_many_classes_neither():
    assert telling_words(["rare"] * 2 + ["word"] * 9, ["a"] * 2 + ["b"] * 9) == {"a": [], "b": ["word"]}
    many = [str(number) for number in range(MOST_CLASSES + 1)]
    assert telling_words(many, many) == {}


def test_pieces_are_the_text_again_with_what_words_speak_for():
    text = "Goal! The vote,\n<b>goals</b> & a GOAL"
    pieces = marked(text, {"goal": "given", "vote": "suggested"})
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece in pieces if piece[1]] == [("Goal", "given"), ("vote", "suggested"), ("GOAL", "given")]


def test_what_was_searched_is_found_within_words_and_taken_literally():
    pieces = marked("a.b and axb, forgoal", {"goal": "given"}, "a.b")
    assert [piece for piece in pieces if piece[1]] == [("a.b", "searched")]
    assert [piece for piece in marked("forgoal", {}, " GOA ") if piece[1]] == [("goa", "searched")]
    assert marked("", {"goal": "given"}, "x") == []
