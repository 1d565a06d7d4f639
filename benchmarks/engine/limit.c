/* The six published algorithms for all tickers in one pass over their state, eight tickers at a time in vector
   registers: what an evaluation costs when nothing but reading and writing the state once is left. It has none of
   the engine's care (warm-up, re-centred sums, tolerance, gaps, reasons), which only makes it faster. */

#include <math.h>

#define LANES 4

typedef double reals __attribute__((vector_size(LANES * 8), aligned(8), may_alias));
typedef long mask __attribute__((vector_size(LANES * 8), may_alias));
typedef signed char codes __attribute__((vector_size(LANES), aligned(1), may_alias));

#define AT(array) (*(reals *)((array) + i))

static inline mask pick(mask where, mask this, mask other) { return (where & this) | (~where & other); }

/* One algorithm's signal, view and entry price of LANES tickers. */
static inline void follow(mask entry, mask exit, reals close, reals *price, codes *view, codes *signal)
{
    const mask held = __builtin_convertvector(*view, mask);
    const mask said = (entry & 1) | (~entry & exit); /* a mask is 0 or -1: exit alone is SELL as it stands */
    const mask now = pick(said != 0, said, held);
    const mask at = pick(now > 0, (mask)close, (mask)(close * NAN));
    *signal = __builtin_convertvector(said, codes);
    *view = __builtin_convertvector(now, codes);
    *price = (reals)pick(now == held, (mask)*price, at);
}

/* close and volume of this candle; before: the closes of the candle before; left9, left50, left100: the closes
   that leave the windows; newest: where the window keeps this close. Then the state: sums, averages, the last
   volume; per algorithm n entry prices and views; the signals out. n is a multiple of LANES. */
void step(long n, const double *close, const double *volume, const double *before, const double *left9,
          const double *left50, const double *left100, double *newest, double *sum9, double *sum50,
          double *sum100, double *ema50, double *ema100, double *gain, double *loss, double *last_volume,
          double *prices, signed char *views, signed char *signals)
{
    const reals nothing = {0};

#define FOLLOW(number, entry, exit)                                                                        \
    {                                                                                                      \
        reals *price = (reals *)(prices + (number) * n + i);                                               \
        follow(entry, exit, c, price, (codes *)(views + (number) * n + i),                                 \
               (codes *)(signals + (number) * n + i));                                                     \
    }

    for (long i = 0; i < n; i += LANES) {
        const reals c = AT(close), v = AT(volume), v_before = AT(last_volume);
        const reals sma9_before = AT(sum9) * (1.0 / 9), sma50_before = AT(sum50) * (1.0 / 50);
        const reals ema50_before = AT(ema50), ema100_before = AT(ema100);
        const reals rsi_before = 100 * AT(gain) / (AT(gain) + AT(loss));
        const reals change = c - AT(before);
        const reals gained = (reals)((mask)change & (change > nothing));

        const reals sma9 = (AT(sum9) += c - AT(left9)) * (1.0 / 9);
        const reals sma50 = (AT(sum50) += c - AT(left50)) * (1.0 / 50);
        const reals sma100 = (AT(sum100) += c - AT(left100)) * (1.0 / 100);
        const reals e50 = AT(ema50) += (c - ema50_before) * (2.0 / 51);
        const reals e100 = AT(ema100) += (c - ema100_before) * (2.0 / 101);
        const reals g = AT(gain) = (AT(gain) * 13 + gained) * (1.0 / 14);
        const reals l = AT(loss) = (AT(loss) * 13 + (gained - change)) * (1.0 / 14);
        const reals rsi = 100 * g / (g + l);
        AT(newest) = c;
        AT(last_volume) = v;

        /* golden_crossover, buy_the_dip, reversal_rsi, simple_trend_ride, dollar_cost_averaging, pump_and_dump */
        FOLLOW(0, (sma9_before <= sma50_before) & (sma9 > sma50) & (rsi > 55),
               (sma9_before >= sma50_before) & (sma9 < sma50))
        FOLLOW(1, (rsi < 40) & (rsi_before - rsi >= 3) & (e100 > e50),
               (rsi > 65) & (ema50_before <= ema100_before) & (e50 > e100))
        FOLLOW(2, (rsi < 35) & (c < sma100), rsi > 65)
        FOLLOW(3, rsi > 70, (c >= 1.06 * *price) | (rsi < 55))
        FOLLOW(4, (rsi < 50) & (c < sma50), c >= 2 * *price)
        FOLLOW(5, (c > sma9) & (sma9 > sma100) & (v > 2 * v_before) & (v_before > nothing),
               (rsi < 50) | (rsi > 77))
    }
}
