/* Which texts are like one that was judged: what outline.c keeps and answers. */
#ifndef SCANNER_OUTLINE_H
#define SCANNER_OUTLINE_H

#include "../numbers.h"

typedef struct {
    Numbers skeletons, keys;
    int32_t *slots_end; /* per skeleton: which of the following are its slots, behind those of the one before it */
    int32_t *slots;     /* of `slots_room` places: a quote that opens a string that is looked at ... */
    uint8_t *rules;     /* ... and which ones are alike there */
    int64_t slots_room;
    /* Places for the text at hand: as scanner_outline wants them, and for its key. */
    int32_t *quotes;
    uint8_t *skeleton;
    uint8_t *key;       /* 4 times as many */
    int64_t most_bytes; /* of a text: as many as there are places */
    int32_t *configs;   /* by the number of like texts: that of what they say, as others may; 0 until Python has said it */
} Outlines;

/* The number of all texts with this outline, as Outline.key in scanner/tasks/outline.py tells them apart (or finer); 0 where
 * none was noted. With `noting` it is noted, and 0 means that there is no room. A text has as many bytes as there are places.
 */
int32_t scanner_like(Outlines *outlines, const uint8_t *text, size_t n, int noting);

#endif
