/* The members of one ordinary tar archive that lies whole in memory: listed, checked, hashed, told apart by first bytes.
 *
 * Runs once for nearly every row, right after it was inflated, while it lies in the processor's caches. Ordinary is what
 * tar writers write for files and directories: ustar or GNU headers without links and prefixes, each perhaps behind a PAX
 * header that says an mtime and nothing else, and zeros behind the last. Anything else is refused with 0, and is left to
 * scanner.formats.tar.TarWalker, which is the specification: what is ordinary, it would list the same, without a fault.
 *
 * Called through ctypes (scanner/formats/tar_quick.py): no Python object is touched, nothing is allocated, nothing is read
 * outside of the arena's first `end` bytes, and columns have a place for each block of them.
 *
 * Layout: POSIX.1-2017 pax, "ustar Interchange Format".
 */
#include "tar_quick.h"

enum {
    BLOCK = 512,
    NAME = 0, SIZE = 124, CHECKSUM = 148, FLAG = 156, LINK = 157, MAGIC = 257, PREFIX = 345,
    HEAD = 128, /* name, mode, owner, the first 4 digits of the size: looked up as a whole */
    LINE = 32, /* bytes that a known first line takes, or the start of signatures: its length and itself */
    LEAST_MTIME = 10, MOST_MTIME = 99, /* bytes of a PAX header's body: "11 mtime=1\n" */
};

/* Content types that are settled here. First lines follow, in the order they were given. */
enum { UNSETTLED, TEXT, EMPTY, FIRST_LINES };

static int is_zero(const uint8_t *at, size_t n) {
    uint64_t any = 0;
    for (; n >= 8; n -= 8, at += 8) any |= word_at(at);
    for (; n; n--, at++) any |= *at;
    return !any;
}

/* The value of n octal digits; -1 where they are not all digits. */
static int64_t octal(const uint8_t *at, int n) {
    int64_t value = 0;
    for (int i = 0; i < n; i++) {
        unsigned digit = at[i] - (unsigned)'0';
        if (digit > 7) return -1;
        value = 8 * value + digit;
    }
    return value;
}

/* The sum of a header's bytes, its checksum taken as blanks. */
static int64_t checksum(const uint8_t *header) {
    const uint64_t odd = 0x00FF00FF00FF00FF;
    uint64_t sums = 0; /* four of 16 bits: 64 words add at most 64 * 2 * 255 to each */
    for (int i = 0; i < BLOCK; i += 8) sums += (word_at(header + i) & odd) + ((word_at(header + i) >> 8) & odd);
    int64_t sum = 8 * ' ';
    for (; sums; sums >>= 16) sum += (int64_t)(sums & 0xFFFF);
    for (int i = 0; i < 8; i++) sum -= header[CHECKSUM + i];
    return sum;
}

static int is_ordinary(const uint8_t *header) {
    return (!memcmp(header + MAGIC, "ustar\0" "00", 8) || !memcmp(header + MAGIC, "ustar  ", 8)) &&
           !memcmp(header + SIZE, "0000", 4) && !header[SIZE + 11] && !header[CHECKSUM + 6] && header[CHECKSUM + 7] == ' ' &&
           is_zero(header + LINK, MAGIC - LINK) && !header[PREFIX] && octal(header + CHECKSUM, 6) == checksum(header);
}

static int is_mtime(const uint8_t *body, int64_t size) {
    return size >= LEAST_MTIME && size <= MOST_MTIME && body[0] == '0' + size / 10 && body[1] == '0' + size % 10 &&
           !memcmp(body + 2, " mtime=", 7) && body[size - 1] == '\n';
}

/* How many of the first n bytes are ASCII other than NUL, at least in steps of 8. */
static size_t plain_beginning(const uint8_t *text, size_t n) {
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t at = 0; /* a byte less one has its top bit where it was NUL, and one of ASCII has none */
    for (; at + 64 <= n; at += 64) {
        uint64_t odd = 0;
        for (size_t i = at; i < at + 64; i += 8) odd |= word_at(text + i) | (word_at(text + i) - ones);
        if (odd & tops) break;
    }
    for (; at + 8 <= n && !((word_at(text + at) | (word_at(text + at) - ones)) & tops); at += 8) {}
    return at;
}

