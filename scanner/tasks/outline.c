/* The skeleton of a task.toml, and where its quotes stand: what cut_in_python in scanner/tasks/outline.py says, which is the
 * specification, in a third of its time. And which of the texts that were judged one is like, by the outlines that Python made.
 *
 * Runs once a task, over a kB, and nearly each is another one, so that what counts are branches that go another way each time:
 * quotes and equals signs are searched for, bytes between them are not looked at one by one. Nothing is read or written
 * outside of what is given.
 */
#include "outline.h"

enum { MOST_DIGITS = 9, DELETE = 127 };

static int is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* Whether one of n bytes must not stand in a string: a backslash, or a control character other than a tab. One that is
 * `allowed` may. */
static int is_odd(const uint8_t *text, size_t n, uint8_t allowed) {
    unsigned odd = 0; /* without a branch, which compilers make 16 bytes at a time of */
    for (size_t i = 0; i < n; i++)
        odd |= (unsigned)((text[i] == '\\') | (text[i] == DELETE) | ((text[i] < ' ') & (text[i] != '\t') & (text[i] != allowed)));
    return odd != 0;
}

static const uint8_t *find(const uint8_t *text, const uint8_t *end, int byte) {
    const uint8_t *found = text < end ? memchr(text, byte, (size_t)(end - text)) : NULL;
    return found ? found : end;
}

/* Copies what stands outside of strings up to `until`, each number behind "= " replaced by 2, but for 0 and 1, which mean
 * something to rules. `end` is the text's. Gives the place behind the copy. */
static uint8_t *copy(uint8_t *out, const uint8_t *text, const uint8_t *until, const uint8_t *end) {
    const uint8_t *sign = text;
    while ((sign = find(sign, until, '=')) < until) {
        const uint8_t *number = ++sign;
        if (until - number < 2 || *number++ != ' ' || !is_digit(*number) || *number == '0') continue;
        if (*number == '1' && (number + 1 == end || !is_digit(number[1]))) continue;
        memcpy(out, text, (size_t)(number - text));
        out += number - text;
        *out++ = '2';
        for (int digits = 0; digits < MOST_DIGITS && number < until && is_digit(*number); digits++) number++;
        sign = text = number;
    }
    memcpy(out, text, (size_t)(until - text));
    return out + (until - text);
}

/* The number of quotes in the n bytes of a text; -1 where it has no skeleton: a quote is left over, or a string holds a
 * control character (a newline, too) or a backslash. `quotes` and `skeleton` have n places; the skeleton's length goes to
 * `length`.
 */
int64_t scanner_outline(const uint8_t *text, size_t n, int32_t *quotes, uint8_t *skeleton, int64_t *length) {
    const uint8_t *at = text, *end = text + n;
    const int has_odd = is_odd(text, n, '\n'); /* few have */
    int64_t n_quotes = 0;
    uint8_t *out = skeleton;
    for (;;) {
        const uint8_t *opening = find(at, end, '"');
        out = copy(out, at, opening, end);
        if (opening == end) break;
        const uint8_t *string = opening + 1, *closing = find(string, end, '"');
        if (closing == end || find(string, closing, '\n') < closing) return -1;
        if (has_odd && is_odd(string, (size_t)(closing - string), '\t')) return -1;
        *out++ = '"';
        quotes[n_quotes++] = (int32_t)(opening - text);
        quotes[n_quotes++] = (int32_t)(closing - text);
        at = closing + 1;
    }
    *length = out - skeleton;
    return n_quotes;
}

/* -- texts that are like others -- */

enum { WHOLE, NOT_EMPTY, ORG_NAME }; /* which strings are alike: none but equal ones; all but the empty one; names ORG/NAME */
enum { ALIKE = 0, ITSELF = 1 };      /* how a key goes on */

static int is_name_character(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-';
}

/* A letter or digit, then such, '_' and '-', and dots that stand alone and not at the end. */
static int is_name(const uint8_t *text, size_t n) {
    if (!n || !is_name_character(text[0]) || text[0] == '_' || text[0] == '-' || text[n - 1] == '.') return 0;
    for (size_t i = 1; i < n; i++)
        if (!is_name_character(text[i]) && (text[i] != '.' || text[i - 1] == '.')) return 0;
    return 1;
}

static int is_alike(uint8_t rule, const uint8_t *text, size_t n) {
    if (rule == NOT_EMPTY) return n > 0;
    if (rule != ORG_NAME) return 0;
    size_t org = (size_t)(find(text, text + n, '/') - text);
    return org < n && is_name(text, org) && is_name(text + org + 1, n - org - 1);
}

int32_t scanner_like(Outlines *outlines, const uint8_t *text, size_t n, int noting) {
    int64_t length = 0, n_quotes = scanner_outline(text, n, outlines->quotes, outlines->skeleton, &length);
    if (n_quotes < 0) return 0;
    int32_t outline = number_of(&outlines->skeletons, outlines->skeleton, (size_t)length);
    if (!outline) return 0;
    uint8_t *key = outlines->key;
    memcpy(key, &outline, sizeof outline);
    key += sizeof outline;
    for (int32_t i = outlines->slots_end[outline - 1]; i < outlines->slots_end[outline]; i++) {
        int32_t at = outlines->slots[i];
        if (at < 0 || at + 1 >= n_quotes) return 0;
        const uint8_t *string = text + outlines->quotes[at] + 1;
        size_t size = (size_t)(outlines->quotes[at + 1] - outlines->quotes[at] - 1);
        if (is_alike(outlines->rules[i], string, size)) {
            *key++ = ALIKE;
            continue;
        }
        uint16_t stated = (uint16_t)size;
        *key++ = ITSELF;
        memcpy(key, &stated, sizeof stated);
        memcpy(key + sizeof stated, string, size);
        key += sizeof stated + size;
    }
    size_t key_size = (size_t)(key - outlines->key);
    return noting ? note(&outlines->keys, outlines->key, key_size) : number_of(&outlines->keys, outlines->key, key_size);
}

/* Notes an outline: its skeleton and its slots. 0 where there is no room. */
int32_t scanner_note_outline(Outlines *outlines, const uint8_t *skeleton, size_t n, const int32_t *slots, const uint8_t *rules,
                             size_t n_slots) {
    int64_t start = outlines->slots_end[outlines->skeletons.n - 1];
    if (outlines->slots_room - start < (int64_t)n_slots || number_of(&outlines->skeletons, skeleton, n)) return 0;
    int32_t outline = note(&outlines->skeletons, skeleton, n);
    if (!outline) return 0;
    memcpy(outlines->slots + start, slots, n_slots * sizeof *slots);
    memcpy(outlines->rules + start, rules, n_slots);
    outlines->slots_end[outline] = (int32_t)(start + (int64_t)n_slots);
    return outline;
}
