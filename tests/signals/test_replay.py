"""Reading recorded candles and sending them through the engine."""

import gzip
from datetime import timedelta

import numpy as np
import pytest

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import EPOCH
from services.signals.feeds.csv_files import Recording, TickerCandles, read_directory
from services.signals.replay import INDICATORS, indicator_rows, replay, signal_rows, stamp
from tests.signals.market import DATA, START

HEADER = "time,open,high,low,close,volume\n"


def row(time, price="10"):
    return f"{time},{price},{price},{price},{price},1\n"


def hours(*numbers, price="10"):
    return "".join(row(stamp(START + timedelta(hours=number)), price) for number in numbers)


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text)
        return tmp_path

    return write


def reasons(recording):
    return [(rejected.path.name, rejected.line, rejected.reason) for rejected in recording.rejected]


@pytest.mark.parametrize(
    "time",
    [
        "2020-01-01T00:00:00Z",
        "2020-01-01",
        "2020-01-01 00:00:00",
        "2020-01-01T01:00:00+01:00",
        "20200101T000000Z",
        "1577836800",
        "1577836800.0",
        "1.5778368e9",
        "1577836800000",
        "  1577836800  ",
    ],
)
def test_time_is_iso_8601_or_an_epoch_in_seconds_or_milliseconds(folder, time):
    recording = read_directory(folder(A=HEADER + row(time)), "1h")
    assert recording.tickers[0].open_times.tolist() == [1577836800]


def test_epoch_is_in_milliseconds_only_above_1e11(folder):
    recording = read_directory(folder(A=HEADER + row("99999964800"), B=HEADER + row("100000008000")), "1h")
    assert recording.tickers[0].open_times.tolist() == [99999964800]
    assert reasons(recording) == [("B.csv", 2, "the time is off the timeframe's grid")]


def test_time_before_1970_is_a_time(folder):
    assert read_directory(folder(A=HEADER + row("-86400")), "1d").tickers[0].open_times.tolist() == [-86400]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2020-01-01T02:00:00Z,10,10,10,10", "5 fields instead of 6"),
        ("2020-01-01T02:00:00Z,10,10,10,10,1,1", "7 fields instead of 6"),
        ("yesterday,10,10,10,10,1", "time is neither ISO 8601 nor an epoch: 'yesterday'"),
        ("2020-13-01,10,10,10,10,1", "time is neither ISO 8601 nor an epoch: '2020-13-01'"),
        ("1e300,10,10,10,10,1", "time is neither ISO 8601 nor an epoch: '1e300'"),
        ("9999-12-31T23:00:00Z,10,10,10,10,1", "time leaves no room for the candle to close"),
        (",10,10,10,10,1", "time is empty"),
        ("2020-01-01T02:00:00Z,,10,10,10,1", "open is empty"),
        ("2020-01-01T02:00:00Z,10,ten,10,10,1", "high is not a number: 'ten'"),
        ("2020-01-01T02:00:00Z,10,10,1_0,10,1", "low is not a number: '1_0'"),
        ("2020-01-01T02:00:00Z,10,10,10,0x10,1", "close is not a number: '0x10'"),
        ("2020-01-01T02:00:00Z,10,10,10,10,\ufffd", "volume is not a number"),
        ('"2020-01-01T02:00:00Z,10,10,10,10,1', "1 fields instead of 6"),
        ("2020-01-01T02:00:00Z,10,10,10,nan,1", "a value is not a finite number"),
        ("2020-01-01T02:00:00Z,10,Infinity,10,10,1", "a value is not a finite number"),
        ("2020-01-01T02:00:00Z,10,1e999,10,10,1", "a value is not a finite number"),
        ("2020-01-01T02:00:00Z,10,10,10,10,-1", "a value is negative"),
        ("2020-01-01T02:00:00Z,10,10,0,10,1", "a price is zero"),
        ("2020-01-01T02:00:00Z,10,10,11,10,1", "low <= open, close <= high does not hold"),
        ("2020-01-01T01:30:00Z,10,10,10,10,1", "the time is off the timeframe's grid"),
        ("2019-12-31T23:00:00Z,10,10,10,10,1", "out of order: older than the candle before"),
        ("2020-01-01T00:00:00Z,11,11,11,11,1", "repeats an earlier candle with other values"),
        ("2020-01-01T01:00:00Z,11,11,11,11,1", "repeats an earlier candle with other values"),
    ],
)
def test_broken_row_is_rejected_by_line_and_reason_and_the_rest_goes_on(folder, line, reason):
    recording = read_directory(folder(A=HEADER + hours(0, 1) + line + "\n" + hours(3, 4)))
    ((name, number, said),) = reasons(recording)
    assert (name, number) == ("A.csv", 4)
    assert said.startswith(reason)
    assert len(recording) == 4


