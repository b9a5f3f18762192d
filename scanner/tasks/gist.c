/* The gist of a task: as much of its files as the rules tell tasks of one template apart by. Tasks of one gist mean the same, but
 * for their instruction and the keys of their JSON.
 *
 * Runs once for nearly every row, right after it was walked, holding Python's lock: the outlines are those of all threads. Which
 * files are looked at, and how, Python says (scanner/tasks/gist.py). What is looked at is part of the key as it is, never by
 * its digest, so that no crafted file passes for another. Where it cannot be told shortly there is no gist, and Python reads the
 * task. Nothing is read or written outside of what is given.
 */
#include "../formats/tar_quick.h"
#include "outline.h"

/* How a file is looked at, and what of it is part of the gist. */
enum {
    CONFIG,     /* a task.toml: the number of what it says */
    DOCKERFILE, /* its image where that is plain, else as WHOLE */
    WHOLE,      /* a short text as it is */
    SCRIPT,     /* whether a line ends as on Windows */
    ENTRY,      /* as SCRIPT, and whether there is any code */
    LOOKS,
};
enum { MOST_TEXT = 512, MOST_IMAGE = 255, FROM = 5, NONE = 0, FULL = -1 };

typedef struct {
    const Walk *walk;
    Outlines *outlines;
    Numbers gists;
    uint8_t *key; /* of `key_room` places */
    int64_t key_room;
} Gists;

typedef struct {
    uint8_t *at, *end;
} Key;

/* 0 where there is no room. */
static int put(Key *key, const void *what, size_t n) {
    if ((size_t)(key->end - key->at) < n) return 0;
    memcpy(key->at, what, n);
    key->at += n;
    return 1;
}

static int put_text(Key *key, const uint8_t *text, size_t n) {
    uint16_t stated = (uint16_t)n;
    return put(key, &stated, sizeof stated) && put(key, text, n);
}

static int put_short(Key *key, const uint8_t *text, size_t n) { return n <= MOST_TEXT && put_text(key, text, n); }

static int is_plain(const uint8_t *text, size_t n) {
    uint64_t tops = 0;
    size_t at = 0;
    for (; at + 8 <= n; at += 8) tops |= word_at(text + at);
    for (; at < n; at++) tops |= text[at];
    return !(tops & 0x8080808080808080) && !memchr(text, '\r', n);
}

static int put_config(Key *key, Outlines *outlines, const uint8_t *text, size_t n) {
    int32_t number = n <= (size_t)outlines->most_bytes && is_plain(text, n) ? scanner_like(outlines, text, n, 0) : 0;
    return number && outlines->configs[number] && put(key, &outlines->configs[number], sizeof *outlines->configs);
}

static int is_image_character(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._/:@-", c));
}

/* The bytes of the image of a Dockerfile that begins with FROM and a word in which nothing is to be filled in; 0 for others. */
static size_t plain_image(const uint8_t *text, size_t n) {
    if (n <= FROM || memcmp(text, "FROM ", FROM) || text[FROM] == '-') return 0;
    size_t end = FROM;
    while (end < n && is_image_character(text[end])) end++;
    return end - FROM <= MOST_IMAGE && (end == n || text[end] == '\n' || text[end] == ' ') ? end - FROM : 0;
}

static int put_image(Key *key, const uint8_t *text, size_t n) {
    size_t size = plain_image(text, n);
    if (size) return put(key, "F", 1) && put_text(key, text + FROM, size);
    return put(key, "W", 1) && put_short(key, text, n);
}

/* As _has_crlf in scanner/tasks/reading.py. */
static int has_crlf(const uint8_t *text, size_t n) {
    const uint8_t *end = text + n;
    while (n && (text = memchr(text, '\r', n)) && ++text < end) {
        if (*text == '\n') return 1;
        n = (size_t)(end - text);
    }
    return 0;
}

/* Whether all is blank or comment: whether _CODE in scanner/tasks/reading.py does not match. */
static int has_no_code(const uint8_t *at, size_t n) {
    const uint8_t *end = at + n;
    while (at < end) {
        uint8_t byte = *at++;
        if (byte == '#' && !(at = memchr(at, '\n', (size_t)(end - at)))) return 1;
        if (byte == '\f' || byte == '\v') return 1;
        if (byte != '#' && byte != ' ' && byte != '\t' && byte != '\r' && byte != '\n') return 0;
    }
    return 1;
}

static int put_look(Key *key, const Gists *of, int how, const uint8_t *text, size_t n) {
    switch (how) {
    case CONFIG: return put_config(key, of->outlines, text, n);
    case DOCKERFILE: return put_image(key, text, n);
    case WHOLE: return put_short(key, text, n);
    default: {
        uint8_t flaws = (uint8_t)(has_crlf(text, n) + 2 * (how == ENTRY && has_no_code(text, n)));
        return put(key, &flaws, 1);
    }
    }
}

/* The number of all tasks with the gist of the archive that was walked last; NONE where none was noted. With `noting` it is noted,
 * and FULL means that there is no room. `looks` are n numbers of 4 bytes: that of the template, then per look LOOKS times which
 * file plus how.
 */
int32_t scanner_gist(Gists *of, const uint8_t *looks, size_t n, int noting) {
    const Walk *walk = of->walk;
    Key key = {of->key, of->key + of->key_room};
    size_t n_files = (size_t)walk->n_files;
    if (!n || memchr(walk->types, 0 /* unsettled */, n_files) || !put(&key, looks, 4) || !put(&key, walk->types, n_files)) return NONE;
    for (size_t i = 1; i < n; i++) {
        int32_t look;
        memcpy(&look, looks + 4 * i, sizeof look);
        size_t file = (size_t)look / LOOKS;
        if (look < 0 || file >= n_files) return NONE;
        const uint8_t *text = walk->arena + walk->spans[2 * file];
        if (!put_look(&key, of, look % LOOKS, text, (size_t)(walk->spans[2 * file + 1] - walk->spans[2 * file]))) return NONE;
    }
    size_t size = (size_t)(key.at - of->key);
    if (!noting) return number_of(&of->gists, of->key, size);
    int32_t number = note(&of->gists, of->key, size);
    return number ? number : FULL;
}
