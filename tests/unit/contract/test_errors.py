"""The list of errors."""

from contract.errors import ERRORS, OTHER, kind_of


def test_every_error_stands_in_the_list_once() -> None:
    names = [name for kind in ERRORS for name in kind.names]
    assert len(set(names)) == len(names) > 20


def test_every_error_has_a_meaning_and_a_remedy_in_whole_sentences() -> None:
    for kind in (*ERRORS, OTHER):
        for text in (kind.meaning, kind.remedy):
            assert text[0].isupper(), kind.names
            assert text.endswith("."), kind.names


def test_an_error_that_is_not_listed_has_the_remedy_of_all_others() -> None:
    assert kind_of("NameTaken").names == ("NameTaken",)
    assert kind_of("KeyError") is OTHER