def test_rejected_row_reads_as_file_line_and_reason(folder):
    directory = folder(A=HEADER + hours(0, 1) + "broken\n")
    assert str(read_directory(directory).rejected[0]) == f"{directory}/A.csv:4: 1 fields instead of 6"


def test_repeats_with_the_same_values_and_blank_lines_are_no_broken_rows(folder):
    recording = read_directory(folder(A=HEADER + hours(0, 1, 2) + "\n" + hours(2, 0) + hours(3) + "\n\n"))
    assert recording.rejected == ()
    assert len(recording) == 4


def test_columns_are_found_by_the_header_in_any_order_and_case(folder):
    text = "Volume,CLOSE,note,low,high,open,time\n5,2,x,1,4,3,0\n"
    assert read_directory(folder(A=text), "1h").tickers[0].values.tolist() == [[3.0, 4.0, 1.0, 2.0, 5.0]]


def test_file_without_a_header_has_the_usual_columns(folder):
    assert len(read_directory(folder(A=hours(0, 1)))) == 2


def test_byte_order_mark_quotes_and_windows_line_ends_are_read(tmp_path):
    text = HEADER + '"2020-01-01T00:00:00Z","10","10","10","10","1"\n' + hours(1)
    (tmp_path / "A.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    recording = read_directory(tmp_path)
    assert (len(recording), recording.rejected) == (2, ())


def test_bytes_that_are_no_text_spoil_their_row_only(tmp_path):
    (tmp_path / "A.csv").write_bytes((HEADER + hours(0, 1)).encode() + b"\xff\xfe,\x00\n" + hours(2).encode())
    recording = read_directory(tmp_path)
    assert [line for _, line, _ in reasons(recording)] == [4]
    assert len(recording) == 3


def test_header_that_lacks_a_column_rejects_the_file(folder):
    recording = read_directory(folder(A="time,open,high,low,close\n" + hours(0, 1)))
    assert reasons(recording) == [("A.csv", 1, "the header lacks volume")]
    assert len(recording) == 0


def test_compressed_files_are_read_and_a_torn_one_is_reported(tmp_path):
    data = gzip.compress((HEADER + hours(*range(5000))).encode(), mtime=0)
    (tmp_path / "WHOLE.csv.gz").write_bytes(data)
    (tmp_path / "TORN.csv.gz").write_bytes(data[: len(data) // 2])
    (tmp_path / "NONE.csv.gz").write_bytes(b"no gzip")
    recording = read_directory(tmp_path)
    assert [(name, said.split(":")[0]) for name, _, said in reasons(recording)] == [
        ("NONE.csv.gz", "cannot be read"),
        ("TORN.csv.gz", "cannot be read"),
    ]
    assert {each.ticker for each in recording.tickers} == {"TORN", "WHOLE"}


def test_ticker_is_read_once_and_other_files_not_at_all(folder):
    directory = folder(A=HEADER + hours(0, 1))
    (directory / "A.csv.gz").write_bytes(gzip.compress(HEADER.encode()))
    (directory / "notes.txt").write_text("no candles")
    (directory / ".hidden.csv").write_text("no candles")
    (directory / "folder.csv").mkdir()
    assert reasons(read_directory(directory)) == [("A.csv.gz", 1, "A was read from another file already")]


@pytest.mark.parametrize(
    ("numbers", "timeframe"),
    [((0, 1, 2, 7, 8), "1h"), ((0, 4, 8, 9), "4h"), ((0, 24, 48, 120), "1d"), ((0, 1, 5), "1h")],
)
def test_timeframe_is_the_most_frequent_step(folder, numbers, timeframe):
    assert read_directory(folder(A=HEADER + hours(*numbers))).timeframes == (timeframe,)


def test_stated_timeframe_is_taken_instead(folder):
    recording = read_directory(folder(A=HEADER + hours(0, 1, 2, 3, 4)), "4h")
    assert recording.tickers[0].open_times.tolist() == [1577836800, 1577836800 + 4 * 3600]
    assert [line for _, line, _ in reasons(recording)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [((0,), "the timeframe cannot be inferred"), ((0, 2, 4), "the most frequent step between rows, 2:00:00")],
)
def test_file_whose_timeframe_is_not_to_be_known_is_rejected_row_by_row(folder, numbers, reason):
    recording = read_directory(folder(A=HEADER + hours(*numbers)))
    assert [line for _, line, _ in reasons(recording)] == list(range(2, 2 + len(numbers)))
    assert all(said.startswith(reason) for _, _, said in reasons(recording))


def test_candles_come_in_one_time_order_by_close_then_timeframe_then_ticker(folder):
    recording = read_directory(
        folder(B=HEADER + hours(0, 1, 2, 3), A=HEADER + hours(3, 4, 5), D=HEADER + hours(0, 4))
    )
    seen = [
        ((batch.close_time - START) // timedelta(hours=1), batch.timeframe, batch.tickers)
        for batch in recording.batches()
    ]
    assert seen == [
        (1, "1h", ("B",)),
        (2, "1h", ("B",)),
        (3, "1h", ("B",)),
        (4, "1h", ("A", "B")),
        (4, "4h", ("D",)),
        (5, "1h", ("A",)),
        (6, "1h", ("A",)),
        (8, "4h", ("D",)),
    ]


def test_tickers_of_every_batch_are_in_the_order_of_their_names(folder):
    names = [f"T{number:02}" for number in range(40)]
    recording = read_directory(folder(**{name: HEADER + hours(*range(12)) for name in reversed(names)}))
    assert [batch.tickers for batch in recording.batches()] == [tuple(names)] * 12


def test_batches_hold_what_the_files_say(folder):
    directory = folder(A=HEADER + "0,2,4,1,3,9\n3600,2,4,1,3,9\n", B=HEADER + row("3600", "7"))
    first, second = read_directory(directory, "1h").batches()
    assert [column.tolist() for column in first.columns] == [[2.0], [4.0], [1.0], [3.0], [9.0]]
    assert second.close.tolist() == [3.0, 7.0]
    assert first.open_time == EPOCH


def part(tickers, size):
    return Recording(
        tuple(
            TickerCandles(each.ticker, each.timeframe, each.open_times[:size], each.values[:size])
            for each in tickers
        ),
        (),
    )


def rows_of(recording):
    moments = list(replay(recording, list(ALGORITHMS.values()), INDICATORS))
    return (
        [row for moment in moments for row in signal_rows(moment)],
        [row for moment in moments for row in indicator_rows(moment)],
    )


def test_shorter_recording_gives_the_beginning_of_what_the_longer_gives():
    daily = read_directory(DATA / "daily").tickers[:1]
    signals, indicators = rows_of(part(daily, 400))
    for size in (101, 250):
        shorter_signals, shorter_indicators = rows_of(part(daily, size))
        assert shorter_indicators == indicators[:size]
        assert shorter_signals == [row for row in signals if row[0] <= shorter_indicators[-1][0]]


def test_rows_of_tickers_and_timeframes_together_are_those_of_each_alone_in_order():
    tickers = [*read_directory(DATA / "daily").tickers, *read_directory(DATA / "m15").tickers]
    together = rows_of(part(tickers, 180))
    alone = [rows_of(part([each], 180)) for each in tickers]
    for kind in (0, 1):
        assert together[kind] == sorted(row for rows in alone for row in rows[kind])


def test_indicator_rows_have_17_digits_and_are_empty_during_warm_up():
    _, rows = rows_of(part(read_directory(DATA / "daily").tickers[:1], 120))
    assert rows[0] == ("2000-03-01T00:00:00Z", "AAPL", "", "", "", "", "", "")
    assert next(number for number, row in enumerate(rows) if row[7]) == 14
    assert [next(n for n, row in enumerate(rows) if row[2 + place]) for place in range(5)] == [
        8,
        49,
        99,
        49,
        99,
    ]
    values = [float(text) for text in rows[-1][2:]]
    assert [f"{value:.17g}" for value in values] == list(rows[-1][2:])
    closes = read_directory(DATA / "daily").tickers[0].values[:120, 3]
    assert values[0] == pytest.approx(np.mean(closes[-9:]), rel=1e-14)


def test_year_is_written_with_four_digits():
    assert stamp(EPOCH.replace(year=33)) == "0033-01-01T00:00:00Z"
