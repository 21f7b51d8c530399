/* rows_channel.c - the modern channel by itself: what publishing a token costs while nobody sleeps, and how long a
 * sleeping reader takes to have it.
 *
 * The yardstick of waking is a futex with a time stamp and nothing else. The readers are processes of their own and are
 * woken by turns, one wake of each kind after the other, so that whatever the machine does hits all of them; writer and
 * readers keep to one core each.
 */
#include "rows.h"

#include "../src/measure/wakes.h"
#include "../src/platform/platform.h"

#include <stdio.h>

#define N_PUBLISH_TURNS 21
#define N_CLOCKS 50000

/* The same, again while other programs were using the cores and there is time for it. Returns how much they used. */
static double measure_quiet_wakes(samples way_us[N_WAKE_KINDS], samples writer_us[N_WAKE_KINDS]) {
    for (;;) {
        wait_for_quiet(0, 0);
        const other_load other_load = other_load_begin(0, 0);
        wakes_measure(WAKES_MOST, way_us, writer_us);
        const double cores = other_load_cores(&other_load);
        if (cores <= OTHER_LOAD_MOST || !retries_left())
            return cores;
        retries_spend(now_ns() - other_load.at_ns);
    }
}

static void add_wakes(results *list, const bench_options *options) {
    static samples way[N_WAKE_KINDS], writer[N_WAKE_KINDS], median[N_WAKE_KINDS], late[N_WAKE_KINDS];
    static samples ratio[N_WAKE_KINDS], late_ratio[N_WAKE_KINDS], publish[N_WAKE_KINDS], other_load;
    other_load.n = 0;
    for (int kind = 0; kind < N_WAKE_KINDS; kind++)
        median[kind].n = late[kind].n = ratio[kind].n = late_ratio[kind].n = publish[kind].n = 0;
    for (int round = 0; round < options->n_rounds; round++) {
        samples_add(&other_load, measure_quiet_wakes(way, writer));
        const double futex_median = samples_median(&way[WAKE_FUTEX]);
        const double futex_late = samples_quantile(&way[WAKE_FUTEX], 0.99);
        for (int kind = 0; kind < N_WAKE_KINDS; kind++) {
            samples_add(&median[kind], samples_median(&way[kind]));
            samples_add(&late[kind], samples_quantile(&way[kind], 0.99));
            samples_add(&ratio[kind], samples_median(&way[kind]) / futex_median);
            samples_add(&late_ratio[kind], samples_quantile(&way[kind], 0.99) / futex_late);
            samples_add(&publish[kind], samples_median(&writer[kind]));
        }
    }
    results_add(list, "channel.wake.bell_ratio", samples_median(&ratio[WAKE_BELL]), "ratio", results_at_most(1.15),
                "publish to a sleeping reader's return / bare futex, median");
    results_add(list, "channel.wake.bell_p99_ratio", samples_median(&late_ratio[WAKE_BELL]), "ratio",
                results_at_most(1.5), "the same of the 99th percentiles");
    results_add(list, "channel.wake.library_ratio", samples_median(&ratio[WAKE_LIBRARY]), "ratio", results_no_bar(),
                "to the return of lipc_stream_read / bare futex, median");
    results_add(list, "channel.wake.library_p99_ratio", samples_median(&late_ratio[WAKE_LIBRARY]), "ratio",
                results_no_bar(), "the same of the 99th percentiles");
    results_add(list, "channel.wake.other_load", samples_max(&other_load), "cores", results_no_bar(),
                "used by other programs in the worst round");
    static const char *const names[N_WAKE_KINDS] = {"futex", "bell", "library"};
    for (int kind = 0; kind < N_WAKE_KINDS; kind++) {
        char name[64];
        snprintf(name, sizeof name, "channel.wake.%s", names[kind]);
        results_add(list, name, samples_median(&median[kind]), "us", results_no_bar(), "the way itself, median");
        snprintf(name, sizeof name, "channel.wake.%s_p99", names[kind]);
        results_add(list, name, samples_median(&late[kind]), "us", results_no_bar(), "99th percentile");
        snprintf(name, sizeof name, "channel.wake.%s_writer", names[kind]);
        results_add(list, name, samples_median(&publish[kind]), "us", results_no_bar(), "the writer's own part of it");
    }
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

static double measure_clock_ns(void) {
    const int64_t start = now_ns();
    for (int i = 0; i < N_CLOCKS; i++)
        plat_clock_ns();
    return (double)(now_ns() - start) / N_CLOCKS;
}

static void add_publish(results *list) {
    static samples alone, polled, clock;
    alone.n = polled.n = clock.n = 0;
    for (int i = 0; i < N_PUBLISH_TURNS; i++) {
        samples_add(&alone, publish_cost_ns(false));
        samples_add(&polled, publish_cost_ns(true));
        samples_add(&clock, measure_clock_ns());
    }
    results_add(list, "channel.publish.nobody", samples_median(&alone), "ns", results_at_most(100),
                "publish a token of 5 bytes, nobody reads");
    results_add(list, "channel.publish.polled", samples_median(&polled), "ns", results_at_most(100),
                "the same while another process looks without a pause");
    results_add(list, "channel.publish.clock", samples_median(&clock), "ns", results_no_bar(),
                "of that: reading the clock, once for each token");
}

void rows_channel(results *list, const bench_options *options) {
    add_publish(list);
    add_wakes(list, options);
}
