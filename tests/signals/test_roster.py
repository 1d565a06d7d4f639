import numpy as np

from services.signals.roster import Roster


def test_tickers_are_numbered_as_they_first_come_and_keep_their_numbers() -> None:
    roster = Roster()
    assert roster.rows(("B", "A")).tolist() == [0, 1]
    assert roster.row("C") == 2
    assert roster.rows(("A", "D", "B")).tolist() == [1, 3, 0]
    assert roster.rows(("A", "D", "B")).tolist() == [1, 3, 0]
    assert roster.rows(()).tolist() == []
    assert roster.names == ["B", "A", "C", "D"]


def test_an_array_has_room_for_all_rows_and_keeps_its_values() -> None:
    roster = Roster()
    roster.rows(("A", "B"))
    times = roster.fitted(np.zeros(0, dtype=np.int64), -1)
    assert (times.tolist(), times.dtype) == ([-1, -1], np.int64)
    times[:] = 1, 2
    assert roster.fitted(times, -1) is times
    roster.row("C")
    assert roster.fitted(times, -1)[:3].tolist() == [1, 2, -1]
    table = roster.fitted(np.ones((1, 5)), np.nan)
    assert table.shape == (3, 5)
    assert np.isnan(table[1:]).all()
