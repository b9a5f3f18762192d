/* Byte strings that were met, by number: what C looks up and Python was asked about once. Included by those that keep some.
 *
 * Looked up by a hash and compared whole, so whoever makes strings of one hash slows down the look-up, MOST_STEPS at most, and
 * changes no answer. Nothing is allocated: whoever keeps them gives the places.
 */
#ifndef SCANNER_NUMBERS_H
#define SCANNER_NUMBERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MOST_STEPS = 16 /* from slot to slot */ };

typedef struct {
    uint8_t *bytes; /* of `room` places: the strings, one behind the other */
    int64_t *ends;  /* of `most` places: string number i ends there, and begins where the one before it ends */
    int32_t *slots; /* 1 << slot_bits numbers, 0 where there is none */
    int64_t room, most, slot_bits;
    int64_t n; /* the number of the next one: 1 where there is none yet, and ends[0] is 0 */
} Numbers;

static inline uint64_t word_at(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    return hash ^ (hash >> 32);
}

static inline uint64_t hash_of(const uint8_t *what, size_t n) {
    uint64_t hash = n, rest = 0;
    for (; n >= 8; n -= 8, what += 8) hash = mixed(hash, word_at(what));
    memcpy(&rest, what, n);
    return mixed(hash, rest);
}

/* The slot of a string, or the free one where it may be noted; NULL where there is neither. */
static inline int32_t *slot_of(const Numbers *of, const uint8_t *what, size_t n) {
    uint64_t hash = hash_of(what, n), mask = ((uint64_t)1 << of->slot_bits) - 1;
    for (uint64_t step = 0; step < MOST_STEPS; step++) {
        int32_t *slot = of->slots + ((hash + step) & mask), number = *slot;
        if (!number) return slot;
        int64_t start = of->ends[number - 1];
        if (of->ends[number] - start == (int64_t)n && !memcmp(of->bytes + start, what, n)) return slot;
    }
    return NULL;
}

/* The number of a string; 0 where it was not noted. */
static inline int32_t number_of(const Numbers *of, const uint8_t *what, size_t n) {
    const int32_t *slot = slot_of(of, what, n);
    return slot ? *slot : 0;
}

/* The number of a string from now on; 0 where there is no room. */
static inline int32_t note(Numbers *of, const uint8_t *what, size_t n) {
    int32_t *slot = slot_of(of, what, n);
    if (!slot || *slot) return slot ? *slot : 0;
    int64_t start = of->ends[of->n - 1];
    if (of->n >= of->most || of->room - start < (int64_t)n) return 0;
    memcpy(of->bytes + start, what, n);
    of->ends[of->n] = start + (int64_t)n;
    return *slot = (int32_t)of->n++;
}

#endif
