/* The skeleton of a task.toml, and where its quotes stand: what cut_in_python in scanner/tasks/outline.py says, which is the
 * specification, in a third of its time. Runs once a task, over a kB. Nothing is read or written outside of what is given.
 */
#include <stddef.h>
#include <stdint.h>

enum { MOST_DIGITS = 9, DELETE = 127 };

static int is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* The number of quotes in the n bytes of a text; -1 where it has no skeleton: a quote is left over, or a string holds a
 * control character (a newline, too) or a backslash. `quotes` and `skeleton` have n places; the skeleton's length goes to
 * `length`.
 */
int64_t scanner_outline(const uint8_t *text, size_t n, int32_t *quotes, uint8_t *skeleton, int64_t *length) {
    int64_t n_quotes = 0;
    uint8_t *out = skeleton;
    size_t at = 0;
    while (at < n) {
        uint8_t byte = text[at];
        *out++ = byte;
        if (byte == '"') {
            quotes[n_quotes++] = (int32_t)at++;
            while (at < n && text[at] != '"') {
                byte = text[at++];
                if (byte == '\\' || byte == DELETE || (byte < ' ' && byte != '\t')) return -1;
            }
            if (at == n) return -1;
            quotes[n_quotes++] = (int32_t)at++;
            continue;
        }
        at++;
        if (byte != ' ' || at < 2 || text[at - 2] != '=' || at == n || !is_digit(text[at]) || text[at] == '0') continue;
        if (text[at] == '1' && (at + 1 == n || !is_digit(text[at + 1]))) continue; /* as 0, it means something to rules */
        *out++ = '2';
        for (int digits = 0; digits < MOST_DIGITS && at < n && is_digit(text[at]); digits++) at++;
    }
    *length = out - skeleton;
    return n_quotes;
}
