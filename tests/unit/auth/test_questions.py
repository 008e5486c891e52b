"""How many questions an address may cause: a row of them, then one a second."""

from broker.auth.questions import ADDRESSES, IN_A_ROW, Questions


def test_an_address_has_so_many_in_a_row_and_regains_them() -> None:
    """One a second, up to the row again."""
    questions = Questions()
    for _ in range(IN_A_ROW):
        assert questions.wait("a", 100.0) == 0
        questions.note_refusal("a", 100.0)
    assert questions.wait("a", 100.0) == 1.0
    assert questions.wait("a", 100.5) == 0.5
    assert questions.wait("a", 101.0) == 0
    assert questions.wait("b", 100.0) == 0
    assert questions.wait("a", 100.0 + 10 * IN_A_ROW) == 0


def test_many_at_once_are_made_up_for_later() -> None:
    """Those who slipped through together wait the longer, but not for ever."""
    questions = Questions()
    for _ in range(10 * IN_A_ROW):
        questions.note_refusal("a", 100.0)
    assert questions.wait("a", 100.0) == IN_A_ROW + 1


def test_the_memory_is_bounded() -> None:
    """Whoever comes from very many addresses pushes out only what was heard of least lately."""
    questions = Questions()
    for number in range(ADDRESSES + 10):
        questions.note_refusal(str(number), 100.0)
    assert len(questions._buckets) == ADDRESSES
