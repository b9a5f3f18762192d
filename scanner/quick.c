/* One row in one call: its blob's id, inflated, walked, its template looked up, its content id.
 *
 * Runs once for nearly every row. What is not a sound gzip of an ordinary tar is left as far as it got: the caller goes on from
 * there (scanner/quick.py), and says the same. No Python object is touched, nothing is allocated; inflating is libdeflate's,
 * hashing xxHash's, at the addresses that are given.
 */
#include "formats/tar_quick.h"
#include "numbers.h"

enum { LEAST_GZIP = 18, FLAGS = 3, HEADER_CHECKSUM = 2, DIGEST = 16, PLAN_ENTRY = 8 };

/* How far it got. */
enum {
    ASIDE,    /* no gzip, or one with a flag that libdeflate skips unread */
    MET,      /* a blob of this id was met before */
    UNSOUND,  /* not sound, or larger than `room` */
    INFLATED, /* and no ordinary tar */
    WALKED,   /* and of a template that was not noted */
    READ,
};

typedef struct {
    /* What is given. */
    Walk *walk;
    int (*inflate)(void *tables, const void *in, size_t n, void *out, size_t room, size_t *consumed, size_t *written);
    void *tables;
    int64_t room;       /* in the walk's arena, or less where rows may not be so large */
    int64_t high_ratio; /* a row that grows more than so many times is left to the caller */
    uint64_t *met;      /* 1 << met_bits: the first 64 bits of ids, by the first met_bits of them */
    int64_t met_bits, most_noted; /* larger blobs are not noted */
    /* What is remembered: the members of templates, and for each its files in the order of their keys: which file it is and how
     * long its key, 4 bytes each, then the key. */
    Numbers templates;
    uint8_t *plans;
    int64_t *plans_end;
    int64_t plans_room;
    uint8_t *pairs; /* of `pairs_room` places: keys and digests, to be hashed */
    int64_t pairs_room;
    /* What is said of the row at hand. */
    int64_t size, template, n_members, n_files, largest, largest_bytes;
    uint8_t ids[2 * DIGEST]; /* of the blob, of the content */
} Reader;

/* See VERSION in scanner/compiled.py. */
int scanner_version(void) { return 4; }

static int32_t number_at(const uint8_t *at) {
    int32_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

/* The id of what the files hold: the digest of keys and digests. */
static void identify(Reader *reader) {
    const uint8_t *at = reader->plans + reader->plans_end[reader->template - 1];
    const uint8_t *end = reader->plans + reader->plans_end[reader->template];
    uint8_t *out = reader->pairs;
    while (at < end) {
        size_t file = (size_t)number_at(at), size = (size_t)number_at(at + 4);
        memcpy(out, at + PLAN_ENTRY, size);
        memcpy(out + size, reader->walk->digests + DIGEST * file, DIGEST);
        at += PLAN_ENTRY + size;
        out += size + DIGEST;
    }
    put_digest(reader->walk->hash(reader->pairs, (size_t)(out - reader->pairs)), reader->ids + DIGEST);
}

/* Inflates the blob into the arena: ASIDE, UNSOUND or INFLATED. By itself for rows whose inflating is timed. */
int scanner_inflate_row(Reader *reader, const uint8_t *blob, size_t n) {
    size_t consumed = 0, size = 0;
    if (n < LEAST_GZIP || blob[0] != 0x1F || blob[1] != 0x8B || blob[FLAGS] & HEADER_CHECKSUM) return ASIDE;
    int flaw = reader->inflate(reader->tables, blob, n, (uint8_t *)reader->walk->arena, (size_t)reader->room, &consumed, &size);
    if (flaw || consumed != n) return UNSOUND;
    reader->size = (int64_t)size;
    return INFLATED;
}

/* `inflated`: what scanner_inflate_row said of this blob right before, where it was asked; else 0. */
int scanner_read_row(Reader *reader, const uint8_t *blob, size_t n, int inflated) {
    Walk *walk = reader->walk;
    Digest id = walk->hash(blob, n);
    put_digest(id, reader->ids);
    uint64_t *met = reader->met + (id.high >> (64 - reader->met_bits));
    if (*met == id.high) return MET;
    int outcome = inflated ? inflated : scanner_inflate_row(reader, blob, n);
    if (outcome != INFLATED) return outcome;
    if (reader->size > reader->high_ratio * (int64_t)n || !scanner_walk_tar(walk, (size_t)reader->size)) return INFLATED;
    if (n <= (size_t)reader->most_noted) *met = id.high;
    reader->n_members = walk->n_members;
    reader->n_files = walk->n_files;
    reader->largest = walk->largest;
    reader->largest_bytes = walk->largest_bytes;
    reader->template = number_of(&reader->templates, (const uint8_t *)walk->members, (size_t)walk->n_members * sizeof *walk->members);
    if (!reader->template) return WALKED;
    identify(reader);
    return READ;
}

/* Notes a template by its members: the keys of its files in order. 0 where there is no room, or one is not a file of it. */
int32_t scanner_note_template(Reader *reader, const uint8_t *members, size_t n, int64_t n_files, const uint8_t *plan,
                              size_t plan_size) {
    int64_t start = reader->plans_end[reader->templates.n - 1], pairs = 0;
    for (size_t at = 0; at < plan_size;) {
        if (plan_size - at < PLAN_ENTRY) return 0;
        int32_t file = number_at(plan + at), size = number_at(plan + at + 4);
        if (file < 0 || file >= n_files || size < 0 || (size_t)size > plan_size - at - PLAN_ENTRY) return 0;
        at += PLAN_ENTRY + (size_t)size;
        pairs += size + DIGEST;
    }
    if (pairs > reader->pairs_room || reader->plans_room - start < (int64_t)plan_size) return 0;
    if (number_of(&reader->templates, members, n)) return 0;
    int32_t template = note(&reader->templates, members, n);
    if (!template) return 0;
    memcpy(reader->plans + start, plan, plan_size);
    reader->plans_end[template] = start + (int64_t)plan_size;
    return template;
}
