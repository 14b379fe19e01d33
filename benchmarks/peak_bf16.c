/* The most bf16 arithmetic that one core does: products of registers with registers, nothing loaded or stored.
   Prints GFLOP/s (64 operations an instruction) and a sum that keeps the compiler from leaving the work out. */
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

#define SUMS 12 /* independent, to hide the latency */
#define TURNS 20000000L

int main(void) {
    __m512 sum[SUMS];
    __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f80), b = (__m512bh)_mm512_set1_epi16(0x3a80);
    double best = 0;
    float out[16], all = 0;
    for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_ps();
    for (int round = 0; round < 5; round++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (long n = 0; n < TURNS; n++) {
            for (int i = 0; i < SUMS; i++) sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
            __asm__ volatile("" : "+v"(a), "+v"(b)); /* not the same product every turn, for all the compiler knows */
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = end.tv_sec - begin.tv_sec + 1e-9 * (end.tv_nsec - begin.tv_nsec);
        double rate = 64.0 * SUMS * TURNS / seconds / 1e9;
        if (rate > best) best = rate;
    }
    for (int i = 0; i < SUMS; i++) {
        _mm512_storeu_ps(out, sum[i]);
        all += out[0];
    }
    printf("%.1f %g\n", best, all);
    return 0;
}
