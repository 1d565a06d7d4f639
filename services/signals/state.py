"""What an engine knows of its tickers, as bytes.

The bytes depend on the candles that each ticker had and on the engine's algorithms and indicators, and on
nothing else: not on the order in which tickers came, the tickers beside them, or how often the engine was
stopped and restored. So their SHA-256 is the same wherever the same candles were stepped.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from services.signals.candles import COLUMNS, EPOCH, TIMEFRAMES, Candle

FORMAT = 1

StateArray = NDArray[Any]
"""float64, int64 or int8."""

_DTYPES: dict[str, np.dtype[Any]] = {"f8": np.dtype("<f8"), "i8": np.dtype("<i8"), "i1": np.dtype("i1")}


class BrokenState(ValueError):
    """Bytes that are no state of this format; the text says what is wrong with them."""


class IncompleteState(ValueError):
    """A state without something that the engine needs: it has to be rebuilt from the candles.

    `missing` names the indicators, and the highest closes of algorithms that the state has without them.
    """

    def __init__(self, missing: Iterable[str]) -> None:
        self.missing = tuple(sorted(missing))
        super().__init__(f"the state lacks {', '.join(self.missing)}")


@dataclass(frozen=True, slots=True, eq=False)
class EngineState:
    """The state of some tickers of one timeframe, sorted by ticker.

    `arrays` are by name; the last axis of each is the tickers: `count` (candles the ticker has had),
    `opened` (open time of the last one, seconds since 1970), `latest/NAME` (the last candle's columns and
    indicator values), `indicator/NAME/PART`, `history/COLUMN` of shape (candles, tickers) newest first
    and 0 before a ticker's first, and of each algorithm `algorithm/KEY/view`, `.../entry_price` and,
    where it follows it, `.../highest_close`. NaN is what is not known yet.
    """

    timeframe: str
    tickers: tuple[str, ...]
    arrays: Mapping[str, StateArray]

    def to_bytes(self) -> bytes:
        """One line of canonical JSON (RFC 8785), then each array's little-endian values in that order."""
        parts = [(name, _canonical(self.arrays[name])) for name in sorted(self.arrays)]
        header: dict[str, Any] = {
            "arrays": [[name, array.dtype.str[1:], *array.shape] for name, array in parts],
            "format": FORMAT,
            "tickers": list(self.tickers),
            "timeframe": self.timeframe,
        }
        # of text and small integers orjson writes what RFC 8785 says
        line = orjson.dumps(header, option=orjson.OPT_SORT_KEYS)
        return b"".join([line, b"\n", *(array.tobytes() for _, array in parts)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The state that `to_bytes` gave. Raises BrokenState for anything else."""
        line, _, values = data.partition(b"\n")
        header = _header(line)
        tickers = tuple(header["tickers"])
        arrays: dict[str, StateArray] = {}
        start = 0
        for name, dtype, *shape in header["arrays"]:
            if dtype not in _DTYPES or not 1 <= len(shape) <= 2 or shape[-1] != len(tickers):
                raise BrokenState(f"the array {name} is {dtype}{shape} in a state of {len(tickers)} tickers")
            size = int(np.prod(shape)) * _DTYPES[dtype].itemsize
            if start + size > len(values):
                raise BrokenState(f"the values end within the array {name}")
            flat = np.frombuffer(values[start : start + size], dtype=_DTYPES[dtype])
            arrays[name] = flat.reshape(shape)
            start += size
        if start != len(values):
            raise BrokenState(f"{len(values) - start} bytes follow the last array")
        return cls(header["timeframe"], tickers, arrays)

    def only(self, tickers: Iterable[str]) -> "EngineState":
        """The state of those tickers alone that are among `tickers`."""
        chosen = set(tickers)
        places = np.array([at for at, each in enumerate(self.tickers) if each in chosen], dtype=np.intp)
        arrays = {name: array[..., places] for name, array in self.arrays.items()}
        return EngineState(self.timeframe, tuple(self.tickers[at] for at in places.tolist()), arrays)

    def of_algorithm(self, key: str) -> dict[str, StateArray]:
        """The arrays of one algorithm by the names of their parts; none if the state does not know it."""
        prefix = f"algorithm/{key}/"
        own = (name for name in self.arrays if name.startswith(prefix))
        return {name.removeprefix(prefix): self.arrays[name] for name in own}

    def completed(self, built: "EngineState") -> "EngineState":
        """This state, and what it lacks from `built`, the state after those of its candles that are left.

        A ticker of which too few are left to know what is lacking begins anew with those, or with its next
        candle where none is left.
        """
        partly_known = tuple(
            name.removesuffix("highest_close")
            for name in built.arrays.keys() - self.arrays.keys()
            if name.endswith("/highest_close")
        )
        own = {name: each for name, each in self.arrays.items() if not name.startswith(partly_known)}
        size = len(self.tickers)
        numbers = {ticker: number for number, ticker in enumerate(self.tickers)}
        places = np.array([numbers[ticker] for ticker in built.tickers], dtype=np.intp)
        arrays = {name: _spread(name, array, places, size) for name, array in built.arrays.items()}
        lacking = [array for name, array in arrays.items() if name not in own and name.startswith("latest/")]
        kept = np.isfinite([np.zeros(size), *lacking]).all(axis=0) | (arrays["count"] == own["count"])
        for name in arrays.keys() & own.keys():
            deep = np.concatenate([own[name][: len(arrays[name])], arrays[name][len(own[name]) :]])
            arrays[name] = np.where(kept, deep, arrays[name])
        last = ("opened", *(f"latest/{column}" for column in COLUMNS))
        return EngineState(self.timeframe, self.tickers, {**arrays, **{name: own[name] for name in last}})

    def last_candles(self) -> Iterator[Candle]:
        """The last candle of each ticker: behind it a restored engine goes on."""
        columns = (self.arrays[f"latest/{name}"].tolist() for name in COLUMNS)
        for ticker, opened, *values in zip(
            self.tickers, self.arrays["opened"].tolist(), *columns, strict=True
        ):
            yield Candle(ticker, EPOCH + timedelta(seconds=opened), *values)


def _canonical(array: StateArray) -> StateArray:
    """Little-endian, and one NaN instead of those that machines make with either sign."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if little.dtype.kind == "f":
        unknown = np.isnan(little)
        if unknown.any():
            little = np.where(unknown, np.nan, little)
    return little


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = orjson.loads(line)
        known = header["format"] == FORMAT
        shapes = {"arrays": list, "tickers": list, "timeframe": str}
        formed = known and all(isinstance(header[name], kind) for name, kind in shapes.items())
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BrokenState(f"its first line is no header: {error}") from error
    if not formed:
        raise BrokenState(f"its format is {header['format']!r}, not {FORMAT}")
    if header["tickers"] != sorted(set(header["tickers"])):
        raise BrokenState("its tickers are not in order")
    if header["timeframe"] not in TIMEFRAMES:
        raise BrokenState(f"its timeframe is {header['timeframe']!r}")
    return dict(header)


def _spread(name: str, array: StateArray, places: NDArray[np.intp], size: int) -> StateArray:
    """An array of some tickers as one of `size`; the others are as before their first candle."""
    unknown = np.nan if array.dtype == np.float64 and name.startswith(("latest/", "algorithm/")) else 0
    spread = np.full((*array.shape[:-1], size), unknown, dtype=array.dtype)
    spread[..., places] = array
    return spread
