/* What tar_quick.c is given, and what it says. */
#ifndef SCANNER_TAR_QUICK_H
#define SCANNER_TAR_QUICK_H

#include "../numbers.h"

typedef struct {
    uint64_t low, high;
} Digest; /* as XXH128_hash_t, which xxHash returns by value */

typedef struct {
    /* What is given. */
    const uint8_t *arena;
    Digest (*hash)(const void *, size_t);
    const uint8_t *signatures; /* by the first two bytes: 0 where none begins so, else the number of what all such begin with */
    const uint8_t *starts;     /* these, by number: LINE bytes each */
    const uint8_t *lines;      /* n_lines of LINE bytes */
    int64_t n_lines;
    int64_t window; /* bytes of a file that its type is judged by */
    /* What is remembered: until there is no room. */
    Numbers heads; /* of HEAD bytes each */
    /* What is said of the archive at hand. */
    int32_t *members; /* per member: twice the number of its head, plus one for a directory */
    int32_t *spans;   /* per file: where its content begins and ends */
    uint8_t *digests; /* per file: 16 bytes, as xxh3_128_digest gives them */
    uint8_t *types;   /* per file: UNSETTLED, ... */
    int64_t n_members, n_files;
    int64_t largest, largest_bytes; /* which file is the first of the largest, and its size; -1 where there is none */
} Walk;

/* 1 where the arena's first `end` bytes, and it has no less, are an ordinary archive: what is said is then of it. */
int scanner_walk_tar(Walk *walk, size_t end);

/* As xxh3_128_digest gives them. */
static inline void put_digest(Digest digest, uint8_t *at) {
    for (int byte = 0; byte < 8; byte++) {
        at[byte] = (uint8_t)(digest.high >> (56 - 8 * byte));
        at[8 + byte] = (uint8_t)(digest.low >> (56 - 8 * byte));
    }
}

#endif