/* Whether a text is UTF-8 (RFC 3629) without NUL and U+FFFD. Its last character may be cut off where it goes on. */
static int is_text(const uint8_t *text, size_t n, int goes_on) {
    size_t at = plain_beginning(text, n);
    while (at < n) {
        uint8_t lead = text[at];
        if (lead < 0x80) {
            if (!lead) return 0;
            at++;
            continue;
        }
        size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        if (lead < 0xC2 || lead > 0xF4) return 0;
        uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80; /* of the second byte: no form that is too long, */
        uint8_t most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;  /* no surrogate, nothing above U+10FFFF */
        for (size_t i = 1; i <= more; i++, least = 0x80, most = 0xBF) {
            if (at + i == n) return goes_on;
            if (text[at + i] < least || text[at + i] > most) return 0;
        }
        if (lead == 0xEF && text[at + 1] == 0xBF && text[at + 2] == 0xBD) return 0;
        at += more + 1;
    }
    return 1;
}

static int begins(const uint8_t *file, const uint8_t *line) { return !memcmp(file, line + 1, line[0]); }

/* A file is followed by two blocks of zeros at least, so LINE bytes may be looked at whatever its size. */
static uint8_t type_of(const Walk *walk, const uint8_t *file, size_t size) {
    if (!size) return EMPTY;
    size_t window = size < (size_t)walk->window ? size : (size_t)walk->window;
    uint16_t pair;
    memcpy(&pair, file, sizeof pair);
    uint8_t start = walk->signatures[pair];
    if (!start || !begins(file, walk->starts + LINE * start))
        return is_text(file, window, window == (size_t)walk->window) ? TEXT : UNSETTLED;
    const uint8_t *line = walk->lines;
    for (int64_t i = 0; i < walk->n_lines; i++, line += LINE)
        if (line[0] <= window && begins(file, line)) return (uint8_t)(FIRST_LINES + i);
    return UNSETTLED;
}

/* Lists the members of the archive in the arena's first `end` bytes. 0 where it is not ordinary, or no multiple of 512. */
static int list(Walk *walk, size_t end) {
    int after_pax = 0;
    size_t at = 0;
    walk->n_members = walk->n_files = 0;
    walk->largest = walk->largest_bytes = -1;
    while (end - at >= BLOCK && walk->arena[at]) {
        const uint8_t *header = walk->arena + at;
        int64_t size = octal(header + SIZE + 4, 7);
        uint8_t flag = header[FLAG];
        if (size < 0 || !is_ordinary(header)) return 0;
        at += BLOCK;
        if (flag == 'x') {
            if (after_pax || end - at < BLOCK || !is_mtime(walk->arena + at, size)) return 0;
            after_pax = 1;
            at += BLOCK;
            continue;
        }
        after_pax = 0;
        int32_t number = note(&walk->heads, header + NAME, HEAD);
        if (!number || (flag != '0' && flag != '5')) return 0;
        walk->members[walk->n_members++] = 2 * number + (flag == '5');
        if (flag == '5') continue; /* whatever size it states, it has no content */
        size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
        if (padded > end - at) return 0;
        if (size > walk->largest_bytes) {
            walk->largest_bytes = size;
            walk->largest = walk->n_files;
        }
        walk->spans[2 * walk->n_files] = (int32_t)at;
        walk->spans[2 * walk->n_files + 1] = (int32_t)(at + (size_t)size);
        walk->n_files++;
        at += padded;
    }
    return !after_pax && end % BLOCK == 0 && end - at >= 2 * BLOCK && is_zero(walk->arena + at, end - at);
}

int scanner_walk_tar(Walk *walk, size_t end) {
    if (!list(walk, end)) return 0;
    for (int64_t i = 0; i < walk->n_files; i++) {
        const uint8_t *file = walk->arena + walk->spans[2 * i];
        size_t size = (size_t)(walk->spans[2 * i + 1] - walk->spans[2 * i]);
        put_digest(walk->hash(file, size), walk->digests + 16 * i);
        walk->types[i] = type_of(walk, file, size);
    }
    return 1;
}
